/// What takes place inside of one process, so that no stopwatch around a command can time it. Prints `name number` lines.
@main struct InProcessBenchmark {
  static func main() throws {
    switch CommandLine.arguments.dropFirst().first {
    case "consumer": try ConsumerBenchmark.run()
    case "addresses" where CommandLine.arguments.count == 3: try SymbolsBenchmark.addresses(of: CommandLine.arguments[2])
    case "names": SymbolsBenchmark.names()
    case "tables" where CommandLine.arguments.count == 3: try TablesBenchmark.run(CommandLine.arguments[2])
    default: print("usage: InProcessBenchmark consumer | addresses <file> <addresses | names <names | tables <file>")
    }
  }
}
