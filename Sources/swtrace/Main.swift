import ArgumentParser
import Tools

@main
struct Swtrace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swtrace", abstract: "See what this Linux machine does, and why it is slow.", version: "0.1.0",
    subcommands: [Opensnoop.self, Runqlat.self])
}
