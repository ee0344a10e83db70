import AgentModel
import AgentServer
import Logging
import Synchronization
import Testing

@testable import Agent

/// Hands over what it is told, and fails afterwards if it is told so.
private final class ScriptedProbe: MetricProbe {
  struct Failure: Error {}

  var values: [(service: String, count: UInt64)] = []
  var fails = false
  var standing = ProbeStanding()

  func drain() {}

  func take(_ sink: MetricSink) throws {
    for value in values {
      sink(MetricCatalog.oomKills, [("service", value.service)], .count(value.count))
      standing.delivered += value.count
    }
    values = []
    if fails { throw Failure() }
  }

  func end(_ sink: MetricSink) throws { try take(sink) }
}

@Suite struct MetricStateTests {
  private let lines = Lines()
  private let probe = ScriptedProbe()

  private func control() -> Control {
    var configuration = Configuration()
    configuration.host = "h"
    configuration.redaction = []
    return Control(configuration, logger: lines.logger, audit: lines.logger)
  }

  private func state(_ control: Control) -> MetricState {
    MetricState([.oomKills], control) { [probe] _, _ in MetricProbePlan(metrics: [MetricCatalog.oomKills]) { _ in probe } }
  }

  private func series(_ window: MetricWindow) -> [[MetricWindow.Series]] { window.metrics.map(\.series) }

  private func values(_ service: String, _ count: UInt64) -> MetricWindow.Series {
    .init(labels: Labels([("host", "h"), ("service", service)]), value: .count(count))
  }

  /// Starts the probe again, as somebody would who has seen it fail.
  private func restart(_ control: Control, _ state: inout MetricState) async throws {
    for isRunning in [false, true] { _ = try await control.change("oom_kills", ProbeChange(isRunning: isRunning), by: "me") }
    probe.fails = false
    state.beginMissing()
  }

  @Test func valuesBeforeAFailureAreOfTheirWindow() async throws {
    let control = control()
    var state = state(control)
    state.beginMissing()
    (probe.values, probe.fails) = ([("web", 3), ("db", 5)], true)
    #expect(series(state.takeWindow(start: 10, isLast: false)) == [[values("web", 3), values("db", 5)]])
    #expect(lines.all.count == 1 && lines.all[0].hasPrefix("error: the probe oom_kills does not measure"), "\(lines.all)")
    // It does not measure: a gap.
    #expect(series(state.takeWindow(start: 20, isLast: false)) == [])
    try await restart(control, &state)
    probe.values = [("db", 7)]
    #expect(series(state.takeWindow(start: 30, isLast: false)) == [[values("db", 7)]])
    // The probe is the same one, which has counted 8 before it was begun again.
    #expect(state.current.probes.map(\.standing.delivered) == [8 + 15])
    #expect(state.current.series.first?.totals.map(\.value) == [.count(3), .count(12)])
    // At the end, and with nothing: whether there was nothing is not known.
    (probe.values, probe.fails) = ([], true)
    #expect(series(state.takeWindow(start: 40, isLast: true)) == [])
  }

  @Test func otherRulesAfterAFailure() async throws {
    let control = control()
    var state = state(control)
    state.beginMissing()
    (probe.values, probe.fails) = ([("secret", 3), ("web", 5)], true)
    _ = state.takeWindow(start: 10, isLast: false)
    var configuration = control.configuration
    configuration.redaction = [try RedactionRule(regex: "secret", replacement: "***")]
    control.reload(configuration, by: "me")
    try await restart(control, &state)
    probe.values = [("web", 7)]
    #expect(series(state.takeWindow(start: 20, isLast: false)) == [[values("web", 7)]])
    #expect(state.current.series.first?.totals.map(\.labels) == [values("web", 7).labels])
  }

  /// One that cannot begin, or breaks down, is tried when its pause is over, and what it measured before stays.
  @Test func aProbeThatFailsIsTriedAgain() throws {
    let time = Mutex<UInt64>(0)
    let clock: @Sendable () -> UInt64 = { time.withLock(\.self) }
    let control = Control(Configuration(), logger: lines.logger, audit: lines.logger, clock: clock)
    var (tries, refuses) = (0, true)
    var state = MetricState([.oomKills], control) { [probe] _, _ in
      MetricProbePlan(metrics: [MetricCatalog.oomKills]) { _ in
        tries += 1
        if refuses { throw ScriptedProbe.Failure() }
        return probe
      }
    }
    func begin(at seconds: UInt64) -> Int {
      time.withLock { $0 = seconds * 1_000_000_000 }
      state.beginMissing()
      return tries
    }
    #expect([0, 9, 10, 29, 30, 69].map(begin) == [1, 1, 2, 2, 3, 3])
    refuses = false
    #expect(begin(at: 70) == 4 && control.isRunning("oom_kills"))
    probe.values = [("web", 3)]
    #expect(series(state.takeWindow(start: 70, isLast: false)).flatMap(\.self).map(\.value) == [.count(3)])
    #expect(begin(at: 80) == 4)
    // It has measured: the first pause is short again. The next failure, before it has measured for a window, is one in a row.
    (probe.values, probe.fails) = ([("web", 5)], true)
    #expect(series(state.takeWindow(start: 80, isLast: false)).flatMap(\.self).map(\.value) == [.count(5)])
    #expect([89, 90].map(begin) == [4, 5])
    #expect(series(state.takeWindow(start: 90, isLast: false)) == [])
    probe.fails = false
    #expect([109, 110].map(begin) == [5, 6])
    probe.values = [("web", 7)]
    #expect(series(state.takeWindow(start: 110, isLast: false)).flatMap(\.self).map(\.value) == [.count(7)])
    #expect(state.current.series.first?.totals.map(\.value) == [.count(15)] && !control.isFailing("oom_kills"))
    let told = "error: the probe oom_kills does not measure: Failure(); it is tried again in "
    #expect(lines.all == [10, 20, 40, 10, 20].map { "\(told)\($0) s" })
  }
}
