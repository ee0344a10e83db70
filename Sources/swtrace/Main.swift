import ArgumentParser
import Linux
import Tools

@main
struct Swtrace: ParsableCommand {
  static func main() {
    StandardDescriptors.complete()
    main(nil)
  }

  static let configuration = CommandConfiguration(
    commandName: "swtrace", abstract: "See what this Linux machine does, and why it is slow.",
    discussion: """
      Each tool prints what BCC's tool of that name prints, as a table, JSON or CSV,
      and counts every event that it lost. Most need root; `swtrace doctor` says what
      works.

      Examples:
        swtrace opensnoop -- ls             what one command opens
        swtrace profile -o cpu.html 10      where the processors' time goes
        swtrace runqlat 1                   how long tasks wait for a processor
      """,
    version: "0.1.0",
    groupedSubcommands: [
      CommandGroup(name: "Tools", subcommands: toolCommands),
      CommandGroup(name: "About this machine, and files", subcommands: otherCommands),
    ])
}
