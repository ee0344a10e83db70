import AgentModel
import AgentServer
import Glibc
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
    let control = Control(Configuration(), logger: lines.logger, audit: lines.logger)
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

  @Test func theAuditHasNoLevel() {
    let level = LogOutput.Level()
    let (logger, audit) = (
      Logger(label: "a") { LogOutput(label: $0, level: level) }, Logger(label: LogOutput.audit) { LogOutput(label: $0, level: level) }
    )
    level.value = .error
    #expect(logger.logLevel == .error && audit.logLevel == .trace)
  }

  @Test func probesOfMetricsAreChangedToo() async throws {
    let control = Control(Configuration(), logger: lines.logger, audit: lines.logger)
    let names = await control.probes().map(\.name)
    #expect(Set(names).isSuperset(of: MetricKey.allCases.map(\.rawValue)) && names == names.sorted())
    let faults = try await control.change("page_faults", ProbeChange(mode: "all"), by: "me")
    #expect(faults?.settings == ProbeSettings(isEnabled: true, mode: "all") && faults?.label == "faults" && faults?.isPending == true)
    #expect(control.wanted("page_faults")?.mode == "all" && control.wanted("syscalls")?.mode == "errors")
    #expect(try await control.change("run_queue", ProbeChange(isRunning: false), by: "me")?.isPending == false)
    #expect(control.wanted("run_queue") == nil)
    #expect(lines.all == ["notice: page_faults.mode: major -> all, by me", "notice: run_queue.running: yes -> no, by me"])
    // A file that is read again holds as a whole.
    control.reload(Configuration(), by: "SIGHUP")
    #expect(control.wanted("page_faults")?.mode == "major" && control.wanted("run_queue") != nil)
    #expect(
      lines.all.dropFirst(2) == ["notice: page_faults.mode: all -> major, by SIGHUP", "notice: run_queue.running: no -> yes, by SIGHUP"])
  }

  /// Of changes that come at the same time, none undoes another one.
  @Test func changesAtTheSameTime() async throws {
    for round in 0..<50 as Range<UInt64> {
      let control = Control(Configuration(), logger: lines.logger, audit: lines.logger)
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { _ = try await control.change("cpu", ProbeChange(frequency: 20 + round), by: "me") }
        tasks.addTask { _ = try await control.change("cpu", ProbeChange(isRunning: false), by: "me") }
        tasks.addTask { _ = try await control.change(BudgetChange(processor: 3), by: "me") }
        tasks.addTask { _ = try await control.change(BudgetChange(memory: 100 << 20), by: "me") }
        try await tasks.waitForAll()
      }
      #expect(control["cpu"] == ProbeSettings(isEnabled: false, frequency: 20 + round))
      #expect(await control.budget() == Budget(processor: 3, memory: 100 << 20))
    }
  }

  /// Settings that came while others were tried have not failed.
  @Test func whatFailedIsWhatWasTried() async throws {
    let control = Control(Configuration(), logger: lines.logger, audit: lines.logger)
    let settings = try #require(control.wanted("page_faults"))
    _ = try await control.change("page_faults", ProbeChange(mode: "all"), by: "me")
    control.note("page_faults", with: settings, failed: "no room")
    #expect(control.wanted("page_faults")?.mode == "all" && !control.isFailing("page_faults"))
    #expect(lines.all.last == "error: the probe page_faults does not measure: no room")
  }

  @Test func whatIsGivenUpIsTold() async throws {
    let control = Control(Configuration(), logger: lines.logger, audit: lines.logger)
    func note(_ change: CostGovernor.Change, _ cause: CostGovernor.Cause = .processor) {
      control.note(.init(change: change, cause: cause, share: 0.025, memory: 300 << 20), isWhole: true)
    }
    note(.level(1))
    note(.lean(true), .memory)
    note(.pause("run_queue", share: 0.0123))
    #expect(control.wanted("run_queue") == nil && control.paused == ["run_queue"] && control.halvings == 1)
    let taken = "the agent took 2.50 % of a processor, and may take 2.00 %"
    let reason = "paused to keep the budget: \(taken), of which this probe's programs took 1.23 % of a processor"
    #expect(await control.probes().first { $0.name == "run_queue" }?.hindrance == .init(.budget, reason))
    #expect(
      control.remarks == [
        "Rates are 1/2 of what was asked for: \(taken).", "Less is kept in memory to keep max_memory, so that names take longer.",
        "run_queue is \(reason).",
      ])
    note(.level(2), .memory)
    #expect(control.remarks[0] == "Rates are 1/4 of what was asked for: the agent takes 300 MB, and may take 256 MB.")
    note(.exhausted)
    #expect(control.remarks.contains("The agent takes more than it may, and nothing is left to give up: \(taken)."))
    for change in [.resume("run_queue"), .lean(false), .level(0)] as [CostGovernor.Change] { note(change) }
    #expect(control.remarks == [] && control.wanted("run_queue") != nil && control.paused == [] && control.halvings == 0)
    #expect(
      lines.all == [
        "notice: rates are lowered to 1/2 of what was asked for: \(taken)",
        "notice: less is kept in memory, so that names take longer: the agent takes 300 MB, and may take 256 MB",
        "warning: run_queue is \(reason); it goes on when there is room, or with a larger budget",
        "notice: rates are lowered to 1/4 of what was asked for: the agent takes 300 MB, and may take 256 MB",
        "warning: nothing is left to give up: \(taken); raise the budget or stop a probe", "notice: run_queue goes on: \(taken)",
        "notice: as much is kept in memory as before: \(taken)", "notice: rates are raised to 1/1 of what was asked for: \(taken)",
      ])
    // Who stops it and starts it wants it in any case.
    note(.pause("run_queue", share: 0.0123))
    _ = try await control.change("run_queue", ProbeChange(isRunning: false), by: "me")
    _ = try await control.change("run_queue", ProbeChange(isRunning: true), by: "me")
    #expect(control.wanted("run_queue") != nil && control.paused == [])
    // What is told says when it is not the whole.
    control.note(.init(change: .level(1), cause: .processor, share: 0.025, memory: 0), isWhole: false)
    #expect(lines.all.last?.contains("2.50 % of a processor, its programs in the kernel not counted, and may take 2.00 %") == true)
  }

  @Test func mapsThatProfilesShareCountOnce() {
    let found = AgentStanding.mapMemory([(.offCPU, [1: 100, 2: 30, 7: 5]), (.cpu, [1: 100, 2: 30, 3: 11])])
    #expect(found.map(\.type) == [.cpu, .offCPU] && found.map(\.bytes) == [141, 5])
    #expect(AgentStanding.mapMemory([(.offCPU, [1: 100, 7: 5])]).map(\.bytes) == [105])
  }

  @Test func whatCannotBeIsRefusedAndNothingChanges() async throws {
    let control = Control(Configuration(), logger: lines.logger, audit: lines.logger)
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
    #expect(await reason("run_queue", ProbeChange(frequency: 5)) == "run_queue has no frequency: it measures events")
    #expect(await reason("run_queue", ProbeChange(mode: "all")) == "run_queue has no mode: send running to start or stop it")
    #expect(await reason("cpu", ProbeChange(mode: "all")) == "cpu has no mode: send running to start or stop it")
    #expect(
      await reason("page_faults", ProbeChange(mode: "off"))
        == "mode is all or major, not 'off'; send running to start or stop the probe")
    var filter = ProbeSettings.Filter()
    #expect(
      await reason("run_queue", ProbeChange(filter: filter)) == "run_queue has no filter: it tells services or devices apart itself")
    filter.cgroup = "/nowhere"
    #expect(await reason("cpu", ProbeChange(filter: filter)).contains("/nowhere"))
    filter = .init()
    filter.comm = "--help-sixteen-b"
    #expect(await reason("cpu", ProbeChange(filter: filter)).contains("names have 1 to 15 bytes; '--help-sixteen-b' has 16"))
    await #expect(throws: ControlError.self) { try await control.change(BudgetChange(processor: 0), by: "me") }
    await #expect(throws: ControlError.self) { try await control.change(BudgetChange(memory: 5), by: "me") }
    #expect(await control.probes() == before && lines.all == [])
  }

  @Test func aFileThatIsReadAgainHoldsAsAWhole() async throws {
    let folder = try TemporaryFolder()
    let store = "store: {path: \(folder.path)/agent.db}\n"
    var source = ConfigurationSource(file: try folder.file("agent.yaml", store))
    source.environment = [:]
    let control = Control(try source.read(), logger: lines.logger, audit: lines.logger)
    _ = try await control.change("cpu", ProbeChange(frequency: 97), by: "me")
    let reload = Reload(source: source, control: control, certificate: nil, notice: ServiceNotice(environment: [:]), logger: lines.logger)
    _ = try folder.file(
      "agent.yaml",
      store
        + "host: other\nredact: []\nlog_level: error\noff_cpu: {threshold: off}\nmetrics: {page_faults: off, syscalls: latency}\nrelabel: [{action: drop, source_labels: [comm], regex: x}]\n"
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
        "notice: off_cpu.running: yes -> no, by SIGHUP", "notice: page_faults.running: yes -> no, by SIGHUP",
        "notice: syscalls.mode: errors -> latency, by SIGHUP", "notice: the configuration was read again",
      ])
    _ = try folder.file("agent.yaml", store + "cpu: {frequency: 2000}\n")
    let before = control.configuration
    reload.reload()
    #expect(control.configuration == before)
    #expect(
      lines.all.last
        == "error: the configuration was read again and is refused, the old one stays: \(folder.path)/agent.yaml:2: cpu.frequency is 0 to 999, not '2000'"
    )
    LogOutput.Level.shared.value = .info
  }
}

