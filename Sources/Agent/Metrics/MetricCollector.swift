package import AgentModel
internal import Linux
internal import ServiceLifecycle
internal import Synchronization

/// Measures all metrics of the machine on one thread, and hands over a window every ten seconds.
///
/// A probe that this kernel does not take is told in the log and tried again; the others go on.
package final class MetricCollector: Service {
  /// What has been measured since the agent began, as of the last window.
  struct Current: Sendable {
    struct Probe: Sendable {
      /// The tool that it belongs to.
      var name: String
      var standing = ProbeStanding()
    }

    /// Those that measure or did.
    var probes: [Probe] = []
    /// Of metrics that are measured or were.
    var series: [(metric: Metric, totals: [SeriesTable.Total])] = []
    /// What was applied to the labels of the series.
    var rules = LabelRules()
  }

  private let keys: [MetricKey]
  private let control: Control
  private let costs: CostMeter
  private let request: EndRequest
  private let hand: @Sendable (MetricWindow) -> Void
  private let published = Mutex(Current())

  /// - Parameters:
  ///   - control: says how to measure, and which rules there are for labels; a change holds from the end of the window on.
  ///   - costs: is told how long the programs run.
  ///   - hand: takes a window; called on the collector's thread, which it must not hold up.
  package init(
    _ keys: [MetricKey] = MetricKey.allCases, control: Control, costs: CostMeter, hand: @escaping @Sendable (MetricWindow) -> Void
  ) throws {
    self.keys = keys
    self.control = control
    self.costs = costs
    self.hand = hand
    request = try EndRequest()
  }

  /// Without series where the rules have changed since: what they hide now is not shown once more.
  var current: Current {
    var current = published.withLock { $0 }
    if current.rules != control.configuration.labelRules { current.series = [] }
    return current
  }

  /// Measures until a graceful shutdown; the last window, which is shorter, is handed over before it returns.
  package func run() async throws {
    try await MeasuringThread.run("metrics", until: request) { try self.measure() }
  }

  private func measure() throws {
    var state = MetricState(keys, control)
    state.beginMissing()
    publish(state)
    let poll = try EventPoll()
    let end = try EndSignals(request)
    poll.add(end.descriptor, as: .signal)
    var start = Self.windowStart
    while true {
      let isEnd = !poll.wait(nanoseconds: Self.tick).isEmpty
      state.drain()
      guard isEnd || Self.windowStart != start else {
        state.beginMissing()
        continue
      }
      let window = state.takeWindow(start: start, isLast: isEnd)
      if !isEnd { state.beginMissing() }
      publish(state)
      hand(window)
      if isEnd { return }
      start = Self.windowStart
    }
  }

  private func publish(_ state: MetricState) {
    let current = state.current
    for probe in current.probes {
      costs.note(probe.name, programTime: probe.standing.programTime, mapMemory: probe.standing.mapMemory)
    }
    published.withLock { $0 = current }
  }

  /// How often rings of rare events are emptied, and probes that have failed are looked at.
  private static let tick: UInt64 = 1_000_000_000

  /// The beginning of the window that it is now.
  private static var windowStart: Int64 { Int64(Clock.realtime / 1_000_000_000) / MetricWindow.length * MetricWindow.length }
}
