package import AgentModel
internal import Linux
package import Logging
internal import ServiceLifecycle
internal import Synchronization

/// Measures all metrics of the machine on one thread, and hands over a window every ten seconds.
///
/// A probe that this kernel does not take is told in the log and left out; the others go on.
package final class MetricCollector: Service {
  /// What has been measured since the agent began, as of the last window.
  struct Current: Sendable {
    struct Probe: Sendable {
      var name: String
      /// Why it does not measure; nil when it does.
      var failure: String?
      var standing = ProbeStanding()
    }

    var probes: [Probe] = []
    /// Of metrics that are measured.
    var series: [(metric: Metric, totals: [SeriesTable.Total])] = []
  }

  private let settings: MetricSettings
  private let host: String
  private let costs: CostMeter
  private let logger: Logger
  private let request: EndRequest
  private let prepare: @Sendable (Labels) -> Labels?
  private let hand: @Sendable (MetricWindow) -> Void
  private let published = Mutex(Current())

  /// - Parameters:
  ///   - host: the label of all series.
  ///   - costs: is told how long the programs run.
  ///   - prepare: makes of labels what is shown and kept; nil to leave them out.
  ///   - hand: takes a window; called on the collector's thread, which it must not hold up.
  package init(
    _ settings: MetricSettings, host: String, costs: CostMeter, logger: Logger,
    prepare: @escaping @Sendable (Labels) -> Labels? = { $0 }, hand: @escaping @Sendable (MetricWindow) -> Void
  ) throws {
    self.prepare = prepare
    self.settings = settings
    self.host = host
    self.costs = costs
    self.logger = logger
    self.hand = hand
    request = try EndRequest()
  }

  var current: Current { published.withLock { $0 } }

  /// Measures until a graceful shutdown; the last window, which is shorter, is handed over before it returns.
  package func run() async throws {
    try await MeasuringThread.run("metrics", until: request) { try self.measure() }
  }

  private func measure() throws {
    var state = MetricState(settings, host: host, logger: logger, prepare: prepare)
    state.attach(request)
    published.withLock { $0 = state.current }
    let poll = try EventPoll()
    let end = try EndSignals(request)
    poll.add(end.descriptor, as: .signal)
    var start = Self.windowStart
    while true {
      let isEnd = !poll.wait(nanoseconds: Self.tick).isEmpty
      state.drain()
      guard isEnd || Self.windowStart != start else { continue }
      let window = state.takeWindow(start: start)
      published.withLock { $0 = state.current }
      for probe in state.current.probes { costs.note(probe.name, programTime: probe.standing.programTime) }
      hand(window)
      if isEnd { return }
      start = Self.windowStart
    }
  }

  /// How often rings of rare events are emptied.
  private static let tick: UInt64 = 1_000_000_000

  /// The beginning of the window that it is now.
  private static var windowStart: Int64 { Int64(Clock.realtime / 1_000_000_000) / MetricWindow.length * MetricWindow.length }
}

/// The attached probes and what they have measured; used on one thread.
private struct MetricState {
  private struct Attached {
    var plan: MetricProbePlan
    /// Nil once it has failed.
    var probe: (any MetricProbe)?
    var failure: String?
    var standing = ProbeStanding()
    var openedAt: UInt64 = 0
  }

  private let logger: Logger
  private var probes: [Attached]
  private var tables: [String: SeriesTable] = [:]

  init(_ settings: MetricSettings, host: String, logger: Logger, prepare: @escaping (Labels) -> Labels?) {
    self.logger = logger
    probes = MetricProbePlan.all(settings).map { Attached(plan: $0) }
    for metric in probes.flatMap(\.plan.metrics) {
      tables[metric.name] = SeriesTable(metric, host: host, limit: settings.largestSeries, prepare: prepare)
    }
  }

  mutating func attach(_ request: EndRequest) {
    for index in probes.indices {
      do {
        probes[index].probe = try probes[index].plan.attach(ProbeSurroundings(request: request))
        probes[index].openedAt = Clock.monotonic
        probes[index].standing = probes[index].probe?.standing ?? ProbeStanding()
      } catch {
        fail(index, "\(error)")
      }
    }
  }

  private mutating func fail(_ index: Int, _ reason: String) {
    probes[index].probe = nil
    probes[index].failure = reason
    logger.error("the metrics of \(probes[index].plan.name) are not measured: \(reason)")
  }

  mutating func drain() {
    for index in probes.indices {
      do { try probes[index].probe?.drain() } catch { fail(index, "\(error)") }
    }
  }

  mutating func takeWindow(start: Int64) -> MetricWindow {
    var window = MetricWindow(start: start, metrics: [])
    for index in probes.indices {
      guard let probe = probes[index].probe else { continue }
      do {
        try probe.take { tables[$0.name]?.add($1, $2) }
      } catch {
        fail(index, "\(error)")
        continue
      }
      let (now, before) = (Clock.monotonic, probes[index].standing)
      probes[index].standing = probe.standing
      let lost = Self.total(probes[index].standing) - min(Self.total(before), Self.total(probes[index].standing))
      for metric in probes[index].plan.metrics {
        window.metrics.append(
          .init(
            name: metric.name, covered: now - probes[index].openedAt, lost: lost, series: tables[metric.name]?.takeWindow() ?? []))
      }
      probes[index].openedAt = now
    }
    return window
  }

  private static func total(_ standing: ProbeStanding) -> UInt64 { standing.lost.values.reduce(0, +) }

  var current: MetricCollector.Current {
    MetricCollector.Current(
      probes: probes.map { .init(name: $0.plan.name, failure: $0.failure, standing: $0.standing) },
      series: MetricCatalog.measured.compactMap { metric in tables[metric.name].map { (metric, $0.totals) } })
  }
}
