internal import AgentModel
internal import Linux
internal import Symbolication
internal import Tools

/// One probe that measures, and what it measures: one profile, or several that share it.
final class ProfileMember {
  let types: [ProfileType]
  /// As they were asked for, and how often the rates are halved.
  private(set) var settings: [ProfileType: ProbeSettings]
  private(set) var level: Int
  /// Nanoseconds between samples; 0 where events are measured.
  private(set) var period: UInt64
  /// Which those were that were there when it was attached: a generation of `ProcessorWatch`.
  private(set) var processors: Int
  /// Of the runs before.
  private let before: [ProfileType: StackRun.Quality]
  private var run: StackRun
  /// It knows what files its programs are attached to.
  private let tool: any StackTool
  private let processes: StackProcesses
  private let request: EndRequest
  /// Of the processes that were seen since the window began.
  private var labels: [UInt32: ProcessLabels] = [:]
  /// The window that is open: since 1970, in seconds, and when it began to be measured, on the monotonic clock.
  private(set) var start: Int64
  private var opened: UInt64

  /// Begins to measure.
  ///
  /// - Parameters:
  ///   - parsed: is one for these settings, and this level.
  ///   - processors: which there are.
  ///   - before: how complete the stacks of the runs before were.
  /// - Throws: when the tool's probe cannot be attached.
  init<Tool: StackTool>(
    _ types: [ProfileType], _ settings: [ProfileType: ProbeSettings], level: Int, _ parsed: Tool, _ processes: StackProcesses,
    _ processors: Int, watching output: borrowing Output, before: [ProfileType: StackRun.Quality]
  ) throws {
    var tool = parsed
    try tool.prepare()
    let request = try EndRequest()
    var run = try StackRun(
      tool, tool.session.settings(tool: Tool.name), processes, watching: output,
      endings: { () throws(SystemError) in try EndSignals(request) })
    run.aggregator.newcomers = StackAggregator.Newcomers()
    (self.types, self.settings, self.level, self.before) = (types, settings, level, before)
    (self.tool, self.processes, self.request) = (tool, processes, request)
    (self.period, self.processors) = (tool.period, processors)
    // Everything is attached now, which may have taken until after the end of the window that it was.
    (start, opened) = (Profiling.windowStart, Clock.monotonic)
    run.aggregator.beginning = opened
    run.aggregator.endWindow(at: Self.end(of: start))
    self.run = run
  }

  /// Can be waited for, until there is something to take in.
  var descriptor: CInt { run.session.descriptor }

  /// Whether everything was taken in that had come of it.
  var hasReadAll: Bool { run.hasReadAll }

  /// Looks whether there is something to do, without waiting.
  func look(_ output: borrowing Output) { _ = run.session.next(output, patience: 0) }

  /// Takes in what has come, with the labels of processes that are new in this window.
  func takeIn(_ cache: inout LabelCache) {
    run.takeIn()
    for process in run.aggregator.takeNewcomers() {
      labels[process] = cache.labels(of: process, processes.symbolizer.processes.incarnation(of: ProcessID(process)))
    }
  }

  /// Has it measure at another rate, or on other processors; programs stay loaded. The window ends then: events of two rates
  /// cannot be added. What comes in between is one sample at most of each processor.
  ///
  /// - Parameter close: ends the window that is open.
  /// - Returns: what people should know.
  /// - Throws: when that cannot be: then nothing is measured any more.
  func retune(
    _ parsed: any StackTool, _ settings: [ProfileType: ProbeSettings], level: Int, _ processors: Int,
    close: (ProfileMember) throws -> Void
  ) throws -> [String] {
    var tool = parsed
    try tool.prepare()
    let remarks = try run.retune(tool)
    run.aggregator.endWindow(at: Clock.monotonic)
    try close(self)
    (self.settings, self.level, self.period, self.processors) = (settings, level, tool.period, processors)
    return remarks
  }

  /// Attaches to files that have come since the last window.
  ///
  /// - Returns: what people should know.
  func follow() throws -> [String] { try run.follow(tool) }

  /// Waits until rules are there that events of the window need.
  ///
  /// - Returns: false when there are no such events any more.
  func waitForRules(nanoseconds: UInt64) -> Bool { run.aggregator.waitForRules(nanoseconds: nanoseconds) }

  /// The beginning of the window after the one that is open, where that one has passed as well: whoever closes them was held up.
  ///
  /// - Parameter next: the beginning of the window that it is now.
  /// - Returns: nil where none has passed, or so many that it was not the agent alone that slept: then one window has all.
  func windowBefore(_ next: Int64) -> Int64? {
    let following = start + ProfileWindow.length
    guard run.aggregator.windowEnd <= Clock.monotonic, following < next, next - following <= Self.passedLimit else { return nil }
    return following
  }
  /// In seconds.
  private static let passedLimit = 12 * ProfileWindow.length

  /// Ends the window that is open, at its end or now, and begins another one.
  ///
  /// - Parameter next: the beginning of the other one, in seconds since 1970.
  func closeWindow(next: Int64) throws -> ClosedProfile {
    let stacks = run.aggregator.closeWindow(since: opened)
    let (ended, counts) = (max(min(Clock.monotonic, run.aggregator.windowEnd), opened), try run.takeCounts())
    let closed = ClosedProfile(
      member: self, stacks: stacks, labels: labels, start: start, opened: opened, ended: ended, period: period, counts: counts)
    (labels, start, opened) = ([:], next, ended)
    run.aggregator.endWindow(at: Self.end(of: next))
    return closed
  }

  /// When a window ends, or ended, on the monotonic clock.
  private static func end(of start: Int64) -> UInt64 {
    let (now, realtime, end) = (Clock.monotonic, Clock.realtime, UInt64(max(start + ProfileWindow.length, 0)) * 1_000_000_000)
    return end > realtime ? now + (end - realtime) : now - min(realtime - end, now)
  }

  /// Detaches it, at which its window ends.
  func detach(_ output: borrowing Output) {
    run.aggregator.endWindow(at: .max)
    request.request()
    while let turn = run.session.next(output), turn != .end {}
    run.aggregator.endWindow(at: Clock.monotonic)
  }

  /// Counts the names of a window.
  func note(_ named: StackProcesses.Named) { run.aggregator.note(named) }

  /// Processes that events wait for to be named.
  var waitingProcesses: Set<UInt32> { run.aggregator.waitingProcesses }

  /// How complete the stacks of a profile have been since the agent began, and what they cost. What several profiles share is the first's.
  func quality(of type: ProfileType) -> StackRun.Quality {
    (before[type] ?? StackRun.Quality()) + (type == types[0] ? run.quality : StackRun.Quality())
  }
}

/// A window of a probe that is over, and has no names yet.
struct ClosedProfile {
  var member: ProfileMember
  var stacks: StackAggregator.ClosedStacks
  var labels: [UInt32: ProcessLabels]
  /// In seconds since 1970.
  var start: Int64
  /// On the monotonic clock, in nanoseconds.
  var opened: UInt64
  var ended: UInt64
  /// Nanoseconds between samples; 0 where events are measured.
  var period: UInt64
  var counts: (delivered: UInt64, lost: UInt64)
}
