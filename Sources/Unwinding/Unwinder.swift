package import BPF
internal import CProbes
internal import CUnwind
internal import DebugInfo
package import Linux
package import Symbolication

/// Tells the probes where the code of processes lies and how to unwind through it, and finishes the walks that they could not.
///
/// The rules of a file are made once, whatever number of processes maps it. Where the limit of memory is reached, what had no
/// event for a time leaves, and the stacks of what has no room are finished here.
package final class Unwinder {
  private let memory: UnwindMemory
  private let published: ProbeMap<UInt32, swtrace_unwind_process>
  private var processes: [ProcessID: Process] = [:]
  private var executables: [UnwindExecutable.Key: UnwindExecutable] = [:]
  /// When room was made last, and when what had no event for a time was made to leave.
  private var (recycledAt, evictedAt): (UInt64, UInt64) = (0, 0)
  /// Processes with files whose rules are not made yet.
  private var waiting: Set<ProcessID> = []

  /// A process that the probes know.
  private final class Process {
    var regions: [CodeRegion] = []
    var executables: [UnwindExecutable] = []
    /// Of the pool: the one that the probes read first, and those it refers to.
    var pages: [UInt32] = []
    var usedAt: UInt64 = 0
    /// As `swtrace_unwind_process` has it.
    var memory: UInt64 = 0
  }

  /// The maps of a probe that it fills, which several probes can share.
  package static let maps = ["unwind_processes", "unwind_pool", "unwind_index", "unwind_rules"]

  private let maps: SharedMaps

  /// - Parameters:
  ///   - maps: those named by `maps`.
  ///   - limit: bytes of the kernel's memory for rows and mappings.
  package convenience init(_ maps: SharedMaps, limit: Int) throws(BPFError) { try self.init(maps, limit: limit, TableWorker()) }

  init(_ maps: SharedMaps, limit: Int, _ worker: TableWorker) throws(BPFError) {
    self.maps = maps
    self.worker = worker
    memory = try UnwindMemory(maps, limit: limit)
    published = try maps.map("unwind_processes")
  }

  /// Why files have no rules, by their names; the first of them.
  package private(set) var failures: [(file: String, reason: String)] = []

  private static let failureLimit = 16

  private let worker: TableWorker
  /// Files whose rules were made and that nobody was shown yet.
  private var changed: [UnwindExecutable] = []

  /// Has the rules of a file made, unless that was begun.
  private func build(_ executable: UnwindExecutable) {
    guard executable.isPending else { return }
    executable.build(worker)
    if !executable.isBuilding { note(executable) }
  }

  /// Takes in what the worker has made.
  private func takeTables(all: Bool = false) {
    for (key, result) in worker.take(all: all) {
      guard let executable = executables[key], executable.isBuilding else { continue }
      executable.take(result)
      note(executable)
    }
  }

  private func note(_ executable: UnwindExecutable) {
    changed.append(executable)
    if executable.references == 0 { keep(executable) }
    guard let reason = executable.failure, failures.count < Self.failureLimit else { return }
    if !failures.contains(where: { $0.file == executable.name }) { failures.append((executable.name, reason)) }
  }

  // MARK: Processes

  /// Shows a process to the probes, or that it has other code than before. Call it for processes with events only.
  ///
  /// - Parameter memory: the address space that the code is in, as the event said; nil for the one that is known, or any.
  package func update(_ process: ProcessID, _ regions: [CodeRegion], memory: UInt64? = nil) throws(BPFError) {
    let known = processes[process] ?? Process()
    known.regions = regions
    if let memory { known.memory = memory }
    known.usedAt = Clock.monotonic
    processes[process] = known
    try publish(process, known)
  }

  /// Whether the probes know a process.
  package func knows(_ process: ProcessID) -> Bool { processes[process] != nil }

  /// The same, in that address space (0 for any); notes that it had an event.
  package func use(_ process: ProcessID, memory: UInt64) -> Bool {
    guard let known = processes[process] else { return false }
    known.usedAt = Clock.monotonic
    return memory == 0 || known.memory == memory
  }

  /// Forgets a process that has ended, or that has to make room.
  package func forget(_ process: ProcessID) {
    guard let known = processes.removeValue(forKey: process) else { return }
    published.remove(process.rawValue)
    for page in known.pages { memory.free(page: page) }
    for executable in known.executables { release(executable) }
    (known.pages, known.executables) = ([], [])
  }

  /// Files that no known process has mapped and whose rules are here only: the latest last.
  private var spare: [UnwindExecutable] = []
  /// So many of them are kept, for whoever maps them next, and for processes that there is no room for.
  private static let spareLimit = 64

  private func release(_ executable: UnwindExecutable) {
    executable.references -= 1
    guard executable.references == 0, !executable.isStored else { return }
    if executable.isPending { executables[executable.key] = nil } else if !executable.isBuilding { keep(executable) }
  }

  private func keep(_ executable: UnwindExecutable) {
    spare.removeAll { $0 === executable || $0.references > 0 || $0.isStored }
    spare.append(executable)
    guard spare.count > Self.spareLimit else { return }
    let oldest = spare.removeFirst()
    executables[oldest.key] = nil
  }

  /// How often rules were made.
  package private(set) var generation = 0

  /// Whether the rules of a file are still being made.
  package func isBuilding(_ file: UnwindExecutable.Key) -> Bool { executables[file]?.isBuilding ?? false }

  /// Has the rules of some files made before those of others, and waits for the next that are made.
  ///
  /// - Parameter nanoseconds: it waits no longer; take in what came by `build`.
  package func wait(for files: Set<UnwindExecutable.Key>, nanoseconds: UInt64) {
    worker.prefer(files)
    worker.waitForResult(nanoseconds: nanoseconds)
  }

  /// Has the rules made that processes wait for, and shows to the probes what has been made.
  ///
  /// - Parameter all: waits until all are made.
  package func build(all: Bool = false) throws(BPFError) {
    for process in waiting {
      for executable in processes[process]?.executables ?? [] {
        build(executable)
        if executable.isMade, !changed.contains(where: { $0 === executable }) { changed.append(executable) }
      }
    }
    waiting = []
    takeTables(all: all)
    // One failure does not keep the others from being shown.
    var failure: BPFError?
    do { try findRoom() } catch { failure = error }
    guard !changed.isEmpty else {
      if let failure { throw failure }
      return
    }
    generation += 1
    let ready = changed
    changed = []
    for executable in ready { do { try store(executable) } catch { failure = failure ?? error } }
    memory.unmap()
    for (number, process) in processes where process.executables.contains(where: { one in ready.contains { $0 === one } }) {
      // It may have had to make room for the one before.
      if processes[number] === process { do { try publish(number, process) } catch { failure = failure ?? error } }
    }
    if let failure { throw failure }
  }

  private func executable(of object: CodeObject) -> UnwindExecutable? {
    guard let key = object.identity.map({ UnwindExecutable.Key.file($0) }) ?? (object.name == VirtualObject.name ? .image : nil) else {
      return nil
    }
    if let known = executables[key] { return known }
    let made = UnwindExecutable(object, key)
    executables[key] = made
    return made
  }

  // MARK: The kernel's memory

  /// Writes where the code of a process lies into new pages, and shows them to the probes in place of the old ones.
  private func publish(_ number: ProcessID, _ process: Process) throws(BPFError) {
    var mapped: [UnwindExecutable] = []
    var mappings: [swtrace_mapping] = []
    for region in process.regions {
      let executable = executable(of: region.object)
      if let executable, !mapped.contains(where: { $0 === executable }) { mapped.append(executable) }
      if let mapping = Self.mapping(region, executable) { mappings.append(mapping) }
    }
    for executable in mapped { executable.references += 1 }
    if mapped.contains(where: { $0.isPending || $0.isMade }) { waiting.insert(number) }
    var pages: [UInt32] = []
    func giveUp() {
      for page in pages { memory.free(page: page) }
      for executable in mapped { release(executable) }
      forget(number)
    }
    do {
      guard try store(mappings, in: &pages) else { return giveUp() }
      try show(swtrace_unwind_process(page: pages[0], memory: process.memory, tasks(process.regions)), of: number)
    } catch {
      giveUp()
      throw error
    }
    let before = (pages: process.pages, executables: process.executables)
    (process.pages, process.executables) = (pages, mapped)
    for page in before.pages { memory.free(page: page) }
    for executable in before.executables { release(executable) }
  }

  /// Where the Swift runtime of a process keeps the task that a thread runs.
  private func tasks(_ regions: [CodeRegion]) -> (tasks: SwiftTasks, bias: UInt64)? {
    for region in regions {
      guard let executable = executable(of: region.object), let tasks = executable.table?.tasks,
        let address = executable.address(at: region.offset)
      else { continue }
      return (tasks, region.start &- address)
    }
    return nil
  }

  private func show(_ shown: swtrace_unwind_process, of process: ProcessID) throws(BPFError) {
    do { try published.set(process.rawValue, shown) } catch {
      // More processes than the map holds.
      guard error.isFullMap else { throw error }
      forgetIdle(before: .max, besides: process)
      try published.set(process.rawValue, shown)
    }
  }

  private static func mapping(_ region: CodeRegion, _ executable: UnwindExecutable?) -> swtrace_mapping? {
    var (start, end) = (region.start, region.end)
    guard end > start, end < SWTRACE_MAPPING_UNUSED else { return nil }
    var base = UInt32(SWTRACE_BASE_NONE)
    if let executable {
      switch executable.state {
      case .none: break
      case .pending, .building, .made, .homeless: base = UInt32(SWTRACE_BASE_PENDING)
      case .stored(let entries, _, _):
        guard let code = executable.table?.code, let address = executable.address(at: region.offset) else { break }
        // Only what the table stands for: the entries behind it belong to another file.
        let skipped = code.lowerBound > address ? code.lowerBound - address : 0
        guard skipped < end - start, address + skipped < code.upperBound else { break }
        start += skipped
        end = min(end, start + (code.upperBound - address - skipped))
        base = entries.lowerBound + UInt32((address + skipped - code.lowerBound) >> 8)
      }
    }
    return swtrace_mapping(start: start, pages: UInt32(clamping: (end - start) >> 8), base: base)
  }

  /// Puts sorted mappings into pages; the first is the one to begin with. False when there is no room.
  private func store(_ mappings: [swtrace_mapping], in pages: inout [UInt32]) throws(BPFError) -> Bool {
    let perPage = Int(SWTRACE_MAPPINGS_PER_PAGE)
    let unused = swtrace_mapping(start: SWTRACE_MAPPING_UNUSED, pages: 0, base: 0)
    func filled(_ part: some Collection<swtrace_mapping>) -> [swtrace_mapping] {
      Array(part) + repeatElement(unused, count: perPage - part.count)
    }
    func allocate(_ pages: inout [UInt32]) throws(BPFError) -> UInt32? {
      var page = try memory.allocatePage()
      if page == nil, try recycle() { page = try memory.allocatePage() }
      if let page { pages.append(page) }
      return page
    }
    guard let first = try allocate(&pages) else { return false }
    if mappings.count <= perPage {
      try memory.store(filled(mappings).span.bytes, inPage: first)
      return true
    }
    var directory: [swtrace_mapping] = []
    // More than 65,536 mappings are more than Linux allows by default; what is beyond is not known.
    for begin in stride(from: 0, to: min(mappings.count, perPage * perPage), by: perPage) {
      let part = mappings[begin..<min(begin + perPage, mappings.count)]
      guard let page = try allocate(&pages) else { return false }
      try memory.store(filled(part).span.bytes, inPage: page)
      directory.append(swtrace_mapping(start: part[begin].start, pages: 0, base: page))
    }
    try memory.store(filled(directory).span.bytes, inPage: first)
    return true
  }

  private func store(_ executable: UnwindExecutable) throws(BPFError) {
    guard executable.isMade, try !executable.store(in: memory), try recycle() else { return }
    executable.hasRoomAgain()
    _ = try executable.store(in: memory)
  }

  /// A process without an event for so long makes room for others.
  private static let idleNanoseconds: UInt64 = 10_000_000_000
  /// Something is made to leave once in this time.
  private static let evictionNanoseconds: UInt64 = 1_000_000_000
  /// The kernel is waited for, some milliseconds, once in this time.
  private static let recyclingNanoseconds: UInt64 = 250_000_000

  /// Makes what was freed usable again; false when there is nothing, or was a moment ago.
  private func recycle() throws(BPFError) -> Bool {
    let now = Clock.monotonic
    guard memory.hasUsed, now - recycledAt >= Self.recyclingNanoseconds else { return false }
    recycledAt = now
    try memory.recycle()
    return true
  }

  /// Finds room for files that have none: that of what no known process has mapped, and of processes that had no event for a time.
  ///
  /// What has no room even then is finished in user space, which is better than to take the room of what has events as well: then all
  /// would be made again and again.
  private func findRoom() throws(BPFError) {
    let homeless = executables.values.filter { $0.isHomeless && $0.references > 0 }
    let now = Clock.monotonic
    guard !homeless.isEmpty, now - evictedAt >= Self.evictionNanoseconds else { return }
    evictedAt = now
    removeUnused()
    if !memory.hasUsed {
      forgetIdle(before: now - min(now, Self.idleNanoseconds))
      removeUnused()
    }
    guard try recycle() else { return }
    for executable in homeless {
      executable.hasRoomAgain()
      changed.append(executable)
    }
  }

  private func removeUnused() {
    for executable in executables.values where executable.references == 0 && executable.isStored {
      executable.remove(from: memory)
      keep(executable)
    }
  }

  /// Forgets half of the processes without an event since a time, those first that had none for the longest time.
  private func forgetIdle(before time: UInt64, besides current: ProcessID? = nil) {
    let idle = processes.filter { $0.key != current && $0.value.usedAt < time }.sorted { $0.value.usedAt < $1.value.usedAt }
    for (process, _) in idle.prefix((idle.count + 1) / 2) { forget(process) }
  }

  // MARK: Walks in user space

  /// What a walk does that needs rules which are being made.
  package enum UnfinishedRules: Sendable {
    /// It says whose they are; try again when they are made.
    case retry
    /// It waits for them.
    case wait
    /// It ends there.
    case end
  }

  /// What comes of a walk in user space.
  package enum Walk {
    /// The addresses from where the walk had stopped on, why they end (enum swtrace_unwind_ending), whether one of them is in an async
    /// function, and whether some were guessed. What awaits an async function cannot be known: it is not on the stack.
    case ended([UInt64], UInt8, isAsync: Bool, isGuessed: Bool)
    case waits(UnwindExecutable.Key)
  }

  /// The frames that follow, of a stack that the probes could not walk to its end.
  ///
  /// - Parameters:
  ///   - rest: a `swtrace_stack_rest`.
  ///   - regions: the code of the process at that time.
  ///   - hasCallees: whether the probes found frames before.
  ///   - unfinished: what happens where the rules of a file are being made.
  package func finish(
    _ rest: RawSpan, _ regions: [CodeRegion], hasCallees: Bool, _ unfinished: UnfinishedRules
  ) -> Walk {
    let header = rest.unsafeLoadUnaligned(as: swtrace_stack_rest.self)
    let search = RuleSearch(regions) { [self] object in
      guard let executable = executable(of: object) else { return nil }
      build(executable)
      if executable.isBuilding, unfinished == .wait {
        worker.wait(for: executable.key)
        takeTables()
      }
      return executable
    }
    var walk = swtrace_walk()
    (walk.state.ip, walk.state.sp, walk.state.bp, walk.state.r14) = (header.ip, header.sp, header.bp, header.r14)
    walk.state.async_at = UInt8(SWTRACE_NO_ASYNC)
    walk.state.is_leaf = header.is_leaf != 0 ? 1 : 0
    walk.stack_start = header.sp
    let stack = rest.extracting(droppingFirst: MemoryLayout<swtrace_stack_rest>.size)
    walk.stack_size = UInt64(min(Int(header.count), stack.byteCount))
    walk.is_partial = walk.stack_size > UInt64(SWTRACE_REST_PAGES - 1) * 4096 ? 1 : 0
    return stack.withUnsafeBytes { bytes in
      walk.stack = bytes.baseAddress
      walk.context = Unmanaged.passUnretained(search).toOpaque()
      walk.find = { context, ip, rule in
        guard let context, let rule else { return Int32(SWTRACE_END_NO_MAPPING.rawValue) }
        return Unmanaged<RuleSearch>.fromOpaque(context).takeUnretainedValue().find(ip, &rule.pointee)
      }
      withExtendedLifetime(search) { swtrace_walk_run(&walk) }
      if unfinished == .retry, let file = search.missing { return .waits(file) }
      var addresses = withUnsafeBytes(of: walk.frames) { frames in
        (0..<Int(walk.state.count)).map { frames.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
      }
      // What a signal interrupted, as unwind_frame() has it.
      if hasCallees, header.is_leaf != 0, !addresses.isEmpty { addresses[0] &+= 1 }
      return .ended(
        addresses, walk.state.ending, isAsync: walk.state.async_at != UInt8(SWTRACE_NO_ASYNC), isGuessed: walk.state.guessed > 0)
    }
  }
}

extension swtrace_unwind_process {
  fileprivate init(page: UInt32, memory: UInt64, _ runtime: (tasks: SwiftTasks, bias: UInt64)?) {
    self.init()
    (self.page, self.memory) = (page, memory)
    guard let runtime else { return }
    task_size = runtime.tasks.size
    switch runtime.tasks.place {
    case .threadPointer(let offset):
      task_place = UInt32(SWTRACE_TASK_AT_THREAD_POINTER.rawValue)
      task_offset = Int32(clamping: offset)
    case .block(let descriptor, let offset):
      task_place = UInt32(SWTRACE_TASK_IN_BLOCK.rawValue)
      task_descriptor = runtime.bias &+ descriptor.rawValue
      task_offset = Int32(clamping: offset)
    }
  }
}

/// Finds rules by the code of one process.
private final class RuleSearch {
  private let regions: [CodeRegion]
  private let executable: (CodeObject) -> UnwindExecutable?
  /// A file whose rules are being made and were asked for.
  private(set) var missing: UnwindExecutable.Key?

  init(_ regions: [CodeRegion], executable: @escaping (CodeObject) -> UnwindExecutable?) {
    self.regions = regions
    self.executable = executable
  }

  /// 0, or why there is none (enum swtrace_unwind_ending).
  func find(_ ip: UInt64, _ rule: inout swtrace_unwind_rule) -> Int32 {
    guard !regions.isEmpty else { return Int32(SWTRACE_END_NO_PROCESS.rawValue) }
    var (low, high) = (0, regions.count)
    while low < high {
      let middle = (low + high) / 2
      if regions[middle].start <= ip { low = middle + 1 } else { high = middle }
    }
    guard low > 0, ip < regions[low - 1].end else { return Int32(SWTRACE_END_NO_MAPPING.rawValue) }
    let region = regions[low - 1]
    rule = .gap
    let executable = executable(region.object)
    if let executable, executable.isBuilding {
      missing = executable.key
      return Int32(SWTRACE_END_NO_TABLE.rawValue)
    }
    guard let executable, let table = executable.table, let start = executable.address(at: region.offset) else {
      return 0
    }
    rule = table.rule(at: ELFAddress(start &+ (ip - region.start)))
    return 0
  }
}
