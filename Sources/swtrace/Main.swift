import ArgumentParser
import Linux
import Tools

@main
struct Swtrace: ParsableCommand {
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

  static func main() {
    ProgramMemory.returnLargeBlocks()
    StandardDescriptors.complete()
    do {
      try ensureKnown(CommandLine.arguments.dropFirst())
      try ensureNoJSONHelp(CommandLine.arguments.dropFirst())
      var command = try parseAsRoot()
      try command.run()
    } catch {
      guard exitCode(for: error).isSuccess else { exit(withError: error) }
      show(fullMessage(for: error))
    }
  }

  /// Prints a help text. The parser's own way to do so does not notice that it cannot be written.
  private static func show(_ text: String) {
    do {
      var output = try Output(path: nil)
      output.buffer += Array("\(text)\n".utf8)
      try output.commit()
    } catch { exit(withError: error) }
  }

  /// Refuses the parser's hidden option that would need Foundation, which is not linked.
  private static func ensureNoJSONHelp(_ arguments: ArraySlice<String>) throws {
    let option = "--experimental-dump-help"
    guard arguments.prefix(while: { $0 != "--" }).contains(where: { $0.hasPrefix(option) }) else { return }
    throw ValidationError("Unknown option '\(option)'")
  }

  /// Refuses a command that does not exist, of which the parser would say less, or for `help` nothing at all.
  private static func ensureKnown(_ arguments: ArraySlice<String>) throws {
    let words = arguments.first == "help" ? arguments.dropFirst() : arguments
    guard let word = words.first, !word.hasPrefix("-") else { return }
    let names = (toolCommands + otherCommands).map { $0._commandName } + ["help"]
    guard !names.contains(word) else { return }
    throw ValidationError("there is no command '\(word)'\(Suggestions.question(word, among: names))")
  }
}
