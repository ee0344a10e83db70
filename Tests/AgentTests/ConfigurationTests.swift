import AgentModel
import AgentServer
import Glibc
import Linux
import TestSupport
import Testing

@testable import Agent

// The server has its own.
typealias Configuration = Agent.Configuration
typealias ConfigurationError = Agent.ConfigurationError

@Suite struct ConfigurationTests {
  private func read(_ text: String) throws -> Configuration {
    var configuration = Configuration()
    try configuration.read(text, name: "agent.yaml")
    return configuration
  }

  @Test func theFileThatIsPrintedIsTheDefault() throws {
    let configuration = Configuration()
    #expect(try read(configuration.file) == configuration)
    for key in Configuration.keys { for line in key.meaning.split(separator: "\n") { #expect(try configuration.file.contains(line)) } }
  }

  @Test(arguments: [
    "a: b", "# a", "a #b", "'", "\"", "\\n\"x", "yes", "~", "null", "- a", "[a", "{a}", "*a", "&a", "!a", "%a", "@a", "`a", "a\nb: c",
    "\u{85}\u{2028}é😀", " a ", "\ta", "0x10", "---", "...", "? a", "|", ">", "a\u{1}\u{7f}", "\r",
  ]) func whatIsPrintedIsReadBack(text: String) throws {
    var configuration = Configuration()
    (configuration.host, configuration.tokenFile, configuration.storePath) = (text, text, text)
    (configuration.address, configuration.port, configuration.names) = ("::1", 1, ["[::1]:8", "a,b", "*"])
    configuration.redaction = [
      try RedactionRule(regex: text.replacing(/[^a-zé😀\u{85}\u{2028}\n\t\r #:'"~&!%@`>\u{1}\u{7f}-]/, with: "x"), replacement: text)
    ]
    configuration.relabelling = [
      try RelabelRule(.replace, sources: ["a", "b"], regex: "(a)\\n", target: "c", replacement: "$1: " + text),
      try RelabelRule(.labeldrop, regex: "x.*"),
      try RelabelRule(.keep, sources: ["service"], regex: "#a|"),
    ]
    configuration.logLevel = .debug
    #expect(try read(configuration.file) == configuration)
  }

  @Test func rules() throws {
    let found = try read(
      """
      relabel:
        - {source_labels: [service], regex: '(.*)\\.service', target_label: service}
        - action: drop
          source_labels: [service, comm]
          regex: "a;b"
      redact: []
      """)
    #expect(
      found.relabelling == [
        try RelabelRule(sources: ["service"], regex: "(.*)\\.service", target: "service"),
        try RelabelRule(.drop, sources: ["service", "comm"], regex: "a;b"),
      ])
    #expect(found.redaction == [] && Configuration().redaction.count == 1)
    let other = try Configuration(file: nil, environment: ["SWTRACE_REDACT": "[{regex: a}]", "SWTRACE_NAMES": "[x, y]"])
    #expect(other.redaction == [try RedactionRule(regex: "a", replacement: "")] && other.names == ["x", "y"])
  }

  @Test func keysOfAllKinds() throws {
    let found = try read(
      """
      host: build-7
      listen: "[::1]:8080"
      names: [profiles.example, other]
      store:
        path: /tmp/x.db
        keep_windows: 36h
        max_size: 512MB
      cpu: {frequency: 97}
      off_cpu:
        threshold: "off"
      """)
    #expect(found.host == "build-7" && found.address == "::1" && found.port == 8080 && found.names == ["profiles.example", "other"])
    #expect(found.storePath == "/tmp/x.db" && found.keepWindows == 129_600 && found.maximumSize == 536_870_912)
    #expect(found.cpuFrequency == 97 && found.offCPUThreshold == nil && found.keepHours == Configuration().keepHours)
    #expect(try read("") == Configuration())
  }

  @Test func allocationsAreMeasuredWhereThatIsAsked() throws {
    #expect(Configuration().probes["allocations"] == ProbeSettings(isEnabled: false, interval: 512 << 10))
    let found = try read("allocations: {interval: 64KB, comm: web, cgroup: system.slice/web.service}")
    let settings = try #require(found.probes["allocations"])
    #expect(settings.isEnabled && settings.interval == 64 << 10 && settings.filter.comm == "web")
    #expect(settings.filter.cgroup == "system.slice/web.service" && settings.filter.user.isEmpty)
  }

  @Test func locksAreMeasuredWhereThatIsAsked() throws {
    #expect(Configuration().probes["lock"] == ProbeSettings(isEnabled: false, threshold: 100))
    #expect(try read("lock: {threshold: 50}").probes["lock"] == ProbeSettings(isEnabled: true, threshold: 50))
    #expect(try read("lock: {threshold: 50}\ncpu: {frequency: 0}\noff_cpu: {threshold: off}").lockThreshold == 50)
    #expect(try read("lock: {threshold: \"off\"}").lockThreshold == nil)
  }

  @Test(arguments: [
    ("cpu:\n  frequency: 5000", "agent.yaml:2: cpu.frequency is 0 to 999, not '5000'"),
    ("cpu:\n  frequenzy: 50", "agent.yaml:2: there is no key cpu.frequenzy; there are cpu.frequency"),
    ("host: a\nhost: b", "host"),
    ("allocations: {interval: 2GB}", "agent.yaml:1: allocations.interval is a size of 1B to 1GB, as 512KB, or off, not '2GB'"),
    ("allocations: {interval: 0B}", "allocations.interval is a size of 1B to 1GB"),
    ("lock: {threshold: 0}", "agent.yaml:1: lock.threshold is 1 to 10000000 microseconds or off, not '0'"),
    ("cpu: 7", "agent.yaml:1: cpu takes keys of its own"),
    ("host: {a: b}", "agent.yaml:1: host takes one value"),
    ("listen: 8080", "agent.yaml:1: listen is an address and a port, as 127.0.0.1:7380, not '8080'"),
    ("- a", "agent.yaml: the file is a list of keys"),
    ("store: {max_size: 1MB}", "store.max_size is a size of 16MB or more"),
    ("store: {keep_hours: 99999999999999999d}", "store.keep_hours is a time of 1h or more"),
    ("a: [", "agent.yaml is no YAML"), ("names: a", "agent.yaml:1: names takes a list, as [] or [a, b]"),
    ("names: [a/b]", "names has 'a/b', which is no name of a host"), ("log_level: loud", "log_level is one of debug, info"),
    ("budget: {max_cpu: 0}", "budget.max_cpu is 0.1 to 6400, not '0'"), ("budget: {max_memory: 1MB}", "is a size of 64MB or more"),
    ("relabel: [{action: hash}]", "relabel rule 1: has the action 'hash'; there are replace, keep, drop, labeldrop"),
    (
      "relabel: [{action: keep, target_label: a}]",
      "relabel rule 1: 'target_label' has no place here; there are action, regex, source_labels"
    ),
    ("relabel: [{action: keep}]", "relabel rule 1: needs source_labels for keep"),
    ("relabel: [{target_label: a b}]", "relabel rule 1: 'a b' is no label"),
    ("relabel: [{target_label: a, regex: (}]", "a ( without its )"),
    ("relabel: [{target_label: a, replacement: $2}]", "the regular expression has 1 groups, not 2"),
    ("relabel: [{action: labeldrop, regex: .*}]", "would remove host or service"), ("relabel: [a]", "relabel rule 1: is no mapping"),
    ("redact: [{regex: a}, {regx: b}]", "redact rule 2: 'regx' has no place here"), ("redact: [{replacement: b}]", "a rule without regex"),
    ("redact: [{regex: [a]}]", "redact rule 1: regex takes one value"), ("host: \"\\0\"", "host has a NUL character"),
    ("metrics: {block_io: maybe}", "agent.yaml:1: metrics.block_io is on or off, not 'maybe'"),
    ("metrics: {page_faults: minor}", "agent.yaml:1: metrics.page_faults is one of all, major, off, not 'minor'"),
    ("deleted_libraries: maybe", "agent.yaml:1: deleted_libraries is on or off, not 'maybe'"),
    ("metrics: {max_series: 0}", "agent.yaml:1: metrics.max_series is 1 to 10000, not '0'"),
  ]) func errorsNameTheLineAndTheRemedy(_ text: String, message: String) {
    let error = #expect(throws: ConfigurationError.self) { try read(text) }
    #expect(error?.text.contains(message) ?? false, "\(error?.text ?? "")")
    #expect(!(error?.text.contains("\n") ?? true))
  }

  @Test func metricsAreSwitched() throws {
    let found = try read(
      """
      metrics:
        run_queue: off
        page_faults: all
        syscalls: latency
        max_series: 7
      """)
    var expected = MetricSettings()
    (expected[.runQueue], expected[.faults], expected[.systemCalls], expected.largestSeries) = ("off", "all", "latency", 7)
    #expect(found.metrics == expected)
    #expect(found.probes["run_queue"] == ProbeSettings(isEnabled: false) && found.probes["block_io"] == ProbeSettings(isEnabled: true))
    #expect(found.probes["page_faults"] == ProbeSettings(isEnabled: true, mode: "all"))
    #expect(found.probes["syscalls"] == ProbeSettings(isEnabled: true, mode: "latency"))
    let other = try Configuration(file: nil, environment: ["SWTRACE_METRICS_TCP_RTT": "off", "SWTRACE_METRICS_SYSCALLS": "off"])
    #expect(other.metrics[.roundTrips] == "off" && other.metrics[.systemCalls] == "off" && other.probes["tcp_rtt"]?.isEnabled == false)
  }

  /// Anything at all is enough to start with.
  @Test func somethingIsToBeMeasured() throws {
    var off = Dictionary(uniqueKeysWithValues: MetricKey.allCases.map { ("SWTRACE_METRICS_\($0.rawValue.uppercased())", "off") })
    off.merge(["SWTRACE_CPU_FREQUENCY": "0", "SWTRACE_OFF_CPU_THRESHOLD": "off"]) { $1 }
    let error = #expect(throws: ConfigurationError.self) { try Configuration(file: nil, environment: off) }
    #expect(
      error?.text == "there is nothing to measure: cpu.frequency is 0, off_cpu.threshold, lock.threshold, allocations.interval and all "
        + "metrics are off; turn one of them on")
    for other in [
      ("SWTRACE_CPU_FREQUENCY", "1"), ("SWTRACE_OFF_CPU_THRESHOLD", "1"), ("SWTRACE_LOCK_THRESHOLD", "1"),
      ("SWTRACE_ALLOCATIONS_INTERVAL", "1B"), ("SWTRACE_METRICS_OOM_KILLS", "on"),
    ] {
      let found = try Configuration(file: nil, environment: off.merging([other]) { $1 })
      #expect(found.probes.values.count(where: \.isEnabled) == 1, "\(other)")
    }
  }

  @Test func whatOpensDeletedLibrariesIsKeptWhereThatIsAsked() throws {
    #expect(Needs.of(Configuration()).map(\.capability) == [.bpf, .perfmon, .sysPtrace, .syslog, .dacReadSearch])
    let found = try read("deleted_libraries: on")
    #expect(found.keepsDeletedLibraries && Needs.of(found).map(\.capability).last == .checkpointRestore)
    #expect(try read("deleted_libraries: \"off\"") == Configuration())
  }

  /// What costs little is measured unless somebody says otherwise.
  @Test func metricsOfTheDefault() {
    let settings = MetricSettings()
    let found = MetricKey.allCases.map { settings[$0] }
    #expect(found == ["on", "on", "on", "on", "on", "major", "errors", "on"])
  }

  @Test func theEnvironmentGoesFirst() throws {
    let found = try Configuration(file: nil, environment: ["SWTRACE_CPU_FREQUENCY": "7", "PATH": "/bin"])
    #expect(found.cpuFrequency == 7)
    let error = #expect(throws: ConfigurationError.self) { try Configuration(file: nil, environment: ["SWTRACE_CPU": "7"]) }
    #expect(error?.text.contains("SWTRACE_CPU is no variable of the agent") ?? false)
    let missing = #expect(throws: ConfigurationError.self) { try Configuration(file: "/nonexistent/agent.yaml", environment: [:]) }
    #expect(missing?.text.contains("/nonexistent/agent.yaml cannot be read") ?? false)
  }

  @Test func whatItNamesIsLookedAt() throws {
    let folder = try TemporaryFolder()
    var configuration = Configuration()
    configuration.storePath = folder.path + "/a/b/agent.db"
    try configuration.check()
    try configuration.makeStoreFolder()
    try configuration.check()
    func error() -> String {
      do { try configuration.check() } catch { return "\(error)" }
      return ""
    }
    configuration.address = "0.0.0.0"
    #expect(error().contains("the server would answer everybody who reaches 0.0.0.0"))
    configuration.tokenFile = folder.path + "/token"
    #expect(error().contains("the token file \(folder.path)/token cannot be read or is empty"))
    _ = try folder.file("token", "0123456789abcdef\nmore\n")
    #expect(chmod(folder.path + "/token", 0o644) == 0 && error().contains("can be read by everyone"))
    #expect(chmod(folder.path + "/token", 0o640) == 0 && error() == "")
    #expect(try configuration.serverSettings().token == "0123456789abcdef")
    #expect(
      try configuration.serverSettings().warning
        == "the token travels in the clear to 0.0.0.0: configure a certificate, or let the agent listen on 127.0.0.1")
    _ = try folder.file("token", "short\n")
    #expect(error().contains("the server's token is too short"))
    configuration = Configuration()
    configuration.storePath = folder.path
    #expect(error().contains("is no file; give the path of one"))
    configuration.storePath = folder.path + "/token/agent.db"
    #expect(error().contains("nothing can be written to \(folder.path)/token: it is no folder"))
    configuration = Configuration()
    configuration.storePath = folder.path + "/a/agent.db"
    configuration.port = 443
    #expect(error().contains("the agent keeps no privilege for ports below 1024, as 443"))
  }

  /// Root may write everywhere; what the agent keeps of it does not suffice for that.
  @Test(.requiresBPF) func whatItMayWriteLaterIsLookedAt() throws {
    let folder = try TemporaryFolder()
    var configuration = Configuration()
    configuration.storePath = folder.path + "/agent.db"
    #expect(chown(folder.path, 65_534, 65_534) == 0)
    let error = #expect(throws: ConfigurationError.self) { try configuration.check() }
    #expect(
      error?.text.contains(
        "\(folder.path): it is another user's, and the agent writes to its own only; give a path in a folder of the agent's") ?? false,
      "\(error?.text ?? "")")
    #expect(access(folder.path, W_OK) == 0 && chmod(folder.path, 0o777) == 0)
    try configuration.check()
    let wal = try folder.file("agent.db-wal", "")
    #expect(chown(wal, 65_534, 65_534) == 0 && chmod(wal, 0o644) == 0)
    let other = #expect(throws: ConfigurationError.self) { try configuration.check() }
    #expect(other?.text.contains("\(wal): it is another user's") ?? false, "\(other?.text ?? "")")
    #expect(chown(wal, 0, 0) == 0)
    try configuration.check()
  }

  @Test func certificatesAreLookedAt() throws {
    let folder = try TemporaryFolder()
    let (own, other) = (try TestCertificate(in: folder, "own"), try TestCertificate(in: folder, "other"))
    var configuration = Configuration()
    configuration.address = "0.0.0.0"
    configuration.tokenFile = try folder.file("token", "0123456789abcdef\n")
    configuration.storePath = folder.path + "/agent.db"
    #expect(chmod(folder.path + "/token", 0o640) == 0)
    func error(_ certificate: String, _ key: String) -> String {
      (configuration.tlsCertificate, configuration.tlsKey) = (certificate, key)
      do { try configuration.check() } catch { return "\(error)" }
      return ""
    }
    #expect(error(own.chain, own.key) == "")
    let settings = try configuration.serverSettings()
    #expect(settings.certificate != nil && settings.warning == nil)
    #expect(error(folder.path + "/none", own.key).hasSuffix("/none cannot be read: No such file or directory"))
    #expect(error(own.chain, folder.path + "/none").hasSuffix("/none cannot be read: No such file or directory"))
    #expect(error(own.chain, other.key).hasSuffix("the key is not that of the certificate, which has to be the first in its file"))
    #expect(error(own.key, own.key).contains("the certificate's file is no PEM, which begins with -----BEGIN CERTIFICATE-----"))
    #expect(error(own.chain, folder.path + "/token").contains("the key's file is no PEM, which begins with -----BEGIN PRIVATE KEY-----"))
    #expect(chmod(own.key, 0o644) == 0)
    #expect(error(own.chain, own.key) == "the key file \(own.key) can be read by everyone; chmod o= \(own.key)")
    let alone = #expect(throws: ConfigurationError.self) { try Configuration(file: nil, environment: ["SWTRACE_TLS_KEY": own.key]) }
    #expect(alone?.text == "tls.key is given alone: give tls.certificate and tls.key, or neither")
  }
}
