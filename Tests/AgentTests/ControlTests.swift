import AgentModel
import AgentServer
import Linux
import Logging
import Profiles
import Synchronization
import TestSupport
import Testing

@testable import Agent

/// Keeps the lines of a log.
final class Lines: Sendable {
  private let content = Mutex<[String]>([])
  var all: [String] { content.withLock(\.self) }

  struct Handler: LogHandler {
    let lines: Lines
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { lines.content.withLock { $0.append("\(event.level): \(event.message)") } }
  }

  var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }
}

@Suite struct ControlTests {
  private let lines = Lines()

  @Test func changesAreInTheLog() async throws {
    let control = Control(Configuration(), logger: lines.logger)
    let standing = try await control.change("cpu", ProbeChange(isRunning: false, frequency: 97), by: "me")
    #expect(standing?.settings.frequency == 97 && standing?.settings.isEnabled == false && standing?.isRunning == false)
    #expect(standing?.isPending == false)
    #expect(try await control.change("cpu", ProbeChange(isRunning: true), by: "me")?.isPending == true)
    _ = try await control.change("off_cpu", ProbeChange(threshold: 7), by: "me")
    #expect(try await control.change("tape", ProbeChange(isRunning: true), by: "me") == nil)
    #expect(
      try await control.change(BudgetChange(processor: 3.5, memory: 100 << 20), by: "me") == Budget(processor: 3.5, memory: 100 << 20))
    #expect(
      lines.all == [
        "notice: cpu.running: yes -> no, by me", "notice: cpu.frequency: 19 -> 97, by me",
        "notice: cpu.running: no -> yes, by me",
        "notice: off_cpu.threshold: 1000 -> 7, by me", "notice: budget.max_cpu: 2.0 -> 3.5, by me",
        "notice: budget.max_memory: 256MB -> 100MB, by me",
      ])
  }

  @Test func whatCannotBeIsRefusedAndNothingChanges() async throws {
    let control = Control(Configuration(), logger: lines.logger)
    let before = await control.probes()
    func reason(_ name: String, _ change: ProbeChange) async -> String {
      do { _ = try await control.change(name, change, by: "me") } catch { return "\(error)" }
      return ""
    }
    #expect(await reason("cpu", ProbeChange(frequency: 1000)) == "frequency is 1 to 999, not 1000")
    #expect(await reason("cpu", ProbeChange(isRunning: false, threshold: 5)) == "cpu has no threshold: it does not measure waits")
    #expect(await reason("off_cpu", ProbeChange(frequency: 5)) == "off_cpu has no frequency: it measures events")
    #expect(await reason("lock", ProbeChange(interval: 5)) == "lock has no interval: it does not measure allocations")
    #expect(await reason("allocations", ProbeChange(interval: 0)) == "interval is 1 to 1073741824 bytes, not 0")
    #expect(await reason("allocations", ProbeChange(threshold: 5)) == "allocations has no threshold: it does not measure waits")
    #expect(await reason("off_cpu", ProbeChange(threshold: 0)) == "threshold is 1 to 10000000 microseconds, not 0")
    var filter = ProbeSettings.Filter()
    filter.cgroup = "/nowhere"
    #expect(await reason("cpu", ProbeChange(filter: filter)).contains("/nowhere"))
    filter = .init()
    filter.comm = "--help"
    #expect(await reason("cpu", ProbeChange(filter: filter)).contains("no process or thread is called '--help'"))
    await #expect(throws: ControlError.self) { try await control.change(BudgetChange(processor: 0), by: "me") }
    await #expect(throws: ControlError.self) { try await control.change(BudgetChange(memory: 5), by: "me") }
    #expect(await control.probes() == before && lines.all == [])
  }

  @Test func aFileThatIsReadAgainHoldsAsAWhole() async throws {
    let folder = try TemporaryFolder()
    let store = "store: {path: \(folder.path)/agent.db}\n"
    var source = ConfigurationSource(file: try folder.file("agent.yaml", store))
    source.environment = [:]
    let control = Control(try source.read(), logger: lines.logger)
    _ = try await control.change("cpu", ProbeChange(frequency: 97), by: "me")
    let reload = Reload(source: source, control: control, notice: ServiceNotice(environment: [:]), logger: lines.logger)
    _ = try folder.file(
      "agent.yaml",
      store
        + "host: other\nredact: []\nlog_level: error\noff_cpu: {threshold: off}\nrelabel: [{action: drop, source_labels: [comm], regex: x}]\n"
    )
    reload.reload()
    #expect(control["cpu"]?.frequency == 19 && control["off_cpu"]?.isEnabled == false)
    #expect(control.configuration.host == Configuration().host && control.configuration.redaction == [])
    #expect(control.configuration.relabelling == [try RelabelRule(.drop, sources: ["comm"], regex: "x")])
    let host = Configuration().host
    #expect(
      lines.all.dropFirst() == [
        "warning: host is read at the start only: it stays \(host) until the agent is restarted, then other",
        "notice: log_level: info -> error, by SIGHUP",
        "notice: relabel: [] -> [{action: drop, regex: x, source_labels: [comm]}], by SIGHUP",
        "notice: redact: [{regex: /home/[^/ ]+, replacement: /home/*}] -> [], by SIGHUP", "notice: cpu.frequency: 97 -> 19, by SIGHUP",
        "notice: off_cpu.running: yes -> no, by SIGHUP", "notice: the configuration was read again",
      ])
    _ = try folder.file("agent.yaml", store + "cpu: {frequency: 2000}\n")
    let before = control.configuration
    reload.reload()
    #expect(control.configuration == before)
    #expect(
      lines.all.last
        == "error: the configuration was read again and is refused, the old one stays: \(folder.path)/agent.yaml:2: cpu.frequency is 0 to 999, not '2000'"
    )
    LogOutput.setLevel(.info)
  }
}

