package import ArgumentParser
package import BPF

/// One subcommand that observes the kernel.
package protocol Tool: ParsableCommand, OptionLetters {
  /// The embedded object, `opensnoop` for `opensnoop.bpf.c`.
  static var probe: String { get }
  /// What it does, for the progress line: "tracing opens".
  static var activity: String { get }
  /// What has to be attached, and by which alternatives.
  var hooks: [Hook] { get }
  var session: SessionOptions<Self> { get }
  /// A command line that `doctor` can try the tool with.
  static var exampleArguments: [String] { get }
  /// Sets the tool's own constants.
  func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError)
}

extension Tool {
  /// The subcommand's name.
  package static var name: String { configuration.commandName ?? _commandName }
  package static var probe: String { name }
  package static var exampleArguments: [String] { [] }
  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {}
}
