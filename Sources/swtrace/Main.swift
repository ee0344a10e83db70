import ArgumentParser

@main
struct Swtrace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "swtrace", abstract: "See what this Linux machine does, and why it is slow.")
}
