package import ArgumentParser
import Formats
import Profiles

/// Compares two profiles: which functions got dearer or cheaper.
///
/// Overhead: none on what was measured; it only reads files.
package struct Diff: ParsableCommand {
  package static let configuration = CommandConfiguration(
    abstract: "Compare two profiles, function by function.", usage: "swtrace diff <before> <after> [<options>]",
    discussion: """
      Reads what `swtrace convert` reads. The table has each function's own share of
      either profile, so profiles of different length compare; a row is marked with *
      when the difference is more than three standard errors, which chance alone
      rarely gives. folded has two counts in each line, as difffolded.pl writes them,
      the first brought to the second's total; svg is as wide as AFTER, red where it
      grew and blue where it shrank; html is a page with both, noise told apart.

      Overhead: none on what was measured; it only reads files.

      Example: what a change did
        swtrace diff before.pb.gz after.pb.gz
      """)

  package enum Format: String, CaseIterable, ExpressibleByArgument, Sendable { case table, folded, svg, html }

  @Argument(help: "The profile to start from.") var before: String
  @Argument(help: "The profile to compare with it.") var after: String
  @Option(name: .shortAndLong, help: "Write to this file, in one piece, not to standard output.") var output: String?
  @Option(help: "table, folded, svg or html. (default: by the ending of --output, else table)") var format: Format?
  @Option(help: "Only so many functions; 0 means all.") var limit = 40
  @Flag(inversion: .prefixedNo, help: "Bring folded counts to the same total.") var normalize = true
  @Option(help: "Only samples of this event, where perf has several.") var event: String?
  @Option(help: "Which values of pprof files, such as cpu. (default: their own default)") var type: String?
  @Option(help: "What folded input counts: samples, ns, us, ms, bytes, or another word.") var unit = "samples"

  package init() {}

  package func validate() throws {
    if limit < 0 { throw ValidationError("--limit is at least 0") }
    if before == "-", after == "-" { throw ValidationError("only one of the profiles can come from standard input") }
  }

  package func run() throws {
    let before = try ProfileInput(before, unit: Profile.Unit(unit), event: event, type: type)
    let after = try ProfileInput(after, unit: Profile.Unit(unit), event: event, type: type)
    guard before.profile.unit == after.profile.unit else {
      throw ToolError(
        "\(before.name) counts \(before.profile.unit.name) and \(after.name) \(after.profile.unit.name): they cannot be compared")
    }
    var out = try Output(path: output)
    let counted = before.recording.hasCounts && after.recording.hasCounts
    let options = FlameGraph.Options(title: "\(after.name) compared with \(before.name)")
    let ending = output?.split(separator: ".").last.flatMap { Format(rawValue: String($0)) }
    switch format ?? ending ?? .table {
    case .table:
      DifferenceWriter.writeTable(
        ProfileDifference(before.profile, after.profile, hasCounts: counted), limit: limit, into: &out.buffer)
    case .folded: DifferenceWriter.writeFolded(before.profile, after.profile, normalize: normalize, into: &out.buffer)
    case .svg:
      out.buffer += FlameGraph.svg(after.profile, since: before.profile, options: options)
    case .html:
      out.buffer += FlameGraph.html(after.profile, since: before.profile, hasCounts: counted, options: options)
    }
    try out.commit()
  }
}
