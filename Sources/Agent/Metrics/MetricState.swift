internal import AgentModel
internal import Linux

/// The attached probes and what they have measured; used on one thread.
struct MetricState {
  /// A probe that measures.
  private struct Running {
    var probe: any MetricProbe
    var settings: ProbeSettings
    var metrics: [Metric]
    /// On the monotonic clock.
    var openedAt = Clock.monotonic
    /// Which those were that were there when it was attached: a generation of `ProcessorWatch`.
    var processors: Int
  }

  private struct Entry {
    var key: MetricKey
    var running: Running?
    /// Of the runs before.
    var before = ProbeStanding()
    /// Of all runs, as of the last window; nil where it never measured.
    var standing: ProbeStanding?
  }

  /// Says how to measure what a key names, in a mode.
  typealias Plans = (MetricKey, String?) -> MetricProbePlan

  private let control: Control
  private let plans: Plans
  private let host: String
  private let limit: Int
  private var rules: LabelRules
  private var entries: [Entry]
  private var tables: [String: SeriesTable] = [:]
  private var watch = ProcessorWatch()

  init(_ keys: [MetricKey], _ control: Control, plans: @escaping Plans = { MetricProbePlan($0, mode: $1) }) {
    self.control = control
    self.plans = plans
    let configuration = control.configuration
    (host, limit, rules) = (configuration.host, configuration.metrics.largestSeries, configuration.labelRules)
    entries = keys.map { Entry(key: $0) }
  }

  /// Begins what is to be measured and is not.
  mutating func beginMissing() {
    for index in entries.indices where entries[index].running == nil {
      guard let settings = control.due(entries[index].key.rawValue) else { continue }
      do { try begin(index, settings) } catch { fail(index, settings, error) }
    }
  }

  private mutating func begin(_ index: Int, _ settings: ProbeSettings) throws {
    let key = entries[index].key
    let plan = plans(key, settings.mode)
    let probe = try plan.attach(ProbeSurroundings())
    for metric in plan.metrics where tables[metric.name] == nil {
      tables[metric.name] = SeriesTable(metric, host: host, limit: limit, rules: rules)
    }
    entries[index].running = Running(probe: probe, settings: settings, metrics: plan.metrics, processors: watch.generation)
    entries[index].standing = entries[index].before + probe.standing
    control.note(key.rawValue, runs: settings)
  }

  private mutating func fail(_ index: Int, _ settings: ProbeSettings, _ error: any Error) {
    entries[index].running = nil
    settle(index, entries[index].standing)
    let key = entries[index].key.rawValue
    control.note(key, with: settings, failed: "\(error)")
    if let standing = entries[index].standing { control.note(key, standing) }
  }

  /// Has what a probe has done be that of the runs before.
  private mutating func settle(_ index: Int, _ standing: ProbeStanding?) {
    guard var standing else { return }
    standing.mapMemory = 0
    (entries[index].before, entries[index].standing) = (standing, standing)
  }

  mutating func drain() {
    for index in entries.indices {
      guard let running = entries[index].running else { continue }
      do { try running.probe.drain() } catch { fail(index, running.settings, error) }
    }
  }

  /// Closes the window that is over. What is to be measured in another way, or no more, is ended.
  mutating func takeWindow(start: Int64, isLast: Bool) -> MetricWindow {
    var window = MetricWindow(start: start, metrics: [])
    let current = control.configuration.labelRules
    if current != rules {
      rules = current
      for name in tables.keys { tables[name]?.use(rules) }
    }
    watch.look()
    for index in entries.indices {
      guard let running = entries[index].running else { continue }
      do { try take(index, running, goesOn: !isLast && goesOn(entries[index].key, running), &window) } catch {
        fail(index, running.settings, error)
      }
    }
    return window
  }

  private func goesOn(_ key: MetricKey, _ running: Running) -> Bool {
    control.wanted(key.rawValue) == running.settings && (!key.isPerProcessor || running.processors == watch.generation)
  }

  /// Closes the window of one probe. What it has handed over before it fails is of this window, and of no later one.
  private mutating func take(_ index: Int, _ running: Running, goesOn: Bool, _ window: inout MetricWindow) throws {
    let key = entries[index].key
    let sink: MetricSink = { tables[$0.name]?.add($1, $2) }
    var failure: (any Error)?
    do { if goesOn { try running.probe.take(sink) } else { try running.probe.end(sink) } } catch { failure = error }
    let (now, standing) = (Clock.monotonic, entries[index].before + running.probe.standing)
    let lostBefore = entries[index].standing?.totalLost ?? 0
    for metric in running.metrics {
      let series = tables[metric.name]?.takeWindow() ?? []
      // That there was nothing is not known of one that failed: it is a gap.
      if failure != nil, series.isEmpty { continue }
      window.metrics.append(
        .init(
          name: metric.name, covered: now - running.openedAt, lost: standing.totalLost - min(lostBefore, standing.totalLost),
          series: series))
    }
    entries[index].standing = standing
    if let failure { throw failure }
    control.note(key.rawValue, standing)
    if goesOn {
      entries[index].running?.openedAt = now
    } else {
      entries[index].running = nil
      settle(index, standing)
      control.note(key.rawValue, runs: nil)
    }
  }

  var current: MetricCollector.Current {
    MetricCollector.Current(
      probes: entries.compactMap { entry in entry.standing.map { .init(name: entry.key.tool, standing: $0) } },
      series: MetricCatalog.measured.compactMap { metric in tables[metric.name].map { (metric, $0.totals) } }, rules: rules)
  }
}

extension Control {
  fileprivate func note(_ probe: String, _ standing: ProbeStanding) {
    note(probe, events: standing.delivered + standing.totalLost, lost: standing.totalLost)
  }
}