@Suite struct RelabellingTests {
  /// Two services of 2 + 3 and 5, with a stack in common.
  private let window = ProfileWindow(
    type: .cpu, start: 10, covered: 7,
    frames: [
      Frame(function: "main", file: "/home/Ann/a.c"), Frame(function: "a"), Frame(function: "b", file: "/home/Bob/a.c"),
      Frame(function: "b", file: "/home/Ann/a.c"),
    ],
    stacks: [[0, 1], [0, 2], [0, 3]],
    series: [
      .init(labels: Labels([("host", "h"), ("service", "db")]), samples: [.init(stack: 1, value: 5)]),
      .init(
        labels: Labels([("comm", "w"), ("host", "h"), ("service", "web-1.service")]),
        samples: [.init(stack: 0, value: 2), .init(stack: 2, value: 3)]),
    ])

  @Test func nothingChangesWithoutRules() {
    let same = window.prepared([], [])
    #expect(same.frames == window.frames && same.stacks == window.stacks && same.series.map(\.labels) == window.series.map(\.labels))
  }

  @Test func seriesThatBecomeTheSameAddUp() throws {
    let rules = [try RelabelRule(.labeldrop, regex: "comm"), try RelabelRule(sources: ["host"], target: "service", replacement: "all-$1")]
    let found = window.prepared(rules, [])
    #expect(found.series.map(\.labels) == [Labels([("host", "h"), ("service", "all-h")])])
    #expect(found.series[0].samples == [.init(stack: 0, value: 2), .init(stack: 1, value: 5), .init(stack: 2, value: 3)])
  }

  @Test func whatIsLeftOutLeavesNoName() throws {
    for rule in [
      try RelabelRule(.drop, sources: ["service"], regex: "db"), try RelabelRule(.keep, sources: ["comm", "host"], regex: "w;h"),
    ] {
      let found = window.prepared([rule], [])
      #expect(found.series.map(\.labels) == [window.series[1].labels])
      #expect(found.frames == [window.frames[0], window.frames[1], window.frames[3]] && found.stacks == [[0, 1], [0, 2]])
      #expect(found.series[0].samples == [.init(stack: 0, value: 2), .init(stack: 1, value: 3)])
    }
    let none = window.prepared([try RelabelRule(.drop, sources: ["host"], regex: "h")], [])
    #expect(none.series.isEmpty && none.frames.isEmpty && none.stacks.isEmpty && none.covered == 7)
  }

  @Test func replacements() throws {
    let labels = window.series[1].labels
    func apply(_ rule: RelabelRule) -> String { rule.apply(to: labels)?.description ?? "" }
    #expect(
      apply(try RelabelRule(sources: ["service"], regex: "(.*)-(\\d)\\.service", target: "service", replacement: "$1"))
        == #"{comm="w",host="h",service="web"}"#)
    #expect(apply(try RelabelRule(sources: ["service"], regex: "x(.*)", target: "service")) == labels.description)
    #expect(apply(try RelabelRule(sources: ["comm"], target: "comm", replacement: "")) == #"{host="h",service="web-1.service"}"#)
    #expect(apply(try RelabelRule(target: "team", replacement: "a")) == #"{comm="w",host="h",service="web-1.service",team="a"}"#)
  }

  /// Frames that are the same then are one, and what they make up too.
  @Test func homesAreNotTold() throws {
    let found = window.prepared([], Configuration().redaction + [try RedactionRule(regex: "web-\\d", replacement: "web")])
    #expect(found.frames.map(\.file) == ["/home/*/a.c", "/home/*/a.c", nil])
    #expect(found.frames.map(\.function) == ["main", "b", "a"] && found.stacks == [[0, 1], [0, 2]])
    #expect(found.series.map { $0.labels["service"] } == ["web.service", "db"])
    #expect(found.series.map(\.samples) == [[.init(stack: 0, value: 3), .init(stack: 1, value: 2)], [.init(stack: 0, value: 5)]])
  }
}
