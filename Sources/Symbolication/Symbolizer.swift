internal import DebugInfo
internal import Glibc
package import Linux
package import Profiles

/// What an address stands for; decides which instruction is looked up.
package enum StackAddress: Sendable {
  /// Where the task was.
  case programCounter
  /// Where it will go on: the call is the instruction before.
  case returnAddress
  /// Where a suspended async function will go on: exactly a function's start.
  case asyncResumePoint

  /// The address to look up.
  func instruction(_ address: UInt64) -> UInt64 { self == .returnAddress && address > 0 ? address - 1 : address }
}

/// What is known of an address. That nothing is known is an answer, not an error.
package enum Symbolized: Sendable {
  /// Innermost first; more than one where calls were inlined.
  case frames([Frame])
  case unknown(Reason)

  package enum Reason: String, CaseIterable, Hashable, Sendable {
    case unmapped = "unmapped address"
    case processGone = "process gone before it could be read"
    case fileGone = "file not accessible"
    case noSymbols = "file without symbols"
    case outsideSymbols = "outside every symbol"
    case anonymous = "code without a file or perf map"
    case kernelHidden = "kernel addresses hidden"
  }
}

/// How many addresses got a name, and why others did not.
package struct SymbolizationReport: Sendable {
  package var named = 0
  /// Those of `named` whose source line is known, too.
  package var withLine = 0
  package var unknown: [Symbolized.Reason: Int] = [:]

  package var total: Int { named + unknown.values.reduce(0, +) }

  /// One line for people.
  package var line: String {
    let reasons = Symbolized.Reason.allCases.compactMap { reason in unknown[reason].map { "\($0) \(reason.rawValue)" } }
    return "symbols: \(share(named)) of \(total) addresses, \(share(withLine)) with a source line"
      + (reasons.isEmpty ? "" : "; \(reasons.joined(separator: ", "))")
  }

  private func share(_ count: Int) -> String {
    let thousandths = total == 0 ? 1000 : count * 1000 / total
    return "\(thousandths / 10).\(thousandths % 10) %"
  }
}

