internal import Glibc

/// The kernel's symbols: functions of the kernel, its modules and its BPF programs, from /proc/kallsyms (proc_kallsyms(5)).
///
/// Read when the first kernel address needs a name: it takes the kernel tens of milliseconds to write the text.
package struct KernelSymbols: Sendable, Equatable {
  /// A symbol that covers an address.
  package struct Match: Sendable {
    package var name: String
    /// The module's name, or nil for the kernel itself.
    package var module: String?
    /// Bytes from the symbol's start.
    package var offset: UInt64
  }

  /// Ascending; the names of entry i start at `names[positions[i]]` and end with a zero.
  private var addresses: [UInt64] = []
  private var positions: [UInt32] = []
  private var names: [UInt8] = []
  /// Whether the kernel hides its addresses from this process (kernel.kptr_restrict, or no CAP_SYSLOG).
  package private(set) var areHidden = false

  /// Where the kernel's own code ends, and where the code that ran while it started lies; nil where that is not known.
  private var imageEnd: UInt64?
  private var startCode: Range<UInt64>?
  private var (startOfStartCode, endOfStartCode): (UInt64?, UInt64?)
  /// Where modules lie: at most as far as this.
  private var modules: [String: Range<UInt64>] = [:]

  package var count: Int { addresses.count }

  /// What stands for the module of a program of BPF.
  package static let moduleOfPrograms = "bpf"

  /// Reads the running kernel's symbols; nil when there is no /proc/kallsyms.
  package static func ofRunningKernel() -> KernelSymbols? {
    // 200,000 lines are 10 MB. A kernel without modules has no list of them.
    ProcFile.bytes("/proc/kallsyms", limit: 256 << 20).map {
      KernelSymbols(parsing: $0, modules: ProcFile.read("/proc/modules", limit: 16 << 20) ?? "")
    }
  }

  /// Reads lines of `address type name`, optionally with a tab and `[module]`. Lines of another form are left out.
  ///
  /// - Parameter modules: lines of `name size users dependents state address`, as in /proc/modules (proc_modules(5)).
  package init(parsing text: [UInt8], modules: String = "") {
    var entries: [(address: UInt64, position: UInt32)] = []
    entries.reserveCapacity(text.count / 40)
    var nonZero = false
    var index = 0
    while index < text.count {
      var address: UInt64 = 0
      let start = index
      while index < text.count, let digit = Self.hexadecimal(text[index]) {
        address = address << 4 | digit
        index += 1
      }
      let isEntry = index > start && index + 3 < text.count && text[index] == 0x20 && text[index + 2] == 0x20
      if isEntry {
        if address != 0 { nonZero = true }
        // Text symbols, local, global and weak. Addresses of per-processor data are small numbers, not addresses.
        let type = text[index + 1]
        if type == 0x74 || type == 0x54 || type == 0x77 || type == 0x57 {
          index += 3
          entries.append((address, UInt32(truncatingIfNeeded: names.count)))
          while index < text.count, text[index] != 0x0a {
            names.append(text[index])
            index += 1
          }
          noteEnd(names[Int(entries[entries.count - 1].position)...], address)
          names.append(0)
        }
      }
      while index < text.count, text[index] != 0x0a { index += 1 }
      index += 1
    }
    areHidden = !entries.isEmpty && !nonZero
    if let start = startOfStartCode, let end = endOfStartCode, start < end { startCode = start..<end }
    // Nearly sorted already; equal addresses keep the kernel's order, whose first name is the usual one.
    let order = entries.indices.sorted { (entries[$0].address, $0) < (entries[$1].address, $1) }
    addresses = order.map { entries[$0].address }
    positions = order.map { entries[$0].position }
    for line in modules.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 6, let size = UInt64(fields[1]), fields[5].hasPrefix("0x"),
        let start = UInt64(fields[5].dropFirst(2), radix: 16),
        start > 0, !start.addingReportingOverflow(size).overflow
      else { continue }
      self.modules[String(fields[0])] = start..<start + size
    }
  }

  /// Takes in the linker's own symbols (include/asm-generic/sections.h of Linux).
  private mutating func noteEnd(_ name: ArraySlice<UInt8>, _ address: UInt64) {
    guard name.first == UInt8(ascii: "_"), 6...10 ~= name.count else { return }
    switch String(decoding: name, as: UTF8.self) {
    case "_etext": imageEnd = address
    case "_sinittext": startOfStartCode = address
    case "_einittext": endOfStartCode = address
    default: break
    }
  }

  /// Whether a symbol may reach as far as an address; there are no sizes.
  private func covers(_ address: UInt64, from start: UInt64, of module: String?) -> Bool {
    if let module {
      guard let range = modules[module], range.contains(start) else { return true }
      return range.contains(address)
    }
    guard let imageEnd, address >= imageEnd else { return true }
    return startCode.map { $0.contains(start) && $0.contains(address) } ?? false
  }

  private static func hexadecimal(_ byte: UInt8) -> UInt64? {
    switch byte {
    case 0x30...0x39: UInt64(byte - 0x30)
    case 0x61...0x66: UInt64(byte - 0x57)
    case 0x41...0x46: UInt64(byte - 0x37)
    default: nil
    }
  }

  /// The symbol at or before an address; nil below the first, behind the last of the kernel or of a module, and when addresses are hidden.
  package func match(_ address: KernelAddress) -> Match? {
    guard !areHidden else { return nil }
    var low = 0
    var high = addresses.count
    while low < high {
      let middle = (low + high) / 2
      if addresses[middle] <= address.rawValue { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return nil }
    var index = low - 1
    while index > 0, addresses[index - 1] == addresses[index] { index -= 1 }
    let text = line(index)
    let parts = text.split(separator: "\t", maxSplits: 1)
    var name = String(parts.first ?? "")
    var module = parts.count > 1 ? String(parts[1].filter { $0 != "[" && $0 != "]" }) : nil
    guard covers(address.rawValue, from: addresses[index], of: module) else { return nil }
    if name.hasPrefix("bpf_prog_") {
      // bpf_prog_TAG_NAME, where the tag is 16 hexadecimal digits.
      let rest = name.dropFirst("bpf_prog_".count)
      name = rest.count > 17 ? "bpf:\(rest.dropFirst(17))" : "bpf:\(rest)"
      module = Self.moduleOfPrograms
    }
    return Match(name: name, module: module, offset: address.rawValue - addresses[index])
  }

  private func line(_ index: Int) -> String {
    let start = Int(positions[index])
    let end = names[start...].firstIndex(of: 0) ?? names.count
    return String(decoding: names[start..<end], as: UTF8.self)
  }
}
