package import ArgumentParser
import Formats
import Profiles

/// Draws a flame graph from a profile, whoever wrote it.
///
/// Overhead: none on what was measured; it only reads a file.
package struct Flamegraph: ParsableCommand {
  package static let configuration = CommandConfiguration(
    abstract: "Draw a flame graph from folded stacks, pprof or perf script.", usage: "swtrace flamegraph [<file>] [<options>]",
    discussion: """
      Reads lines such as "command;main;work 12", a pprof file, or what perf script
      prints, from FILE or from standard input. svg is a picture; html is a page to
      search and zoom in. Both are one file that needs no network.

      Example: swtrace flamegraph profile.folded -o profile.html
      """)

  package enum Format: String, CaseIterable, ExpressibleByArgument, Sendable { case svg, html }

  @Argument(help: "A profile, or - for standard input.") var file = "-"
  @Option(help: "svg or html. (default: by the ending of --output, else svg)") var format: Format?
  @Option(name: .shortAndLong, help: "Write to this file, in one piece, not to standard output.") var output: String?
  @Option(help: "The title. (default: the file's name)") var title: String?
  @Option(help: "What was counted: samples, ns, us, ms, bytes, or another word.") var unit = "samples"
  @Flag(help: "Draw the root at the top.") var icicle = false

  package init() {}

  package func run() throws {
    let input = try ProfileInput(file, unit: Profile.Unit(unit))
    let options = FlameGraph.Options(
      title: title ?? (file == "-" ? "Flame graph" : input.name),
      orientation: icicle ? .icicle : .flame)
    let bytes =
      switch format ?? (output?.hasSuffix(".html") == true ? .html : .svg) {
      case .svg: FlameGraph.svg(input.profile, options: options)
      case .html: FlameGraph.html(input.profile, options: options)
      }
    var file = try Output(path: output)
    file.buffer = bytes
    try file.commit()
  }
}
