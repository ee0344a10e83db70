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
}

/// What a probe is attached with: nothing is written, and the end comes from elsewhere.
struct ProbeSurroundings {
  let request: EndRequest

  func output() throws -> Output {
    var output = try Output(path: nil)
    output.isUsed = false
    return output
  }

  func endings() throws(SystemError) -> EndSignals { try EndSignals(request) }
}

/// A probe whose values are histograms.
final class HistogramProbe: MetricProbe {
  private var run: HistogramRun
  private let mapMemory: UInt64
  private let hand: (KeyedHistogram, MetricSink) -> Void

  /// - Parameters:
  ///   - room: entries of maps.
  ///   - hand: hands over the histogram of a key, which is in nanoseconds.
  init<Measuring: HistogramMeasuring>(
    _ parsed: Measuring, _ surroundings: ProbeSurroundings, room: [String: Int], hand: @escaping (KeyedHistogram, MetricSink) -> Void
  ) throws {
    var tool = parsed
    try tool.prepare()
    run = try HistogramRun(
      tool, tool.session.settings(tool: Measuring.name), unit: .nanoseconds, room: room, watching: surroundings.output(),
      endings: surroundings.endings)
    mapMemory = UInt64(run.session.attachment.probe.mapMemory())
    self.hand = hand
  }

  func drain() {}
  func take(_ sink: MetricSink) throws { for entry in try run.take().entries { hand(entry, sink) } }
  var standing: ProbeStanding { ProbeStanding(run.session, mapMemory: mapMemory) }
}

/// A probe that counts in the kernel.
final class CountProbe<Measuring: CountTool>: MetricProbe {
  private var run: CountRun<Measuring>
  private let mapMemory: UInt64
  private let hand: (Measuring.Row, MetricSink) -> Void

  init(
    _ parsed: Measuring, _ surroundings: ProbeSurroundings, room: [String: Int] = [:],
    hand: @escaping (Measuring.Row, MetricSink) -> Void
  ) throws {
    var tool = parsed
    try tool.prepare()
    run = try CountRun(
      tool, tool.session.settings(tool: Measuring.name), room: room, watching: surroundings.output(), endings: surroundings.endings)
    mapMemory = UInt64(run.session.attachment.probe.mapMemory())
    self.hand = hand
  }

  func drain() {}
  func take(_ sink: MetricSink) throws { for row in try run.take().rows { hand(row, sink) } }
  var standing: ProbeStanding { ProbeStanding(run.session, mapMemory: mapMemory) }
}

/// A probe of rare events, each of which counts one.
final class EventProbe<Measuring: EventTool>: MetricProbe {
  private var run: EventRun<Measuring>
  private let mapMemory: UInt64
  private let metric: Metric
  private let pairs: (Measuring.Row) -> [(String, String)]?
  private var waiting: [[(String, String)]] = []

  /// - Parameter pairs: what the series of an event is told apart by; nil where it does not count.
  init(
    _ parsed: Measuring, _ surroundings: ProbeSurroundings, _ metric: Metric, room: [String: Int],
    pairs: @escaping (Measuring.Row) -> [(String, String)]?
  ) throws {
    var tool = parsed
    try tool.prepare()
    run = try EventRun(
      tool, tool.session.settings(tool: Measuring.name), room: room, watching: surroundings.output(), endings: surroundings.endings)
    mapMemory = UInt64(run.session.attachment.probe.mapMemory())
    self.metric = metric
    self.pairs = pairs
  }

  func drain() throws {
    try run.drain { row in
      if let pairs = pairs(row) { waiting.append(pairs) }
    }
  }

  func take(_ sink: MetricSink) throws {
    _ = try run.session.closeInterval()
    try drain()
    for pairs in waiting { sink(metric, pairs, .count(1)) }
    waiting.removeAll()
  }

  var standing: ProbeStanding { ProbeStanding(run.session, mapMemory: mapMemory) }
}
