package import ArgumentParser

/// What a generic tool observes.
package struct TargetOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "FUNCTION, FILE:FUNCTION, t:CATEGORY:NAME or u:FILE:PROVIDER:NAME; * ? [] match many; several are separated by commas.",
      valueName: "target"))
  package var target: String
  @Flag(name: [.customShort("r"), .long], help: "The names are regular expressions.") package var regexp = false
  @Flag(name: [.customShort("k"), .long], help: "Kernel functions by kprobe, not by fentry.") package var kprobes = false
  @Option(help: ArgumentHelp("Attach nothing when there are more targets.", valueName: "count")) package var maxProbes = 1000

  package init() {}

  package mutating func validate() throws {
    guard maxProbes > 0 else { throw ValidationError("--max-probes must be at least 1") }
    guard !targets.isEmpty else { throw ValidationError("name at least one target, such as vfs_read or c:malloc") }
  }

  /// A regular expression may have commas of its own.
  package var targets: [String] { regexp ? [target] : target.split(separator: ",").map(String.init) }

  /// Finds the targets.
  ///
  /// - Parameter process: the only process of interest, if there is one.
  package func resolve(tool: String, process: UInt32?) throws -> Targets {
    var resolver = TargetResolver(process: process, isExpression: regexp, limit: maxProbes)
    var found: [ResolvedTarget] = []
    for text in targets { found += try resolver.resolve(text) }
    let places = found.reduce(0) { $0 + $1.places.count }
    guard places <= maxProbes else {
      throw ToolError(
        "these are \(places) targets, more than \(maxProbes), so none was attached; raise the limit with --max-probes \(places)")
    }
    for remark in resolver.remarks { complain("swtrace \(tool): \(remark)") }
    return Targets(found: found, forcesKprobes: kprobes, process: process)
  }
}
