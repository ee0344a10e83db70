internal import DebugInfo
internal import Glibc
package import Linux

/// What processes have run: which of their programs when, and which code lay where in them.
///
/// Tell it of each event's process (`program`) and of what happens to processes (`note`) in time, so that their mappings are known when
/// they have ended.
package struct TracedProcesses {
  private var processes: [ProcessID: TracedProcess] = [:] { didSet { latest = nil } }
  /// The one of `processes` that was asked for last.
  private var latest: (process: ProcessID, traced: TracedProcess)?
  var files: FileCache
  /// Processes that began another program, or other code in the place of some, oldest first.
  private var replaced: [(process: ProcessID, time: UInt64)] = []
  /// Processes that have ended, oldest first.
  private var ended: [(process: ProcessID, time: UInt64)] = []
  /// Processes whose first thread has ended before others.
  private var headless: [(process: ProcessID, traced: TracedProcess, programs: Int, lookAt: UInt64)] = []
  /// Whether to remember what `takeChanges` gives out.
  package var remembersChanges = false
  private var changes = Changes()
  /// Records that the kernel had no room for.
  private(set) var lostRecords: UInt64 = 0

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

  init(_ files: FileCache) { self.files = files }

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
    return traced.regions(of: program ?? traced.last)
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
    processes[process].map { $0.last == program } ?? false
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
    if !traced[number].isWanted || traced[number].isStale {
      (traced[number].isWanted, traced[number].isStale) = (true, false)
      if !traced[number].isComplete { read(process, traced, number) }
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
      traced.begin(.init(since: record.time, isComplete: true))
      // The program may have been started in a container.
      (traced.parent, traced.isRootKnown) = (nil, false)
      noteChange(record.process)
      if remembersChanges { changes.replaced.insert(record.process) }
    case .mapped(let mapping):
      guard mapping.isExecutable else { return }
      add(mapping, to: traced(record.process), traced(record.process).last, record.process, since: record.time)
    case .exited:
      guard let traced = processes[record.process] else { return }
      traced.endedAt = record.time
      ended.append((record.process, record.time))
    case .lost(let count):
      lostRecords += count
      // What they told is not known of any process: all are read again with their next events.
      for traced in processes.values {
        let last = traced.last
        (traced[last].isComplete, traced[last].isStale, traced[last].readAt) = (false, true, 0)
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
    for process in Set(replaced[..<replacements].map(\.process)) {
      if areNamed { processes[process]?.dropPrograms(before: time) } else { processes[process]?.dropIdlePrograms() }
    }
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
    for traced in processes.values where traced.programs.count > 1 { traced.dropPrograms(before: time - min(time, Self.spread)) }
  }

  /// Windows of several probes begin so close together, in nanoseconds.
  private static let spread: UInt64 = 1_000_000_000

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
      before.begin(copy)
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
    if let since, traced[number].isChanged(by: region) {
      if remembersChanges { changes.replacedCode.append((process, region.start..<region.end, since)) }
      // The events before were in what was there before. They come later than this, so that the last program may seem to have none.
      var next = traced[number]
      if traced.programs.count < Self.copyLimit, traced.programs.count * next.regions.count < Self.regionLimit {
        // It is not read again with its first event: by then there may be yet other code.
        (next.since, next.isContinued, next.isWanted, next.isComplete) = (since, true, false, !next.isStale)
        traced.begin(next)
        replaced.append((process, since))
        number += 1
      }
    }
    traced[number].add(region)
    if mapping.isAnonymousCode, traced[number].ownCode.identity == nil {
      traced[number].ownCode.identity = PerfMap.Identity(of: process)
    }
    if JITDump.isMeant(by: mapping.name) {
      traced[number].ownCode.dumpFile = files.open(mapping, of: process, root: traced.root)
    }
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
    guard number == traced.last, traced.endedAt == nil else { return inherit(traced, number, generation) }
    let now = Clock.monotonic
    let last = traced[number].readAt
    guard last == 0 || now - last > 1_000_000_000 else { return inherit(traced, number, generation) }
    traced[number].readAt = now
    guard let (maps, task) = maps(of: process) else { return inherit(traced, number, generation) }
    for (index, mapping) in maps.mappings.enumerated() where mapping.isExecutable {
      if mapping.isAnonymousCode, let region = moved(maps.mappings, index, traced, task) {
        traced[number].add(region)
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
    guard let parent = traced.parent, traced[number].regions.isEmpty else { return false }
    // Numbers come again, so that a process may seem to be its own ancestor: nobody is asked twice.
    traced.parent = nil
    let origin = self.traced(parent)
    let source = origin.program(at: traced[number].since)
    if origin[source].regions.isEmpty, generation < 64 { read(parent, origin, source, generation: generation + 1) }
    traced[number].regions = origin[source].regions
    return !traced[number].regions.isEmpty
  }

  // MARK: Code

  /// What lies at an address of a program.
  enum Finding {
    case region(CodeRegion)
    /// Nothing, or nothing that is known of the process.
    case nothing(Symbolized.Reason)
  }

  /// What lies at an address of a process.
  ///
  /// - Parameter program: as `program` gave it; nil for the latest.
  mutating func find(_ address: UInt64, in process: ProcessID, program: Int?) -> Finding {
    if program == nil { learn(process) }
    let traced = traced(process)
    let number = program ?? traced.last
    // What is known of it may have been forgotten.
    guard traced.first...traced.last ~= number else { return .nothing(.processGone) }
    if let region = traced[number].region(at: address) { return .region(region) }
    // A library that was loaded after the last reading.
    if read(process, traced, number), let region = traced[number].region(at: address) { return .region(region) }
    return .nothing(traced[number].regions.isEmpty ? .processGone : .unmapped)
  }

  /// The name of code that a program made itself. Its lists of names grow while it runs, so a miss reads them again, at most once a second.
  mutating func ownName(of address: UInt64, in process: ProcessID, program: Int?) -> (name: String, file: String?, line: UInt32)? {
    let traced = traced(process)
    let number = program ?? traced.last
    guard traced.first...traced.last ~= number else { return nil }
    let now = Clock.monotonic
    if traced[number].ownCode.name(of: address) == nil,
      traced[number].ownCode.readAt == 0 || now - traced[number].ownCode.readAt > 1_000_000_000
    {
      traced[number].ownCode.read()
      traced[number].ownCode.readAt = now
    }
    return traced[number].ownCode.name(of: address)
  }
}
