import Testing

@testable import Agent

@Suite struct ConfigurationTests {
  private func read(_ text: String) throws -> Configuration {
    var configuration = Configuration()
    try configuration.read(text, name: "agent.yaml")
    return configuration
  }

  @Test func theFileThatIsPrintedIsTheDefault() throws {
    let configuration = Configuration()
    #expect(try read(configuration.file) == configuration)
    for key in Configuration.keys { #expect(configuration.file.contains(key.meaning)) }
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

  @Test(arguments: [
    ("cpu:\n  frequency: 5000", "agent.yaml:2: cpu.frequency is 0 to 999, not '5000'"),
    ("cpu:\n  frequenzy: 50", "agent.yaml:2: there is no key cpu.frequenzy; there are cpu.frequency"),
    ("host: a\nhost: b", "host"),
    ("cpu: 7", "agent.yaml:1: cpu takes keys of its own"),
    ("host: {a: b}", "agent.yaml:1: host takes one value"),
    ("listen: 8080", "agent.yaml:1: listen is an address and a port, as 127.0.0.1:7380, not '8080'"),
    ("- a", "agent.yaml: the file is a list of keys"),
    ("store: {max_size: 1MB}", "store.max_size is a size of 16MB or more"),
    ("store: {keep_hours: 99999999999999999d}", "store.keep_hours is a time of 1h or more"),
    ("a: [", "agent.yaml is no YAML"),
  ]) func errorsNameTheLineAndTheRemedy(_ text: String, message: String) {
    let error = #expect(throws: ConfigurationError.self) { try read(text) }
    #expect(error?.text.contains(message) ?? false, "\(error?.text ?? "")")
    #expect(!(error?.text.contains("\n") ?? true))
  }

  @Test func theEnvironmentGoesFirst() throws {
    let found = try Configuration(file: nil, environment: ["SWTRACE_CPU_FREQUENCY": "7", "PATH": "/bin"])
    #expect(found.cpuFrequency == 7)
    let error = #expect(throws: ConfigurationError.self) { try Configuration(file: nil, environment: ["SWTRACE_CPU": "7"]) }
    #expect(error?.text.contains("SWTRACE_CPU is no variable of the agent") ?? false)
    let missing = #expect(throws: ConfigurationError.self) { try Configuration(file: "/nonexistent/agent.yaml", environment: [:]) }
    #expect(missing?.text.contains("/nonexistent/agent.yaml cannot be read") ?? false)
  }
}
