internal import CProbes
internal import CUnwind
internal import Formats
internal import Linux
package import Profiles
package import Symbolication
internal import Unwinding

/// Counts equal stacks while events come, and names them when all have come.
package struct StackAggregator {
  /// A wait whose user stack has not come yet; its entry has the kernel's part only.
  private struct Owed {
    var entry: Int
    var value: UInt64
    var time: UInt64
  }

  package let shared: StackProcesses
  package var symbolizer: Symbolizer {
    get { shared.symbolizer }
    _modify { yield &shared.symbolizer }
  }
  /// Events that were taken in.
  package private(set) var count: UInt64 = 0
  /// Of these waits in futex(2), where they are told apart.
  package private(set) var futexCount: UInt64 = 0
  /// Events whose stack was one too many.
  package private(set) var overflow: UInt64 = 0
  /// Events whose user stack came never, or was not theirs. Known when `profile` has been made.
  package private(set) var withoutUserStack: UInt64 = 0
  /// Events that are left out by their names. Known when `profile` has been made.
  package private(set) var others: UInt64 = 0
  private var stacks: RawStacks
  private var owed: [UInt32: [Owed]] = [:]
  /// Of the record that is taken in; kept for its memory.
  private var addresses: [UInt64] = []
  /// By the entries of `stacks`.
  private var moments = Moments()
  /// Whether the profile will say when each event was.
  package var keepsMoments = false

  /// How complete the stacks are.
  private(set) var walked = StackReport()
  /// Addresses that were looked up, and those of them that have a name.
  private(set) var names = (total: 0, named: 0)
  /// Processes that were seen first since somebody looked, where somebody does.
  package var newcomers: Newcomers?

  /// Numbers of processes that had their first event of the window since the last time.
  package mutating func takeNewcomers() -> [UInt32] { newcomers?.take() ?? [] }

  /// Who had an event since the beginning of a window, and of these who is new.
  package struct Newcomers {
    private var known: Set<UInt32> = []
    private var fresh: [UInt32] = []

    package init() {}

    fileprivate mutating func note(_ process: UInt32) { if process != 0, known.insert(process).inserted { fresh.append(process) } }

    fileprivate mutating func take() -> [UInt32] {
      defer { fresh.removeAll(keepingCapacity: true) }
      return fresh
    }
  }

  package init(_ shared: StackProcesses = StackProcesses()) {
    self.shared = shared
    stacks = RawStacks()
  }
  init(stacks: RawStacks) {
    shared = StackProcesses()
    self.stacks = stacks
  }

  private var walks: StackWalks? { shared.walks }

  /// Has the rules made that the events up to now lacked. Call it after each round of events.
  mutating func showRules() {
    guard let walks else { return }
    walks.build()
    guard walks.generation != generation else { return }
    generation = walks.generation
    if !held.isEmpty { addHeld(.retry) }
  }

  /// Takes in what has waited for rules. Call it after the last event.
  package mutating func finishWalks() { addHeld(.wait) }

  /// Whether a frame shows why a user stack ends before its thread's first function.
  package var showsEndings = false

  /// Takes in one record.
  package mutating func add(_ record: RawSpan) {
    let event = record.header(swtrace_stack_event.self)
    if event.time_ns < beginning, UInt32(event.kind) != SWTRACE_STACK_USER_PART.rawValue {
      skipped += 1
      return
    }
    if event.time_ns >= windowEnd || early.threads.contains(event.tid) { return keepForNextWindow(record, event) }
    switch add(record, .retry) {
    case .done: return
    case .waits(let reason): hold(Held(record: record.withUnsafeBytes { unsafe Array($0) }, reason: reason))
    }
    if heldSize > Self.heldLimit { addHeld(.wait) }
  }

  /// A record that needs rules which are being made, or that has to come after such a one of its thread.
  private struct Held {
    var record: [UInt8]
    var reason: Reason

    enum Reason {
      case file(UnwindExecutable.Key)
      case thread
    }
    var thread: UInt32 { record.span.bytes.header(swtrace_stack_event.self).tid }
    var process: UInt32 { record.span.bytes.header(swtrace_stack_event.self).pid }
  }

  private enum Outcome {
    case done
    case waits(Held.Reason)
  }

  private var held: [Held] = []
  /// Of the rules that are known to be made.
  private var generation = 0
  private var heldThreads: Set<UInt32> = []
  private var heldSize = 0
  /// In bytes. Beyond it the rules are waited for, and the ring may fill up.
  private static let heldLimit = 32 << 20

  private mutating func hold(_ one: Held) {
    // A user part belongs to the waits before it; else the order does not matter.
    if takesUserStacksFromCalls { heldThreads.insert(one.thread) }
    heldSize += one.record.count
    held.append(one)
  }

  /// Takes in what was held, as far as it can be.
  private mutating func addHeld(_ unfinished: Unwinder.UnfinishedRules) {
    let all = held
    (held, heldThreads, heldSize) = ([], [], 0)
    for var one in all {
      if unfinished == .retry, case .file(let file) = one.reason, walks?.isBuilding(file) ?? false {
        hold(one)
      } else if case .waits(let reason) = add(one.record.span.bytes, unfinished) {
        one.reason = reason
        hold(one)
      }
    }
  }

  /// Takes in a record, unless it has to wait.
  private mutating func add(_ record: RawSpan, _ unfinished: Unwinder.UnfinishedRules) -> Outcome {
    let event = record.header(swtrace_stack_event.self)
    let body = record.extracting(droppingFirst: MemoryLayout<swtrace_stack_event>.size)
    addresses.removeAll(keepingCapacity: true)
    for index in 0..<event.frames { addresses.append(body.unsafeLoadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
    // Whose it is has to be asked now, while that is known.
    var owner = owner(event)
    newcomers?.note(event.pid)
    if unfinished == .retry, heldThreads.contains(event.tid) { return .waits(.thread) }
    var parts = event.parts
    if let file = finish(event, &owner, &parts, body.extracting(droppingFirst: event.frames * 8), unfinished) {
      return .waits(.file(file))
    }
    if UInt32(event.kind) == SWTRACE_STACK_USER_PART.rawValue {
      settle(event.tid, since: event.time_ns, addresses, parts, owner)
      return .done
    }

    count += 1
    if owner.profiles & RawStacks.locks != 0 { futexCount += 1 }
    guard let entry = stacks.entry(owner, parts, addresses) else {
      overflow += 1
      return .done
    }
    if UInt32(event.kind) == SWTRACE_STACK_USER_FOLLOWS.rawValue {
      owed[event.tid, default: []].append(Owed(entry: entry, value: event.value, time: event.time_ns))
    } else {
      add(event.value, to: entry, thread: event.tid, time: event.time_ns)
    }
    return .done
  }

  /// Completes the user part of an event in `addresses` where the probe could not, and arranges what awaits its async functions.
  ///
  /// - Returns: the file whose rules it has to wait for.
  private mutating func finish(
    _ event: swtrace_stack_event, _ owner: inout RawStacks.Owner, _ parts: inout RawStacks.Parts, _ rest: RawSpan,
    _ unfinished: Unwinder.UnfinishedRules
  ) -> UnwindExecutable.Key? {
    // The instruction that a page fault interrupted is no walk.
    guard let walks, UInt32(event.ending) != SWTRACE_END_UNKNOWN.rawValue else { return nil }
    let place = addresses.count - Int(max(event.user_frames, 0)) - Int(event.async_frames)
    let (process, program) = (ProcessID(owner.process), Int(owner.program))
    switch walks.finish(event, Array(addresses[place...]), rest, process, program, symbolizer, &walked, unfinished) {
    case .waits(let file): return file
    case .stack(let user, let asyncFrames, let ending):
      addresses.replaceSubrange(place..., with: user)
      parts.async = Int32(asyncFrames)
      if showsEndings, !ending.isPlain, !user.isEmpty { owner.ending = ending }
      return nil
    }
  }

  private mutating func add(_ value: UInt64, to entry: Int, thread: UInt32, time: UInt64) {
    stacks.add(value, to: entry)
    if keepsMoments { moments.append(Moments.Moment(time: time, value: value, sample: entry, thread: thread)) }
  }

  /// Takes in a wait that has not ended.
  ///
  /// - Parameters:
  ///   - waited: until now.
  ///   - now: the end of the trace.
  package mutating func add(_ task: BlockedTask, waited: UInt64, now: UInt64) {
    count += 1
    if task.event.user_frames < 0 { withoutUserStack += 1 }
    // The stack was read now, in what the process has mapped now; another program would have ended the thread, or the wait.
    var event = task.event
    event.time_ns = now
    var owner = owner(event)
    var user = task.userStack
    let (process, program) = (ProcessID(owner.process), Int(owner.program))
    if let walks, !task.rest.isEmpty,
      case .stack(let found, _, let ending) = walks.finish(
        task.event, [], task.rest.span.bytes, process, program, symbolizer, &walked, .wait)
    {
      user = found
      if showsEndings, !ending.isPlain { owner.ending = ending }
    }
    // Earlier waits in the same system call.
    if task.event.value > 0, !user.isEmpty {
      settle(task.event.tid, since: task.event.value, user, RawStacks.Parts(kernel: 0), owner)
    }
    owner.isBlocked = true
    guard let entry = stacks.entry(owner, task.event.parts, task.kernelStack + user) else {
      overflow += 1
      return
    }
    add(waited, to: entry, thread: task.event.tid, time: now)
  }

  /// Whose event it is; call it while the process is known.
  private mutating func owner(_ event: swtrace_stack_event) -> RawStacks.Owner {
    if let records = shared.records, event.time_ns > records.completeUntil { shared.follow() }
    func program(_ process: UInt32) -> UInt32 {
      process == 0 || !ProcessNamespace.isInitial ? 0 : UInt32(symbolizer.processes.program(of: ProcessID(process), at: event.time_ns))
    }
    var owner = RawStacks.Owner(
      process: event.pid, program: program(event.pid), command: unsafeBitCast(event.comm, to: SIMD16<UInt8>.self),
      task: event.swift_task)
    owner.profiles = event.profiles
    if UInt32(event.relation) != SWTRACE_NO_PARTNER.rawValue {
      owner.relation = UInt32(event.relation)
      owner.partner = unsafeBitCast(event.partner, to: SIMD16<UInt8>.self)
      (owner.partnerProcess, owner.partnerProgram) = (event.partner_pid, program(event.partner_pid))
      if owner.relation == SWTRACE_PARTNER_WOKE.rawValue, event.partner_pid != 0 {
        walks?.use(ProcessID(event.partner_pid), symbolizer)
      }
    }
    return owner
  }

  /// Gives a thread's waits the user stack that they ended in. Waits from before `since` were in an earlier system call, whose
  /// record was lost.
  private mutating func settle(_ thread: UInt32, since: UInt64, _ user: [UInt64], _ parts: RawStacks.Parts, _ owner: RawStacks.Owner) {
    for wait in owed.removeValue(forKey: thread) ?? [] {
      guard wait.time >= since, !user.isEmpty else {
        withoutUserStack += 1
        add(wait.value, to: wait.entry, thread: thread, time: wait.time)
        continue
      }
      var whole = stacks.entries[wait.entry]
      let others = stacks.withoutUser(whole)
      (whole.owner.ending, whole.owner.task, whole.parts.async) = (owner.ending, owner.task, parts.async)
      if let whole = stacks.entry(whole.owner, whole.parts, others + user) {
        add(wait.value, to: whole, thread: thread, time: wait.time)
      } else {
        overflow += 1
      }
    }
  }

  /// All stacks with names. Call it when the last record was taken in.
  ///
  /// - Parameters:
  ///   - delimited: whether a marker stands between the user and the kernel part.
  ///   - locksOnly: whether waits in futex(2) that were none for a lock are left out, and counted as `others`.
  package mutating func profile(unit: Profile.Unit, delimited: Bool = false, locksOnly: Bool = false) -> Profile {
    giveUpOwed(before: .max)
    var namer = StackNamer(isDelimited: delimited)
    var named = shared.name(ClosedStacks(stacks: stacks, areFromCalls: takesUserStacksFromCalls), unit, &namer) {}
    note(named)
    if locksOnly {
      let locks = named.locks()
      others = named.entries.reduce(0) { $0 + $1.events } - locks.events
      (named.profile, named.places) = (locks.profile, locks.places)
    }
    named.profile.moments = moments.mappingSamples { named.places[$0] }
    return named.profile
  }

  /// Events from before this time are not taken in, on the monotonic clock: some of a probe's programs may run while others are attached.
  package var beginning: UInt64 = 0
  /// Events that were from before it.
  private(set) var skipped: UInt64 = 0

  /// When the open window ends, on the monotonic clock: what happens from then on waits for the next one.
  package private(set) var windowEnd: UInt64 = .max

  /// Records of the next window.
  private struct Early {
    var records: [[UInt8]] = []
    var size = 0
    /// Events among them, and of these waits in futex(2).
    var count: UInt64 = 0
    var futexCount: UInt64 = 0
    /// Where user stacks follow: those of waits that are here follow them.
    var threads: Set<UInt32> = []
    var processes: Set<UInt32> = []
    /// In bytes. Beyond it the window is as long as it takes until it is closed.
    static let limit = 8 << 20
  }
  private var early = Early()
  /// Events of this window and the next one that have come since the beginning, and of these waits in futex(2).
  var come: (all: UInt64, futexes: UInt64) { (count + early.count, futexCount + early.futexCount) }

  private mutating func keepForNextWindow(_ record: RawSpan, _ event: swtrace_stack_event) {
    // Both have to be asked now, while the process is known.
    _ = owner(event)
    newcomers?.note(event.pid)
    if UInt32(event.kind) != SWTRACE_STACK_USER_PART.rawValue {
      early.count += 1
      if event.profiles & RawStacks.locks != 0 { early.futexCount += 1 }
    }
    if takesUserStacksFromCalls { early.threads.insert(event.tid) }
    early.processes.insert(event.pid)
    early.size += record.byteCount
    early.records.append(record.withUnsafeBytes { unsafe Array($0) })
    if early.size > Early.limit { endWindow(at: .max) }
  }

  /// Sets when the window that is open ends: another time than before, or, after `closeWindow`, that of the next one.
  ///
  /// - Parameter time: on the monotonic clock; `.max` where it ends when it is closed.
  package mutating func endWindow(at time: UInt64) {
    let records = early.records
    (windowEnd, early) = (time, Early())
    for record in records { add(record.span.bytes) }
  }

  /// Takes away what has come since the last window, to be named by `StackProcesses`. Stacks that wait for rules end where those are
  /// missing. Call `endWindow` for the next one.
  ///
  /// - Parameter start: when this window began; waits from before it, whose user stack has not come, get none.
  package mutating func closeWindow(since start: UInt64) -> ClosedStacks {
    // What has been made is used; rules that take longer are not waited for.
    showRules()
    addHeld(.end)
    giveUpOwed(before: start)
    return ClosedStacks(stacks: beginWindow(), areFromCalls: takesUserStacksFromCalls)
  }

  /// Stacks of a window that is over.
  package struct ClosedStacks {
    let stacks: RawStacks
    /// Whether user stacks were walked at the ends of system calls.
    let areFromCalls: Bool

    /// Whose events they are of.
    package var processes: Set<UInt32> { stacks.processes }
  }

  /// Waits until some of the rules are made that events wait for, which come before those of others from now on, and takes the events in.
  ///
  /// - Parameter nanoseconds: it waits no longer.
  /// - Returns: whether there are still events that wait.
  package mutating func waitForRules(nanoseconds: UInt64) -> Bool {
    guard !held.isEmpty, let walks else { return false }
    let files = held.compactMap { if case .file(let file) = $0.reason { file } else { nil } }
    walks.wait(for: Set(files), nanoseconds: nanoseconds)
    showRules()
    return !held.isEmpty
  }

  /// Counts what was named of it.
  package mutating func note(_ named: StackProcesses.Named) {
    withoutUserStack += named.withoutUserStack
    names.total += named.names.total
    names.named += named.names.named
  }

  /// Processes whose events are not named yet.
  package var waitingProcesses: Set<UInt32> {
    stacks.processes.union(held.map(\.process)).union(early.processes)
  }

  /// Takes away what has been counted, but for waits whose user stack may still come.
  private mutating func beginWindow() -> RawStacks {
    if newcomers != nil { newcomers = Newcomers() }
    let old = stacks
    let waiting = owed
    (stacks, owed) = (RawStacks(), [:])
    for (thread, waits) in waiting {
      for var wait in waits {
        let entry = old.entries[wait.entry]
        guard let kept = stacks.entry(entry.owner, entry.parts, Array(old.withoutUser(entry))) else {
          overflow += 1
          continue
        }
        wait.entry = kept
        owed[thread, default: []].append(wait)
      }
    }
    return old
  }

  /// Takes waits without their user stack, which has not come.
  private mutating func giveUpOwed(before time: UInt64) {
    for (thread, waits) in owed {
      for wait in waits where wait.time < time {
        withoutUserStack += 1
        add(wait.value, to: wait.entry, thread: thread, time: wait.time)
      }
      owed[thread] = waits.filter { $0.time >= time }
      if owed[thread]?.isEmpty ?? true { owed[thread] = nil }
    }
  }

  /// Whether user stacks were walked at the ends of system calls.
  package var takesUserStacksFromCalls = false
}

extension swtrace_stack_event {
  var parts: RawStacks.Parts {
    RawStacks.Parts(partnerKernel: max(partner_kernel_frames, 0), partnerUser: max(partner_user_frames, 0), kernel: max(kernel_frames, 0))
  }
  /// How many addresses follow it.
  var frames: Int { Int(parts.partnerKernel + parts.partnerUser + parts.kernel + max(user_frames, 0)) + Int(async_frames) }
}
