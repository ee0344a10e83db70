internal import Glibc

/// The kernel's symbols: functions of the kernel, its modules and its BPF programs, from /proc/kallsyms (proc_kallsyms(5)).
///
/// Read when the first kernel address needs a name: it takes the kernel tens of milliseconds to write the text.
package struct KernelSymbols: Sendable {
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

  package var count: Int { addresses.count }

  /// Reads the running kernel's symbols; nil when there is no /proc/kallsyms.
  package static func ofRunningKernel() -> KernelSymbols? {
    // 200,000 lines are 10 MB.
    ProcFile.bytes("/proc/kallsyms", limit: 256 << 20).map { KernelSymbols(parsing: $0) }
  }

  /// Reads lines of `address type name`, optionally with a tab and `[module]`. Lines of another form are left out.
  package init(parsing text: [UInt8]) {
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
          names.append(0)
        }
      }
      while index < text.count, text[index] != 0x0a { index += 1 }
      index += 1
    }
    areHidden = !entries.isEmpty && !nonZero
    // Nearly sorted already; equal addresses keep the kernel's order, whose first name is the usual one.
    let order = entries.indices.sorted { (entries[$0].address, $0) < (entries[$1].address, $1) }
    addresses = order.map { entries[$0].address }
    positions = order.map { entries[$0].position }
  }

  private static func hexadecimal(_ byte: UInt8) -> UInt64? {
    switch byte {
    case 0x30...0x39: UInt64(byte - 0x30)
    case 0x61...0x66: UInt64(byte - 0x57)
    case 0x41...0x46: UInt64(byte - 0x37)
    default: nil
    }
  }

  /// The symbol at or before an address; nil below the first and when addresses are hidden.
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
    if name.hasPrefix("bpf_prog_") {
      // bpf_prog_TAG_NAME, where the tag is 16 hexadecimal digits.
      let rest = name.dropFirst("bpf_prog_".count)
      name = rest.count > 17 ? "bpf:\(rest.dropFirst(17))" : "bpf:\(rest)"
      module = "bpf"
    }
    return Match(name: name, module: module, offset: address.rawValue - addresses[index])
  }

  private func line(_ index: Int) -> String {
    let start = Int(positions[index])
    let end = names[start...].firstIndex(of: 0) ?? names.count
    return String(decoding: names[start..<end], as: UTF8.self)
  }
}
