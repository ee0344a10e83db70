package import ArgumentParser
import Formats
import Profiles

/// Turns a profile from one file format into another.
///
/// Overhead: none on what was measured; it only reads a file.
package struct Convert: ParsableCommand, FormattedOutput {
  package static let configuration = CommandConfiguration(
    abstract: "Convert a profile to another file format.", usage: "swtrace convert <file> [<options>]",
    discussion: """
      Reads pprof, folded stacks and what perf script prints, with gzip or not, and
      tells them apart by themselves. The ending of --output chooses what is written:
      .pb.gz or .pprof, .speedscope.json, .firefox.json, .folded, .svg, .html, .json,
      .csv, .txt.

      Overhead: none on what was measured; it only reads a file.

      Example: perf's samples as a file for go tool pprof
        perf script | swtrace convert - -o cpu.pb.gz
      """)

  package static let formats: [OutputFormat] = [.folded, .pprof, .speedscope, .firefox, .svg, .html, .table, .stacks, .csv, .json]

  @Argument(help: "A profile, or - for standard input.") var file: String
  @Option(name: .shortAndLong, help: "Write to this file, in one piece, not to standard output.") var output: String?
  @Option(help: ArgumentHelp("Output format; the default is the ending of --output, or folded.", valueName: "format"))
  var format: FormatOption<Convert>?
  @Option(help: "folded, pprof or perf-script. (default: what the input looks like)") var from: String?
  @Option(help: "Only samples of this event, where perf has several.") var event: String?
  @Option(help: "Which values of a pprof file, such as cpu. (default: its own default)") var type: String?
  @Option(help: "What folded input counts: samples, ns, us, ms, bytes, or another word.") var unit = "samples"
  @Option(help: "The title. (default: the input's name)") var title: String?
  @Flag(help: "Mark the kernel's frames with _[k] in folded output.") var annotate = false

  package init() {}

  package func validate() throws {
    if let from, ProfileInput.Format(rawValue: from) == nil {
      throw ValidationError("--from is \(ProfileInput.Format.allCases.map(\.rawValue).joined(separator: ", ")), not '\(from)'")
    }
  }

  package func run() throws {
    let format = format?.format ?? output.flatMap { OutputFormat(ending: $0) } ?? .folded
    try ProfileOutput.ensureReadable(format, path: output)
    var input = try ProfileInput(
      file, format: from.flatMap { ProfileInput.Format(rawValue: $0) }, unit: Profile.Unit(unit), event: event, type: type)
    if let title { input.recording.title = title }
    var out = try Output(path: output)
    ProfileOutput.write(
      input.profile, as: format, input.recording, FlameGraph.Options(title: input.recording.title), annotate: annotate, into: &out.buffer)
    try out.commit()
  }
}