@Suite struct CertificateReloadTests {
  private let lines = Lines()

  /// The files' names stay, what is in them holds.
  @Test func aRenewedCertificateHolds() throws {
    let folder = try TemporaryFolder()
    let (own, other) = (try TestCertificate(in: folder, "own"), try TestCertificate(in: folder, "other"))
    var source = ConfigurationSource(
      file: try folder.file("agent.yaml", "store: {path: \(folder.path)/agent.db}\ntls: {certificate: \(own.chain), key: \(own.key)}\n"))
    source.environment = [:]
    let control = Control(try source.read(), logger: lines.logger, audit: lines.logger)
    let certificate = try control.configuration.certificate()
    let reload = Reload(
      source: source, control: control, certificate: certificate, notice: ServiceNotice(environment: [:]), logger: lines.logger)
    reload.reload()
    #expect(lines.all == ["notice: the configuration was read again"])
    for (from, to) in [(other.chain, own.chain), (other.key, own.key)] { try #require(rename(from, to) == 0) }
    reload.reload()
    #expect(
      lines.all.dropFirst() == [
        "notice: the certificate is another one from the next connection on", "notice: the configuration was read again",
      ])
    // Half of a renewal is none.
    _ = try folder.file("own-chain.pem", "nothing")
    reload.reload()
    #expect(lines.all.last?.contains("is refused, the old one stays: tls.certificate \(own.chain)") ?? false, "\(lines.all)")
  }

