package import ArgumentParser
internal import Foundation

/// The agent's command line.
package struct AgentCommand: AsyncParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "swtrace-agent", abstract: "Profile this machine always, keep it, and show it on a page.",
    subcommands: [Run.self, Check.self, Metrics.self], defaultSubcommand: Run.self)

  package init() {}

  /// Runs until SIGTERM or SIGINT.
  package struct Run: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(abstract: "Profile until a signal ends it.")

    @Option(help: "The configuration's file.") package var config: String?

    package init() {}

    package func run() async throws {
      let configuration = try Agent.Configuration(file: config, environment: ProcessInfo.processInfo.environment)
      try await AgentRun(configuration).run()
    }
  }

  /// Says whether a configuration is right.
  package struct Check: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(abstract: "Say whether the configuration is right, and print it.")

    @Option(help: "The configuration's file.") package var config: String?
    @Flag(help: "Print a file with all keys and their values.") package var print = false

    package init() {}

    package func run() async throws {
      let configuration = try Agent.Configuration(file: config, environment: ProcessInfo.processInfo.environment)
      if print { Swift.print(configuration.file, terminator: "") } else { Swift.print("the configuration is right") }
    }
  }
}
