package import BPF
internal import CProbes
internal import Glibc
package import Linux
internal import Profiles
internal import Symbolication
internal import Unwinding

/// A probe whose events are stacks, attached, and what it has delivered: until the end of a tool's run, or for windows without an end.
package struct StackRun: ~Copyable {
  package var session: Session
  package var aggregator: StackAggregator
  /// What is read while everything is attached, at the end.
  private final class Ending { var blocked: [BlockedTask] = [] }
  private let ending: Ending
  /// Where not all waits are taken: of those that are in futex(2), if they are told apart, and of the others.
  private var samplers: (others: WaitSampler, futexes: WaitSampler)?
  /// What `takeCounts` has told.
  private var counted: (delivered: UInt64, lost: UInt64) = (0, 0)

  /// The tasks that were blocked when the trace ended, for tools that count their waits.
  var blocked: [BlockedTask] { ending.blocked }

  /// Loads and attaches.
  ///
  /// - Parameters:
  ///   - shared: what is known of processes; the rules of all probes that share it are those of the first.
  ///   - endings: what ends the run; by default the signals that end programs.
  package init(
    _ tool: some StackTool, _ settings: SessionSettings, _ shared: StackProcesses, watching output: borrowing Output,
    endings: () throws(SystemError) -> EndSignals = { () throws(SystemError) in try EndSignals() }
  ) throws {
    var aggregator = StackAggregator(shared)
    aggregator.takesUserStacksFromCalls = type(of: tool).hasLateUserStacks
    aggregator.showsEndings = tool.stacks.endings
    var isByRules = false
    let ending = Ending()
    var samplers: (others: WaitSampler, futexes: WaitSampler)?
    session = try Session(
      Plan(
        image: .named(type(of: tool).probe), hooks: tool.hooks, excludesItself: type(of: tool).excludesItself,
        configure: { (probe, programs) throws(BPFError) in
          try probe.configure(
            ".rodata.stack",
            swtrace_stack_config(
              kernel: tool.stacks.userStacksOnly ? 0 : 1, user: tool.stacks.kernelStacksOnly ? 0 : 1,
              async: tool.stacks.async == .physical ? 0 : 1, tasks: tool.stacks.tasks ? 1 : 0, reserved: (0, 0, 0, 0)))
          isByRules = StackOptions.areByRules(programs)
          if isByRules {
            // Copies of stacks are 16 KiB each.
            try probe.resize("events", to: 1 << 21)
            if let maps = shared.maps { try probe.use(maps) }
          } else {
            for map in Unwinder.maps { try probe.leaveOut(map) }
          }
          try tool.configure(&probe, programs)
        },
        prepare: { (probe) throws(BPFError) in
          if isByRules, shared.walks == nil {
            let maps = try probe.share(Unwinder.maps)
            shared.maps = maps
            shared.walks = StackWalks(try Unwinder(maps, limit: tool.stacks.unwindMemory << 20), callers: tool.stacks.async)
          }
          samplers = try tool.samples.map { (rate) throws(BPFError) in
            (try WaitSampler(probe, \.settings.0, rate: rate), try WaitSampler(probe, \.settings.1, rate: rate))
          }
          for process in settings.processes { shared.expect(ProcessID(process)) }
        },
        attach: { (probe, programs, links) throws(BPFError) in try tool.attach(probe, programs, &links) },
        beforeDetaching: { (probe, programs) throws(BPFError) in
          if tool.unfinishedWaits != nil, programs.contains("report_blocked") {
            ending.blocked = try BlockedTask.all(of: probe, byRules: isByRules)
          }
        }, activity: type(of: tool).activity),
      settings, watching: output, endings: endings)
    self.aggregator = aggregator
    self.ending = ending
    self.samplers = samplers
    shared.follow()
  }

  /// Measures at the rate of a tool that is the same but for that; programs stay loaded.
  ///
  /// - Returns: what people should know.
  /// - Throws: when the events at the new rate cannot be attached: then nothing is measured any more.
  package mutating func retune(_ tool: some StackTool) throws(BPFError) -> [String] {
    if let samples = tool.samples {
      samplers?.others.rate = samples
      samplers?.futexes.rate = samples
    } else if try !tool.adjust(session.attachment.probe) {
      session.attachment.links.detach()
      return try tool.attach(session.attachment.probe, session.attachment.chosen, &session.attachment.links)
    }
    return []
  }

  /// Attaches to what has come since the last time, for a tool that looks for files.
  ///
  /// - Returns: what people should know.
  package mutating func follow(_ tool: some StackTool) throws(BPFError) -> [String] {
    try tool.follow(session.attachment.probe, &session.attachment.links)
  }

  /// Waits for events and takes them in.
  ///
  /// - Parameter patience: how long it waits at most.
  /// - Returns: `.end` once, when everything is detached and taken in; then nil.
  package mutating func next(_ output: borrowing Output, patience: UInt64 = Session.tick) -> Session.Turn? {
    guard let turn = session.next(output, patience: patience) else { return nil }
    let now = Clock.monotonic
    takeIn()
    if hasReadAll { aggregator.symbolizer.processes.forgetIdle(before: now) }
    return turn
  }

  /// Whether `takeIn` took in everything that had come. Else a program stopped in the middle of a record, as its processor was taken from
  /// the machine: behind it there may be events of processes that have ended, so that these must not be forgotten yet.
  package private(set) var hasReadAll = true

  /// Takes in what has come.
  package mutating func takeIn() {
    aggregator.shared.follow()
    Self.drain(&session, into: &aggregator)
    hasReadAll = session.reader?.hasReadAll ?? true
    aggregator.showRules()
    // Where it cannot be set, the period stays: the sums do not depend on it.
    let come = aggregator.come
    try? samplers?.others.adjust(come.all - come.futexes)
    try? samplers?.futexes.adjust(come.futexes)
  }

  /// Events taken in since the last time, those of the next window left out, and events lost since then.
  package mutating func takeCounts() throws -> (delivered: UInt64, lost: UInt64) {
    if session.endedAt == nil { _ = try session.closeInterval() }
    let (count, overflow) = (aggregator.count, aggregator.overflow)
    let delivered = count - min(count, overflow)
    // At the end all has been read.
    let read = count + aggregator.skipped
    let unread = session.endedAt == nil ? 0 : session.total.delivered - min(session.total.delivered, read)
    let lost = session.total.totalLost + session.missed + session.throttled + overflow + unread
    // A stack may turn out to be one too many after its event was told as delivered.
    defer { counted = (max(delivered, counted.delivered), lost) }
    return (delivered - min(delivered, counted.delivered), lost - min(lost, counted.lost))
  }

  /// How complete the stacks and their names have been since the beginning, and what they cost.
  package var quality: Quality {
    let (stacks, names) = (aggregator.walked, aggregator.names)
    return Quality(
      stacks: stacks.total, wholeStacks: stacks.complete, frames: UInt64(names.total), namedFrames: UInt64(names.named),
      programTime: session.attachment.probe.statistics().reduce(0) { $0 + $1.runTime },
      maps: session.attachment.probe.mapSizes())
  }

  /// Counts since a run began.
  package struct Quality: Equatable, Sendable {
    /// User stacks that were walked by rules, and those of them that reached their thread's first function.
    package var stacks: UInt64
    package var wholeStacks: UInt64
    /// Addresses that were looked up, and those of them that have a name.
    package var frames: UInt64
    package var namedFrames: UInt64
    /// Of the probe's programs, in nanoseconds, while BPF statistics are enabled.
    package var programTime: UInt64
    /// Memory of the kernel for each map by its id, in bytes; several profiles may share one.
    package var maps: [UInt32: UInt64]

    package init(
      stacks: UInt64 = 0, wholeStacks: UInt64 = 0, frames: UInt64 = 0, namedFrames: UInt64 = 0, programTime: UInt64 = 0,
      maps: [UInt32: UInt64] = [:]
    ) {
      self.stacks = stacks
      self.wholeStacks = wholeStacks
      self.frames = frames
      self.namedFrames = namedFrames
      self.programTime = programTime
      self.maps = maps
    }

    /// Of a run and the one that followed it: what is counted adds up, the maps are the later one's.
    package static func + (earlier: Self, later: Self) -> Self {
      Self(
        stacks: earlier.stacks + later.stacks, wholeStacks: earlier.wholeStacks + later.wholeStacks, frames: earlier.frames + later.frames,
        namedFrames: earlier.namedFrames + later.namedFrames, programTime: earlier.programTime + later.programTime,
        maps: later.maps)
    }
  }

  /// Of its own: a closure in a method would have all of `self`.
  private static func drain(_ session: inout Session, into aggregator: inout StackAggregator) {
    session.reader?.drain { record in aggregator.add(record) }
  }
}
