internal import AgentModel
internal import BPF
internal import Formats
internal import Linux
internal import Tools

/// Takes a value of a metric with what its series is told apart by.
typealias MetricSink = (Metric, [(String, String)], MetricValue) -> Void

/// A probe of metrics that is attached.
protocol MetricProbe: AnyObject {
  /// Takes in what should not wait for the end of a window.
  func drain() throws
  /// Closes the interval since the last time and hands over what was in it.
  func take(_ sink: MetricSink) throws
  /// Detaches it, and hands over what was in the last interval, to the last event.
  func end(_ sink: MetricSink) throws
  /// Since it was attached; of intervals that were closed.
  var standing: ProbeStanding { get }
}

/// What a probe has done and what it costs.
struct ProbeStanding: Sendable, Equatable {
  var delivered: UInt64 = 0
  var lost: [LossReport.Reason: UInt64] = [:]
  /// Of its programs, in nanoseconds, while BPF statistics are enabled.
  var programTime: UInt64 = 0
  /// Of the kernel, in bytes.
  var mapMemory: UInt64 = 0

  init() {}

  init(_ session: borrowing Session, mapMemory: UInt64) {
    delivered = session.total.delivered
    lost = session.losses
    programTime = session.attachment.probe.statistics().reduce(0) { $0 + $1.runTime }
    self.mapMemory = mapMemory
  }

  /// Of a probe that was ended, with what is only known then.
  init(_ session: borrowing Session, ended report: LossReport) {
    self.init(session, mapMemory: 0)
    lost = report.lost
  }

  var totalLost: UInt64 { lost.values.reduce(0, +) }

  /// Of a run and the one that followed it: what is counted adds up, the memory is the later one's.
  static func + (earlier: Self, later: Self) -> Self {
    var sum = later
    sum.delivered += earlier.delivered
    sum.lost.merge(earlier.lost, uniquingKeysWith: +)
    sum.programTime += earlier.programTime
    return sum
  }
}

/// What a probe is attached with: nothing is written, and the end comes from elsewhere.
final class ProbeSurroundings {
  let output: Output
  private let request: EndRequest

  init() throws {
    var output = try Output(path: nil)
    output.isUsed = false
    self.output = output
    request = try EndRequest()
  }

  func endings() throws(SystemError) -> EndSignals { try EndSignals(request) }

  /// Detaches all of a session.
  func end(_ session: inout Session) {
    request.request()
    while let turn = session.next(output), turn != .end {}
  }
}

/// A probe whose values are histograms.
final class HistogramProbe: MetricProbe {
  private var run: HistogramRun
  private let surroundings: ProbeSurroundings
  private let mapMemory: UInt64
  private let hand: (KeyedHistogram, MetricSink) -> Void
  private var last: ProbeStanding?

  /// - Parameters:
  ///   - room: entries of maps.
  ///   - hand: hands over the histogram of a key, which is in nanoseconds.
  init<Measuring: HistogramMeasuring>(
    _ parsed: Measuring, _ surroundings: ProbeSurroundings, room: [String: Int], hand: @escaping (KeyedHistogram, MetricSink) -> Void
  ) throws {
    var tool = parsed
    try tool.prepare()
    run = try HistogramRun(
      tool, tool.session.settings(tool: Measuring.name), unit: .nanoseconds, room: room, watching: surroundings.output,
      endings: surroundings.endings)
    mapMemory = run.session.attachment.probe.mapMemory()
    self.surroundings = surroundings
    self.hand = hand
  }

  func drain() {}
  func take(_ sink: MetricSink) throws { for entry in try run.take().entries { hand(entry, sink) } }

  func end(_ sink: MetricSink) throws {
    surroundings.end(&run.session)
    try take(sink)
    last = ProbeStanding(run.session, ended: try run.finish())
  }

  var standing: ProbeStanding { last ?? ProbeStanding(run.session, mapMemory: mapMemory) }
}

/// A probe that counts in the kernel.
final class CountProbe<Measuring: CountTool>: MetricProbe {
  private var run: CountRun<Measuring>
  private let surroundings: ProbeSurroundings
  private let mapMemory: UInt64
  private let hand: (Measuring.Row, MetricSink) -> Void
  private var last: ProbeStanding?

  init(
    _ parsed: Measuring, _ surroundings: ProbeSurroundings, room: [String: Int] = [:],
    hand: @escaping (Measuring.Row, MetricSink) -> Void
  ) throws {
    var tool = parsed
    try tool.prepare()
    run = try CountRun(
      tool, tool.session.settings(tool: Measuring.name), room: room, watching: surroundings.output, endings: surroundings.endings)
    mapMemory = run.session.attachment.probe.mapMemory()
    self.surroundings = surroundings
    self.hand = hand
  }

  func drain() {}
  func take(_ sink: MetricSink) throws { for row in try run.take().rows { hand(row, sink) } }

  func end(_ sink: MetricSink) throws {
    surroundings.end(&run.session)
    try take(sink)
    last = ProbeStanding(run.session, ended: try run.finish())
  }

  var standing: ProbeStanding { last ?? ProbeStanding(run.session, mapMemory: mapMemory) }
}

/// A probe of rare events.
final class EventProbe<Measuring: EventTool>: MetricProbe {
  private var run: EventRun<Measuring>
  private let surroundings: ProbeSurroundings
  private let mapMemory: UInt64
  private let metric: Metric
  private let hand: (Measuring.Row) -> Counted?
  private var waiting: [Counted] = []
  private var last: ProbeStanding?

  /// What an event counts for, and what its series is told apart by.
  typealias Counted = (count: UInt64, pairs: [(String, String)])

  /// - Parameter hand: nil for an event that does not count.
  init(
    _ parsed: Measuring, _ surroundings: ProbeSurroundings, _ metric: Metric, room: [String: Int],
    hand: @escaping (Measuring.Row) -> Counted?
  ) throws {
    var tool = parsed
    try tool.prepare()
    run = try EventRun(
      tool, tool.session.settings(tool: Measuring.name), room: room, watching: surroundings.output, endings: surroundings.endings)
    mapMemory = run.session.attachment.probe.mapMemory()
    self.surroundings = surroundings
    self.metric = metric
    self.hand = hand
  }

  func drain() throws {
    try run.drain { row in
      if let counted = hand(row) { waiting.append(counted) }
    }
  }

  func take(_ sink: MetricSink) throws {
    _ = try run.session.closeInterval()
    try drain()
    for (count, pairs) in waiting { sink(metric, pairs, .count(count)) }
    waiting.removeAll()
  }

  func end(_ sink: MetricSink) throws {
    surroundings.end(&run.session)
    try take(sink)
    last = ProbeStanding(run.session, ended: try run.finish())
  }

  var standing: ProbeStanding { last ?? ProbeStanding(run.session, mapMemory: mapMemory) }
}
