package import ArgumentParser
import Formats
import Glibc
import Profiles
import SystemPackage

/// Draws a flame graph from folded text, whoever wrote it.
///
/// Overhead: none on what was measured; it only reads a file.
package struct Flamegraph: ParsableCommand {
  package static let configuration = CommandConfiguration(
    abstract: "Draw a flame graph from folded stacks.",
    discussion: """
      Reads lines such as "command;main;work 12" from FILE, or from standard
      input. svg is a picture; html is a page to search and zoom in. Both are one
      file that needs no network.

      Example: swtrace flamegraph profile.folded -o profile.html
      """)

  package enum Format: String, CaseIterable, ExpressibleByArgument, Sendable { case svg, html }

  @Argument(help: "A file of folded stacks, or - for standard input.") var file = "-"
  @Option(help: "svg or html. (default: by the ending of --output, else svg)") var format: Format?
  @Option(name: .shortAndLong, help: "Write to this file, in one piece, not to standard output.") var output: String?
  @Option(help: "The title. (default: the file's name)") var title: String?
  @Option(help: "What was counted: samples, ns, us, ms, bytes, or another word.") var unit = "samples"
  @Flag(help: "Draw the root at the top.") var icicle = false

  package init() {}

  package func run() throws {
    let input = file == "-" ? "standard input" : readableName(file.utf8)
    let profile: Profile
    do {
      profile = try FoldedParser.parse(read(), unit: Profile.Unit(unit))
    } catch let error as FoldedError {
      throw FlamegraphError("cannot read \(input) as folded stacks: \(error)")
    }
    let options = FlameGraph.Options(
      title: title ?? (file == "-" ? "Flame graph" : String(input.split(separator: "/").last ?? "Flame graph")),
      orientation: icicle ? .icicle : .flame)
    let bytes =
      switch format ?? (output?.hasSuffix(".html") == true ? .html : .svg) {
      case .svg: FlameGraph.svg(profile, options: options)
      case .html: FlameGraph.html(profile, options: options)
      }
    var file = try Output(path: output)
    file.buffer = bytes
    try file.commit()
  }

  /// The largest input: beyond it a page would not open in any browser either.
  private static let inputLimit = 512 << 20

  private func read() throws -> [UInt8] {
    do {
      if file == "-" { return try read(.standardInput) }
      let descriptor = try FileDescriptor.open(FilePath(file), .readOnly, options: .closeOnExec)
      return try descriptor.closeAfter { try read(descriptor) }
    } catch let error as Errno {
      throw FlamegraphError("cannot read \(readableName(file.utf8)): \(error)")
    }
  }

  private func read(_ descriptor: FileDescriptor) throws -> [UInt8] {
    var bytes: [UInt8] = []
    let chunk = 1 << 18
    while bytes.count <= Self.inputLimit {
      let text = try [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
        count = try descriptor.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
      if text.isEmpty { return bytes }
      bytes += text
    }
    throw FlamegraphError("more than \(Self.inputLimit >> 20) MiB of folded stacks; leave out what is not needed")
  }
}

/// Why no flame graph was drawn, and what to do about it.
private struct FlamegraphError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
