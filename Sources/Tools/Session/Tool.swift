package import ArgumentParser
package import BPF

/// One subcommand that observes the kernel.
package protocol Tool: ParsableCommand, OptionLetters, FormattedOutput {
  /// The embedded object, `opensnoop` for `opensnoop.bpf.c`.
  static var probe: String { get }
  /// What it does, for the progress line: "tracing opens".
  static var activity: String { get }
  /// What has to be attached, and by which alternatives.
  var hooks: [Hook] { get }
  var session: SessionOptions<Self> { get }
  /// A command line that `doctor` can try the tool with.
  static var exampleArguments: [String] { get }
  /// Looks up what the tool's own options name, before anything is attached.
  mutating func prepare() throws
  /// Sets the tool's own constants.
  func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError)
  /// Attaches the programs of the hooks that say `attachedByTool`; returns what the user should know.
  func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String]
}

extension Tool {
  /// The subcommand's name.
  package static var name: String { _commandName }
  package static var probe: String { name }
  package static var formats: [OutputFormat] { [.table, .json, .csv] }
  package static var exampleArguments: [String] { [] }
  package mutating func prepare() throws {}
  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {}
  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] { [] }
}
