package import DebugInfo
internal import Glibc
package import Linux
package import Profiles

/// Turns addresses of processes and of the kernel into frames.
///
/// Ask after the run, not per event; but tell it of each event's process (`program`) and of what happens to processes (`note`) in time,
/// so that their mappings are known when they have ended. Files are indexed once, whatever number of processes maps them.
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

  package private(set) var report = SymbolizationReport()
  /// Set it before the first address is named.
  package var options = Options() { didSet { files.servers = options.servers } }

  /// The files that frames are in, by the frames' modules.
  package private(set) var modules: [String: Module] = [:]

  /// A file that frames are in.
  package struct Module: Hashable, Sendable {
    /// As its processes saw it.
    package var path: String
    /// Hexadecimal; empty without one, and where two files have the name.
    package var buildID: String
  }

  private var kernel: KernelSymbols??
  private var processes: [ProcessID: TracedProcess] = [:] { didSet { latest = nil } }
  /// The one of `processes` that was asked for last.
  private var latest: (process: ProcessID, traced: TracedProcess)?
  private var files: FileCache
  private var noted: Set<UInt64> = []
  /// Processes that began another program, or other code in the place of some, oldest first.
  private var replaced: [(process: ProcessID, time: UInt64)] = []
  /// Processes that have ended, oldest first.
  private var ended: [(process: ProcessID, time: UInt64)] = []
  /// Processes whose first thread has ended before others.
  private var headless: [(process: ProcessID, traced: TracedProcess, programs: Int, lookAt: UInt64)] = []
  /// Whether to remember what `takeChanges` gives out.
  package var remembersChanges = false
  private var changes = Changes()

  /// What has happened to the code of processes.
  package struct Changes {
    /// Those that have other code than before.
    package var changed: Set<ProcessID> = []
    /// Those that have ended with all their threads.
    package var gone: Set<ProcessID> = []
    /// Those that run another program than before.
    package var replaced: Set<ProcessID> = []
    /// Where other code took the place of some, and when.
    package var replacedCode: [(process: ProcessID, addresses: Range<UInt64>, since: UInt64)] = []
  }

  /// - Parameters:
  ///   - openFiles: files held open at once until something in them needs a name; beyond that the oldest are indexed early.
  ///   - isEndless: whether it names windows without an end, and `settle` is called after each.
  package init(openFiles: Int = 256, isEndless: Bool = false) {
    files = FileCache(maximumOpen: openFiles, isForever: !isEndless)
  }

  /// Gives up what was made of the indexes of files; the indexes stay, as long as all take so many bytes at most.
  package mutating func settle(_ objects: [CodeObject], limit: Int) {
    for object in objects { object.settle() }
    files.trim(to: limit)
  }

  /// Gives up what later windows will hardly ask for again. Call it after each.
  package mutating func settle() {
    files.dropUnused()
    if noted.count > Self.modulesOfAnEndlessRun { (noted, modules) = ([], [:]) }
    // Modules and programs of BPF come and go.
    if kernel != nil, let kernelReadAt, Clock.monotonic - kernelReadAt > Self.kernelLifetime { (kernel, hasNewKernel) = (nil, true) }
  }

  private static let modulesOfAnEndlessRun = 4096
  /// In nanoseconds. To read all symbols takes the kernel some 60 ms.
  private static let kernelLifetime: UInt64 = 600_000_000_000
  /// Whether the kernel's symbols have been given up since this was asked last.
  package mutating func takeKernelChange() -> Bool {
    defer { hasNewKernel = false }
    return hasNewKernel
  }
  private var hasNewKernel = false
  private var kernelReadAt: UInt64?

  // MARK: Processes

  /// What has happened since the last time.
  package mutating func takeChanges() -> Changes {
    defer { changes = Changes() }
    return changes
  }

  /// The code of a process, sorted; regions that are gone stay until others take their place.
  ///
  /// - Parameter program: as `program` gave it; nil for the latest.
  package func code(of process: ProcessID, program: Int? = nil) -> [CodeRegion] {
    guard let traced = processes[process] else { return [] }
    return traced.programs[program ?? traced.programs.count - 1].regions
  }

  /// Whether a process has not ended, as far as is known.
  package func isAlive(_ process: ProcessID) -> Bool { processes[process].map { $0.endedAt == nil } ?? false }

  /// Tells a process from others of its number, before and after, and the programs that it runs one after the other.
  package func incarnation(of process: ProcessID) -> Incarnation? {
    processes[process].map { Incarnation(process: $0.number, program: $0.startCount) }
  }

  /// One program of one process.
  package struct Incarnation: Hashable, Sendable {
    fileprivate var process: UInt64
    fileprivate var program: Int
  }

  /// Whether a program of a process, as `program` gave it, is its latest one.
  package func isLatest(_ program: Int, of process: ProcessID) -> Bool {
    processes[process].map { $0.programs.count - 1 == program } ?? false
  }

  private mutating func noteChange(_ process: ProcessID) {
    guard remembersChanges else { return }
    changes.changed.insert(process)
    changes.gone.remove(process)
  }

  /// The number of the program that a process ran at a time (CLOCK_MONOTONIC), for `symbolize`. Learns the process's mappings, while it
  /// lives, when nothing else told of them.
  package mutating func program(of process: ProcessID, at time: UInt64) -> Int {
    let traced = traced(process)
    let number = traced.program(at: time)
    if !traced.programs[number].isWanted || traced.programs[number].isStale {
      (traced.programs[number].isWanted, traced.programs[number].isStale) = (true, false)
      if !traced.programs[number].isComplete { read(process, traced, number) }
    }
    return number
  }

  /// Learns of a process now.
  package mutating func learn(_ process: ProcessID) { _ = program(of: process, at: .max) }

  /// Takes in what happened to a process. Records must come in the order of their times.
  package mutating func note(_ record: ProcessRecord) {
    switch record.kind {
    case .forked(let parent): fork(record.process, parent, record.time)
    case .executed:
      let traced = traced(record.process)
      replaced.append((record.process, record.time))
      traced.programs.append(.init(since: record.time, isComplete: true))
      // The program may have been started in a container.
      (traced.parent, traced.isRootKnown) = (nil, false)
      noteChange(record.process)
      if remembersChanges { changes.replaced.insert(record.process) }
    case .mapped(let mapping):
      guard mapping.isExecutable else { return }
      add(mapping, to: traced(record.process), traced(record.process).programs.count - 1, record.process, since: record.time)
    case .exited:
      guard let traced = processes[record.process] else { return }
      traced.endedAt = record.time
      ended.append((record.process, record.time))
    case .lost(let count):
      report.lostRecords += count
      // What they told is not known of any process: all are read again with their next events.
      for traced in processes.values {
        let last = traced.programs.count - 1
        (traced.programs[last].isComplete, traced.programs[last].isStale, traced.programs[last].readAt) = (false, true, 0)
      }
    }
  }

  /// Drops processes that ended before a time without an event.
  ///
  /// - Parameters:
  ///   - time: `program` was asked for all events before it.
  ///   - areNamed: whether all of them have been named as well, so that processes with events are of no use any more.
  package mutating func forgetIdle(before time: UInt64, areNamed: Bool = false) {
    let count = ended.firstIndex { $0.time >= time } ?? ended.count
    for (process, endedAt) in ended[..<count] {
      guard let traced = processes[process], traced.endedAt == endedAt else { continue }
      if isRunning(process) {
        traced.endedAt = nil
        headless.append((process, traced, traced.startCount, time + 1_000_000_000))
      } else {
        forget(process, traced, areNamed: areNamed)
      }
    }
    ended.removeSubrange(..<count)
    if headless.contains(where: { $0.lookAt < time }) { lookAtHeadless(time, areNamed: areNamed) }
    let replacements = replaced.firstIndex { $0.time >= time } ?? replaced.count
    for process in Set(replaced[..<replacements].map(\.process)) { processes[process]?.dropIdlePrograms() }
    replaced.removeSubrange(..<replacements)
  }

  /// Drops processes that ended before a time, all of whose events have been named.
  ///
  /// - Parameter wanted: processes with events that have not.
  package mutating func forgetNamed(before time: UInt64, keeping wanted: Set<UInt32>) {
    let gone = processes.filter { process, traced in
      traced.endedAt.map { $0 < time } ?? false && !wanted.contains(process.rawValue)
    }.map(\.key)
    for process in gone { processes[process] = nil }
  }

  /// Forgets processes whose other threads have ended by now as well: the end of the last one is told as that of a thread.
  private mutating func lookAtHeadless(_ time: UInt64, areNamed: Bool) {
    let all = headless
    headless = []
    for (process, traced, programs, _) in all {
      // The number may belong to another process by now.
      guard processes[process] === traced, traced.startCount == programs, traced.endedAt == nil else { continue }
      if isRunning(process) {
        headless.append((process, traced, programs, time + 1_000_000_000))
      } else {
        traced.endedAt = time
        forget(process, traced, areNamed: areNamed)
      }
    }
  }

  /// Whether a process whose first thread has ended has others.
  private func isRunning(_ process: ProcessID) -> Bool {
    Directory.names("/proc/\(process)/task").contains { $0 != "\(process)" }
  }

  private mutating func forget(_ process: ProcessID, _ traced: TracedProcess, areNamed: Bool) {
    if remembersChanges { changes.gone.insert(process) }
    if areNamed || !traced.isWanted { processes[process] = nil }
  }

  private mutating func traced(_ process: ProcessID) -> TracedProcess {
    // Many addresses of one process follow each other.
    if let latest, latest.process == process { return latest.traced }
    let known = processes[process]
    let traced = known ?? TracedProcess(.init(since: 0, isComplete: false))
    if known == nil { processes[process] = traced }
    latest = (process, traced)
    return traced
  }

  private mutating func fork(_ process: ProcessID, _ parent: ProcessID, _ time: UInt64) {
    noteChange(process)
    let origin = processes[parent]
    let copy = TracedProcess.Program(
      since: time, regions: origin?.programs.last?.regions ?? [], isComplete: origin?.programs.last?.isComplete ?? false)
    // The number of a process that had events may come again: those keep their programs.
    if let before = processes[process], before.isWanted {
      before.programs.append(copy)
      (before.parent, before.root, before.isRootKnown, before.endedAt) = (parent, origin?.root, false, nil)
    } else {
      processes[process] = TracedProcess(copy, parent: parent, root: origin?.root)
    }
  }

  /// - Parameter since: when it was mapped, if that is known.
  private mutating func add(_ mapping: Mapping, to traced: TracedProcess, _ number: Int, _ process: ProcessID, since: UInt64? = nil) {
    noteChange(process)
    if !traced.isRootKnown, let root = files.root(of: process) { (traced.root, traced.isRootKnown) = (root, true) }
    let object = files.object(behind: mapping, of: process, root: traced.root)
    let region = CodeRegion(start: mapping.start.rawValue, end: mapping.end.rawValue, offset: mapping.offset.rawValue, object: object)
    var number = number
    if let since, traced.programs[number].isChanged(by: region) {
      if remembersChanges { changes.replacedCode.append((process, region.start..<region.end, since)) }
      // The events before were in what was there before. They come later than this, so that the last program may seem to have none.
      var next = traced.programs[number]
      if traced.programs.count < Self.copyLimit, traced.programs.count * next.regions.count < Self.regionLimit {
        // It is not read again with its first event: by then there may be yet other code.
        (next.since, next.isContinued, next.isWanted, next.isComplete) = (since, true, false, !next.isStale)
        traced.programs.append(next)
        replaced.append((process, since))
        number += 1
      }
    }
    traced.programs[number].add(region)
    if mapping.isAnonymousCode, traced.programs[number].ownCode.identity == nil {
      traced.programs[number].ownCode.identity = PerfMap.Identity(of: process)
    }
    if JITDump.isMeant(by: mapping.name) { traced.programs[number].ownCode.dumpFile = files.open(mapping, of: process) }
  }

  /// Of a process that loads and unloads libraries for ever, later ones have the names of the last in their place: stacks of each are
  /// counted, and named, apart.
  private static let copyLimit = 256
  /// In all of these, about: 5 MB.
  private static let regionLimit = 1 << 17

  /// Reads the mappings of a process that lives, at most once a second; those of one that has ended stay as they were.
  ///
  /// - Returns: whether there may be something new.
  @discardableResult
  private mutating func read(_ process: ProcessID, _ traced: TracedProcess, _ number: Int, generation: Int = 0) -> Bool {
    // /proc has other processes by these numbers.
    guard ProcessNamespace.isInitial else { return false }
    guard number == traced.programs.count - 1, traced.endedAt == nil else { return inherit(traced, number, generation) }
    let now = Clock.monotonic
    let last = traced.programs[number].readAt
    guard last == 0 || now - last > 1_000_000_000 else { return inherit(traced, number, generation) }
    traced.programs[number].readAt = now
    guard let (maps, task) = maps(of: process) else { return inherit(traced, number, generation) }
    for (index, mapping) in maps.mappings.enumerated() where mapping.isExecutable {
      if mapping.isAnonymousCode, let region = moved(maps.mappings, index, traced, task) {
        traced.programs[number].add(region)
      } else {
        add(mapping, to: traced, number, task)
      }
    }
    return true
  }

  /// Code of a file that the program has moved into memory of its own, in the same place, for large pages: what lies between two
  /// mappings of one file where its headers have code.
  private mutating func moved(_ mappings: [Mapping], _ index: Int, _ traced: TracedProcess, _ task: ProcessID) -> TracedProcess.Region? {
    let mapping = mappings[index]
    guard let before = mappings[..<index].last(where: { $0.inode != 0 }), let after = mappings[index...].first(where: { $0.inode != 0 }),
      before.inode == after.inode, before.device == after.device,
      let first = mappings[..<index].first(where: { $0.inode == before.inode && $0.device == before.device && $0.offset.rawValue == 0 })
    else { return nil }
    let object = files.object(behind: first, of: task, root: traced.root)
    if case .pending = object.state { files.load(object) }
    guard case .ready(let symbols) = object.state, let start = symbols.file.address(at: FileOffset(0)) else { return nil }
    let wanted = mapping.start.rawValue &- first.start.rawValue &+ start.rawValue
    for segment in symbols.file.segments where segment.isExecutable {
      let inside = wanted &- segment.address.rawValue
      // Mappings begin at a page, segments anywhere in it.
      guard inside < segment.memorySize || 0 &- inside < 1 << 16 else { continue }
      return .init(
        start: mapping.start.rawValue, end: mapping.end.rawValue, offset: segment.offset.rawValue &+ inside, object: object)
    }
    return nil
  }

  /// The mappings of a process, and the task by which they can be reached: a first thread that has ended has none, but others do.
  private func maps(of process: ProcessID) -> (ProcessMaps, ProcessID)? {
    if let maps = ProcessMaps(of: process), !maps.mappings.isEmpty { return (maps, process) }
    for name in Directory.names("/proc/\(process)/task") {
      guard let number = UInt32(name), let maps = ProcessMaps(of: ProcessID(number)), !maps.mappings.isEmpty else { continue }
      return (maps, ProcessID(number))
    }
    return nil
  }

  /// A copy of a process that could not be read itself has what its parent has.
  private mutating func inherit(_ traced: TracedProcess, _ number: Int, _ generation: Int) -> Bool {
    guard let parent = traced.parent, traced.programs[number].regions.isEmpty else { return false }
    // Numbers come again, so that a process may seem to be its own ancestor: nobody is asked twice.
    traced.parent = nil
    let origin = self.traced(parent)
    let source = origin.program(at: traced.programs[number].since)
    if origin.programs[source].regions.isEmpty, generation < 64 { read(parent, origin, source, generation: generation + 1) }
    traced.programs[number].regions = origin.programs[source].regions
    return !traced.programs[number].regions.isEmpty
  }

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
    guard let region = region(at: instruction, traced(process), program, process) else { return nil }
    return Place(object: region.object, offset: region.offset(of: instruction).rawValue)
  }

  /// Gives up what is kept to answer sooner for one file, or for the kernel: large programs take tens of megabytes. What is asked for
  /// afterwards is read again.
  package mutating func release(_ object: CodeObject?) {
    if let object { object.release() } else { kernel = nil }
  }

  private mutating func region(at address: UInt64, _ traced: TracedProcess, _ number: Int, _ process: ProcessID) -> TracedProcess.Region? {
    // What is known of it may have been forgotten.
    guard number < traced.programs.count else { return nil }
    if let region = traced.programs[number].region(at: address) { return region }
    // A library that was loaded after the last reading.
    return read(process, traced, number) ? traced.programs[number].region(at: address) : nil
  }

  private mutating func find(_ address: UInt64, _ process: ProcessID, _ program: Int?) -> Symbolized {
    if program == nil { learn(process) }
    let traced = traced(process)
    let number = program ?? traced.programs.count - 1
    guard let region = region(at: address, traced, number, process) else {
      return .unknown(traced.programs[number].regions.isEmpty ? .processGone : .unmapped)
    }
    if case .pending = region.object.state { files.load(region.object) }
    switch region.object.state {
    case .pending: return .unknown(.fileGone)
    case .failed(let reason): return .unknown(reason)
    case .memory: return compiled(address, traced, number)
    case .ready(let symbols):
      files.use(region.object)
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

  /// Code that the process made itself. Its lists of names grow while it runs, so a miss reads them again, at most once a second.
  private func compiled(_ address: UInt64, _ traced: TracedProcess, _ number: Int) -> Symbolized {
    var code = traced.programs[number].ownCode
    let now = Clock.monotonic
    if code.name(of: address) == nil, code.readAt == 0 || now - code.readAt > 1_000_000_000 {
      code.read()
      code.readAt = now
      traced.programs[number].ownCode = code
    }
    guard let (name, file, line) = code.name(of: address) else { return .unknown(.anonymous) }
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
    if kernel == nil {
      kernel = .some(KernelSymbols.ofRunningKernel())
      kernelReadAt = Clock.monotonic
      modules["[kernel]"] = Module(path: "[kernel.kallsyms]", buildID: BuildID.ofRunningKernel?.description ?? "")
    }
    let symbols = kernel.flatMap(\.self)
    guard let symbols, !symbols.areHidden else { return .unknown(.kernelHidden) }
    let instruction = kind.instruction(address.rawValue)
    guard let match = symbols.match(KernelAddress(instruction)) else { return .unknown(.outsideSymbols) }
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
      report.named += 1
      if hasLine { report.withLine += 1 }
    case .unknown(let reason): report.unknown[reason, default: 0] += 1
    }
  }

  /// What to show for a user address without a name: the module and the offset in it, where they are known.
  package mutating func placeholder(_ address: VirtualAddress, in process: ProcessID, program: Int? = nil) -> Frame {
    if program == nil { learn(process) }
    let traced = traced(process)
    let number = program ?? traced.programs.count - 1
    guard let region = region(at: address.rawValue, traced, number, process), !region.object.name.isEmpty else {
      return Frame(function: "[unknown]")
    }
    let offset = region.offset(of: address.rawValue).rawValue
    return Frame(function: "\(region.object.name)+0x\(String(offset, radix: 16))", module: region.object.name)
  }
}