/// Turns addresses of processes and of the kernel into frames.
///
/// Files are indexed once, whatever number of processes maps them. Ask after the run, not per event; but tell of processes when
/// they are first seen, so that their mappings are known when they have ended.
package struct Symbolizer {
  /// What is looked up.
  package struct Options: Sendable {
    /// Whether calls that the compiler merged into their callers are frames of their own.
    package var expandsInlined = true
    /// Whether Swift names come with types and modules.
    package var hasFullNames = false
    /// Whether addresses are named at all, or stay a module and an offset.
    package var namesAddresses = true

    package init() {}
  }

  package private(set) var report = SymbolizationReport()
  /// Set it before the first address is named.
  package var options = Options()

  private var kernel: KernelSymbols??
  private var processes: [ProcessID: Known] = [:]
  private var files: [FileKey: File] = [:]
  private var frames: [FrameKey: Symbolized] = [:]

  private struct Known {
    var maps: ProcessMaps
    var readAt: UInt64
    /// For processes that run code from no file.
    var perfMapIdentity: PerfMap.Identity?
    var perfMap: PerfMap?
    /// 0 before the first time.
    var perfMapReadAt: UInt64 = 0
  }

  /// The same file in all processes and mount namespaces.
  private struct FileKey: Hashable {
    var device: UInt64
    var inode: UInt64
    var path: String
  }

  /// A file held open until somebody asks for its symbols.
  private final class File {
    private var descriptor: CInt
    let name: String
    lazy var table: SymbolTable? = {
      guard descriptor >= 0 else { return nil }
      defer {
        close(descriptor)
        descriptor = -1
      }
      return SymbolTable(descriptor: descriptor, name: name)
    }()
    /// Readable names by the file's address of the function's start.
    var readable: [String: String] = [:]

    init(descriptor: CInt, name: String) {
      self.descriptor = descriptor
      self.name = name
    }
    deinit { if descriptor >= 0 { close(descriptor) } }
  }

  private struct FrameKey: Hashable {
    var process: UInt32
    var instruction: UInt64
  }

  /// Files held open at once; a machine with more of them names the rest only while its processes live.
  private static let openFileLimit = 4096

  package init() { disableDebugInformationServers() }

  /// Reads a process's mappings and opens its files, while it lives. Does nothing for a process that is known.
  package mutating func learn(_ process: ProcessID) {
    guard processes[process] == nil else { return }
    reread(process)
  }

  @discardableResult
  private mutating func reread(_ process: ProcessID) -> Bool {
    let now = Clock.monotonic
    if let known = processes[process], now - known.readAt < 1_000_000_000 { return false }
    guard let maps = ProcessMaps(of: process), !maps.mappings.isEmpty else {
      // The mappings of a process that has ended stay as they were.
      processes[process]?.readAt = now
      return false
    }
    var known = Known(maps: maps, readAt: now)
    if maps.mappings.contains(where: \.isAnonymousCode) { known.perfMapIdentity = .init(of: process) }
    processes[process] = known
    for mapping in maps.mappings where mapping.isExecutable && mapping.inode != 0 { open(mapping, of: process) }
    return true
  }

  private mutating func open(_ mapping: Mapping, of process: ProcessID) {
    let key = FileKey(device: mapping.device, inode: mapping.inode, path: mapping.path)
    guard files[key] == nil, files.count < Self.openFileLimit else { return }
    // map_files is the mapped file itself, whatever its path means here and whether or not it was deleted.
    let exact = "/proc/\(process)/map_files/\(String(mapping.start.rawValue, radix: 16))-\(String(mapping.end.rawValue, radix: 16))"
    var descriptor = Glibc.open(exact, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 { descriptor = Glibc.open("/proc/\(process)/root\(mapping.path)", O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else { return }
    // The path as libdw should see it, so that it finds debug files beside it; only in our own mount namespace is it the file's path.
    files[key] = File(descriptor: descriptor, name: mapping.path)
  }

  /// Names an address of a process.
  package mutating func symbolize(_ address: VirtualAddress, _ kind: StackAddress, in process: ProcessID) -> Symbolized {
    let instruction = kind.instruction(address.rawValue)
    let key = FrameKey(process: process.rawValue, instruction: instruction)
    let answer = frames[key] ?? (options.namesAddresses ? find(VirtualAddress(instruction), process) : bare(address, process))
    frames[key] = answer
    count(answer)
    return answer
  }

  private mutating func find(_ address: VirtualAddress, _ process: ProcessID) -> Symbolized {
    learn(process)
    guard processes[process] != nil else { return .unknown(.processGone) }
    var mapping = processes[process]?.maps[address]
    // dlopen after the last reading.
    if mapping == nil, reread(process) { mapping = processes[process]?.maps[address] }
    guard let mapping else { return .unknown(.unmapped) }
    if mapping.path == "[vdso]" { return vdso(address, mapping) }
    guard mapping.inode != 0 else { return compiled(address, process) }
    guard let file = files[FileKey(device: mapping.device, inode: mapping.inode, path: mapping.path)] else { return .unknown(.fileGone) }
    return name(mapping.offset.rawValue + (address.rawValue - mapping.start.rawValue), file, mapping.name)
  }

  private func name(_ offset: UInt64, _ file: File, _ module: String) -> Symbolized {
    guard let table = file.table, let place = table.address(of: FileOffset(offset)) else { return .unknown(.noSymbols) }
    let calls = table.calls(at: place)
    // The linker's name for the function itself, the compiler's for what was merged into it: both as people know them.
    guard var name = table.match(place)?.name ?? calls.last?.name else {
      return .unknown(table.count == 0 && !table.hasDebugInformation ? .noSymbols : .outsideSymbols)
    }
    // Each function of the vDSO has a second, weak name, which is the one that programs use.
    if module == "[vdso]", name.hasPrefix("__vdso_") { name.removeFirst("__vdso_".count) }
    var frames: [Frame] = []
    for call in calls where call.isInlined && options.expandsInlined {
      frames.append(frame(call.name ?? "[inlined]", file, module, call, isInlined: true))
    }
    frames.append(frame(name, file, module, calls.last, isInlined: false))
    return .frames(frames)
  }

  private func frame(_ name: String, _ file: File, _ module: String, _ call: SourceCall?, isInlined: Bool) -> Frame {
    let readable =
      file.readable[name] ?? Demangler.demangle(name, isFull: options.hasFullNames) ?? Demangler.withoutCloneSuffix(name)
    file.readable[name] = readable
    return Frame(
      function: readable, module: module, isInlined: isInlined, file: call?.file, line: call?.line ?? 0,
      mangled: readable == name ? nil : name)
  }

  /// The module and the offset of an address, without a name.
  private mutating func bare(_ address: VirtualAddress, _ process: ProcessID) -> Symbolized {
    learn(process)
    if processes[process]?.maps[address] == nil { reread(process) }
    return .frames([placeholder(address, in: process)])
  }

  /// Code that the process made itself. Its list of names grows while it runs, so a miss reads it again, at most once a second.
  private mutating func compiled(_ address: VirtualAddress, _ process: ProcessID) -> Symbolized {
    guard let identity = processes[process]?.perfMapIdentity else { return .unknown(.anonymous) }
    let now = Clock.monotonic
    if processes[process]?.perfMap?.name(of: address.rawValue) == nil, let last = processes[process]?.perfMapReadAt,
      last == 0 || now - last > 1_000_000_000
    {
      if let map = PerfMap(identity) { processes[process]?.perfMap = map }
      processes[process]?.perfMapReadAt = now
    }
    guard let name = processes[process]?.perfMap?.name(of: address.rawValue) else { return .unknown(.anonymous) }
    let readable = Demangler.demangle(name, isFull: options.hasFullNames) ?? name
    return .frames([Frame(function: readable, module: "[jit]", mangled: readable == name ? nil : name)])
  }

  /// The vDSO is the same in every process: our own copy serves all.
  private mutating func vdso(_ address: VirtualAddress, _ mapping: Mapping) -> Symbolized {
    let key = FileKey(device: 0, inode: 0, path: "[vdso]")
    if files[key] == nil {
      guard let copy = VirtualObject.copy() else { return .unknown(.fileGone) }
      files[key] = File(descriptor: copy, name: "[vdso]")
    }
    guard let file = files[key] else { return .unknown(.fileGone) }
    return name(address.rawValue - mapping.start.rawValue, file, "[vdso]")
  }

  /// Names an address of the kernel.
  package mutating func symbolize(_ address: KernelAddress, _ kind: StackAddress) -> Symbolized {
    guard options.namesAddresses else {
      let answer = Symbolized.frames([Frame(function: "0x\(String(address.rawValue, radix: 16))", module: "[kernel]", kind: .kernel)])
      count(answer)
      return answer
    }
    let symbols: KernelSymbols?
    if let kernel {
      symbols = kernel
    } else {
      symbols = KernelSymbols.ofRunningKernel()
      kernel = symbols
    }
    let answer: Symbolized
    if let symbols, !symbols.areHidden {
      if let match = symbols.match(KernelAddress(kind.instruction(address.rawValue))) {
        answer = .frames([Frame(function: match.name, module: match.module ?? "[kernel]", kind: .kernel)])
      } else {
        answer = .unknown(.outsideSymbols)
      }
    } else {
      answer = .unknown(.kernelHidden)
    }
    count(answer)
    return answer
  }

  private mutating func count(_ answer: Symbolized) {
    switch answer {
    case .frames(let frames):
      report.named += 1
      if let last = frames.last, last.line > 0 { report.withLine += 1 }
    case .unknown(let reason): report.unknown[reason, default: 0] += 1
    }
  }

  /// What to show for a user address without a name: the module and the offset in it, where they are known.
  package func placeholder(_ address: VirtualAddress, in process: ProcessID) -> Frame {
    guard let mapping = processes[process]?.maps[address], !mapping.path.isEmpty else { return Frame(function: "[unknown]") }
    let offset = mapping.offset.rawValue + (address.rawValue - mapping.start.rawValue)
    return Frame(function: "\(mapping.name)+0x\(String(offset, radix: 16))", module: mapping.name)
  }
}