  /// The configuration names other files, which are good, and holds; those of the start are bad.
  @Test func aBadCertificateOfTheStartIsToldByItself() throws {
    let folder = try TemporaryFolder()
    let (own, other) = (try TestCertificate(in: folder, "own"), try TestCertificate(in: folder, "other"))
    func file(_ certificate: TestCertificate, _ more: String = "") throws -> String {
      try folder.file(
        "agent.yaml",
        "store: {path: \(folder.path)/agent.db}\ntls: {certificate: \(certificate.chain), key: \(certificate.key)}\n\(more)")
    }
    var source = ConfigurationSource(file: try file(own))
    source.environment = [:]
    let control = Control(try source.read(), logger: lines.logger, audit: lines.logger)
    let reload = Reload(
      source: source, control: control, certificate: try control.configuration.certificate(), notice: ServiceNotice(environment: [:]),
      logger: lines.logger)
    _ = try file(other, "cpu: {frequency: 97}\n")
    _ = try folder.file("own-chain.pem", "nothing")
    reload.reload()
    #expect(control["cpu"]?.frequency == 97 && control.configuration.tlsCertificate == own.chain)
    let told = lines.all.filter { !$0.hasPrefix("warning: tls.") }
    #expect(lines.all.count == told.count + 2 && told.count == 3, "\(lines.all)")
    #expect(told.first == "notice: cpu.frequency: 19 -> 97, by SIGHUP" && told.last == "notice: the configuration was read again")
    #expect(
      told.contains { $0.hasPrefix("error: the certificate could not be read again, the old one stays: tls.certificate \(own.chain)") },
      "\(told)")
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
