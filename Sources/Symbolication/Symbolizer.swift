package import DebugInfo
internal import Glibc
package import Linux
package import Profiles

/// Turns addresses of processes and of the kernel into frames.
///
/// Ask after the run, not per event; but tell its `processes` of events in time. Files are indexed once, whatever number of processes maps
/// them.
package struct Symbolizer {
  /// What is looked up.
  package struct Options {
    /// Whether calls that the compiler merged into their callers are frames of their own.
    package var expandsInlined = true
    /// Whether Swift names come with types, and with what the compiler made of functions.
    package var hasFullNames = false
    /// Whether addresses are named at all, or stay a module and an offset.
    package var namesAddresses = true
    /// Whether the kernel's functions come with the distance of the address from their start: `vfs_read+0xa9`.
    package var hasKernelOffsets = false
    /// Asked for debug files that this machine does not have.
    package var servers: DebugInformationServers?

    package init() {}
  }

  private var counted = SymbolizationReport()
  /// What became of the addresses that were counted.
  package var report: SymbolizationReport {
    var report = counted
    report.lostRecords = processes.lostRecords
    return report
  }
  /// Set it before the first address is named.
  package var options = Options() { didSet { processes.files.servers = options.servers } }

  /// The files that frames are in, by the frames' modules.
  package private(set) var modules: [String: Module] = [:]

  /// A file that frames are in.
  package struct Module: Hashable, Sendable {
    /// As its processes saw it.
    package var path: String
    /// Hexadecimal; empty without one, and where two files have the name.
    package var buildID: String
  }

  /// Whose addresses are named.
  package var processes: TracedProcesses
  private var kernel: RunningKernel
  private var noted: Set<UInt64> = []

  /// - Parameters:
  ///   - openFiles: files held open at once until something in them needs a name; beyond that the oldest are indexed early.
  ///   - isEndless: whether it names windows without an end, and `settle` is called after each.
  package init(openFiles: Int = 256, isEndless: Bool = false) {
    processes = TracedProcesses(FileCache(maximumOpen: openFiles, isForever: !isEndless))
    kernel = RunningKernel(isEndless: isEndless)
  }

  /// Gives up what was made of the indexes of files; the indexes stay, as long as all take so many bytes at most.
  package mutating func settle(_ objects: [CodeObject], limit: Int) {
    for object in objects { object.settle() }
    processes.files.trim(to: limit)
  }

  /// Gives up what later windows will hardly ask for again. Call it after each.
  package mutating func settle() {
    processes.files.dropUnused()
    if noted.count > Self.modulesOfAnEndlessRun { (noted, modules) = ([], [:]) }
    kernel.endWindow()
  }

  private static let modulesOfAnEndlessRun = 4096

  /// Whether the kernel's symbols are others than when this was asked last.
  package mutating func takeKernelChange() -> Bool { kernel.takeChange() }

  // MARK: Addresses

  /// Names an address of a process, and counts it.
  ///
  /// - Parameter program: as `program` gave it; nil for the latest.
  package mutating func symbolize(
    _ address: VirtualAddress, _ kind: StackAddress, in process: ProcessID, program: Int? = nil
  ) -> Symbolized {
    let answer = lookUp(address, kind, in: process, program: program)
    count(.init(answer))
    return answer
  }

  /// Names an address of a process without counting it, for callers that keep the answer.
  package mutating func lookUp(
    _ address: VirtualAddress, _ kind: StackAddress, in process: ProcessID, program: Int? = nil
  ) -> Symbolized {
    options.namesAddresses
      ? find(kind.instruction(address.rawValue), process, program)
      : .frames([placeholder(address, in: process, program: program)])
  }

  /// A place in code that is shared by processes.
  package struct Place {
    package let object: CodeObject
    /// In the file.
    package let offset: UInt64
  }

  /// Where the instruction is that an address of a process stands for; nil where no code is known.
  package mutating func place(_ address: VirtualAddress, _ kind: StackAddress, in process: ProcessID, program: Int) -> Place? {
    let instruction = kind.instruction(address.rawValue)
    guard case .region(let region) = processes.find(instruction, in: process, program: program) else { return nil }
    return Place(object: region.object, offset: region.offset(of: instruction).rawValue)
  }

  /// Gives up what is kept to answer sooner for one file, or for the kernel: large programs take tens of megabytes. What is asked for
  /// afterwards is read again.
  package mutating func release(_ object: CodeObject?) {
    if let object { object.release() } else { kernel.release() }
  }

  private mutating func find(_ address: UInt64, _ process: ProcessID, _ program: Int?) -> Symbolized {
    let region: CodeRegion
    switch processes.find(address, in: process, program: program) {
    case .nothing(let reason): return .unknown(reason)
    case .region(let found): region = found
    }
    if case .pending = region.object.state { processes.files.load(region.object) }
    switch region.object.state {
    case .pending: return .unknown(.fileGone)
    case .failed(let reason): return .unknown(reason)
    case .memory: return ownCode(address, process, program)
    case .ready(let symbols):
      processes.files.use(region.object)
      note(region.object, symbols)
      return region.object.frames(at: region.offset(of: address), in: symbols, options)
    }
  }

  private mutating func note(_ object: CodeObject, _ symbols: ObjectSymbols) {
    guard noted.insert(object.number).inserted else { return }
    let module = Module(path: object.path, buildID: symbols.file.buildID?.description ?? "")
    if let other = modules[object.name], other.buildID != module.buildID {
      modules[object.name]?.buildID = ""
    } else {
      modules[object.name] = module
    }
  }

  private mutating func ownCode(_ address: UInt64, _ process: ProcessID, _ program: Int?) -> Symbolized {
    guard let (name, file, line) = processes.ownName(of: address, in: process, program: program) else { return .unknown(.anonymous) }
    let readable = Demangler.demangle(name, isFull: options.hasFullNames) ?? name
    return .frames([Frame(function: readable, module: "[jit]", file: file, line: line, mangled: readable == name ? nil : name)])
  }

  /// Names an address of the kernel, without counting it.
  package mutating func lookUp(_ address: KernelAddress, _ kind: StackAddress) -> Symbolized {
    options.namesAddresses ? find(address, kind) : bare(address)
  }

  private func bare(_ address: KernelAddress) -> Symbolized {
    .frames([Frame(function: "0x\(String(address.rawValue, radix: 16))", module: "[kernel]", kind: .kernel)])
  }

  private mutating func find(_ address: KernelAddress, _ kind: StackAddress) -> Symbolized {
    if modules["[kernel]"] == nil {
      modules["[kernel]"] = Module(path: "[kernel.kallsyms]", buildID: BuildID.ofRunningKernel?.description ?? "")
    }
    let instruction = kind.instruction(address.rawValue)
    let match: KernelSymbols.Match
    switch kernel.match(KernelAddress(instruction)) {
    case .failure(let reason): return .unknown(reason)
    case .success(let found): match = found
    }
    let function = Demangler.demangle(match.name) ?? match.name
    let offset = options.hasKernelOffsets ? "+0x\(String(match.offset + (address.rawValue - instruction), radix: 16))" : ""
    return .frames([
      Frame(
        function: function + offset, module: match.module ?? "[kernel]", kind: .kernel, mangled: function == match.name ? nil : match.name)
    ])
  }

  /// Counts an address with such an answer in the report.
  package mutating func count(_ outcome: SymbolizationReport.Outcome) {
    switch outcome {
    case .named(let hasLine):
      counted.named += 1
      if hasLine { counted.withLine += 1 }
    case .unknown(let reason): counted.unknown[reason, default: 0] += 1
    }
  }

  /// What to show for a user address without a name: the module and the offset in it, where they are known.
  package mutating func placeholder(_ address: VirtualAddress, in process: ProcessID, program: Int? = nil) -> Frame {
    guard case .region(let region) = processes.find(address.rawValue, in: process, program: program), !region.object.name.isEmpty else {
      return Frame(function: "[unknown]")
    }
    let offset = region.offset(of: address.rawValue).rawValue
    return Frame(function: "\(region.object.name)+0x\(String(offset, radix: 16))", module: region.object.name)
  }
}
