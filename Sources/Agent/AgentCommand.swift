internal import AgentServer
package import ArgumentParser
internal import Linux

/// The agent's command line.
package struct AgentCommand: AsyncParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "swtrace-agent", abstract: "Profile this machine always, keep it, and show it on a page.",
    subcommands: [Run.self, Check.self, Metrics.self], defaultSubcommand: Run.self)

  package init() {}

  /// Runs until SIGTERM or SIGINT.
  package struct Run: ParsableCommand {
    package static let configuration = CommandConfiguration(
      abstract: "Profile until a signal ends it.", discussion: "SIGHUP has it read its configuration again.")

    @Option(help: "The configuration's file.") package var config: String?

    package init() {}

    /// Does what needs more privileges than are kept, and gives them up.
    ///
    /// - Returns: runs the agent until a signal ends it.
    package func prepare() throws -> @Sendable () async throws -> Void {
      let agent = try AgentRun(ConfigurationSource(file: config))
      return { try await agent.run() }
    }
  }

  /// Says whether a configuration is right.
  package struct Check: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
      abstract: "Say whether the agent would start with this configuration, or print it.",
      discussion: "Without a file it is about the defaults and the environment.")

    @Option(help: "The configuration's file.") package var config: String?
    @Flag(help: "Print a file with all keys and their values, whether or not what they name exists.") package var print = false

    package init() {}

    package func run() async throws {
      let source = ConfigurationSource(file: config)
      if print {
        Swift.print(try Agent.Configuration(file: source.file, environment: source.environment).file, terminator: "")
      } else {
        try Needs.checkNamespace()
        let configuration = try source.read()
        if let warning = try configuration.serverSettings().warning { Swift.print("warning: \(warning)") }
        // Who has less than the agent would be told of what the agent has.
        let warnings =
          Privileges.current.missing.map { ["what the agent may do was not looked at: check \($0)"] } ?? Needs.missing(configuration)
        for warning in warnings { Swift.print("warning: \(warning)") }
        Swift.print("the configuration is right")
      }
    }
  }
}
