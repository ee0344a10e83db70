package import ArgumentParser
internal import Formats
internal import Linux

/// Lists the tools, or the probes that a pattern means.
package struct List: ParsableCommand, FormattedOutput {
  package static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the tools, or the probes that this kernel and its programs offer.",
    discussion: """
      Without an argument: the tools. A PATTERN means tracepoints and kernel functions
      of that name; CATEGORY:NAME tracepoints; FILE the functions and static probes
      (USDT) of a program or library; also any target as funccount takes it. What is
      printed can be given to funccount and funclatency.

      Examples:
        swtrace list 'tcp_*'
        swtrace list /bin/bash
        swtrace list 'u:stdc++:libstdcxx:*'
      """)

  package static let formats: [OutputFormat] = [.table, .json, .csv]

  @Argument(help: ArgumentHelp("What to look for; * ? [] stand for more.", valueName: "pattern")) var pattern: String?
  @Option(help: ArgumentHelp("Output format; the default is table.", valueName: "format")) var format: FormatOption<List>?

  package init() {}

  package mutating func validate() throws {
    if pattern?.isEmpty == true {
      throw ValidationError("the pattern is empty; leave it out to list the tools, or write '*' for all probes")
    }
  }

  package func run() throws {
    var output = try Output(path: nil)
    let format = RowWriter.Format(format?.format ?? .table)
    if let pattern {
      let rows = try probes(pattern)
      let writer = RowWriter(format, columns: Self.probeColumns.map(\.layout), kind: "probe")
      if format == .csv { writer.writeHeader(into: &output.buffer) }
      for row in rows { writer.write(into: &output.buffer) { Self.probeColumns[$0].value(row) } }
    } else {
      let rows = (toolCommands + otherCommands).map {
        (name: $0._commandName, abstract: $0.configuration.abstract)
      }
      let columns = [
        Column<(name: String, abstract: String)>("TOOL", width: 14) { .string($0.name) },
        Column<(name: String, abstract: String)>("PURPOSE", width: 0) { .string($0.abstract) },
      ]
      let writer = RowWriter(format, columns: columns.map(\.layout), kind: "tool")
      writer.writeHeader(into: &output.buffer)
      for row in rows { writer.write(into: &output.buffer) { columns[$0].value(row) } }
    }
    try output.commit()
  }

  /// One place that can be observed.
  private struct Probe {
    var kind: String
    /// As funccount takes it.
    var target: String
  }

  private static let probeColumns = [
    Column<Probe>("KIND", width: 10, inTable: false) { .string($0.kind) }, Column<Probe>("TARGET", width: 0) { .string($0.target) },
  ]

  private func probes(_ pattern: String) throws -> [Probe] {
    // What a plain pattern may mean; each kind that has none is no error as long as another has some.
    var attempts = [pattern]
    if pattern.contains("/"), !pattern.contains(":") {
      attempts = ["\(pattern):*", "u:\(pattern):*:*"]
    } else if !pattern.contains(":") {
      attempts = ["t:*:\(pattern)", pattern]
    } else if !pattern.hasPrefix("t:"), !pattern.hasPrefix("u:"), !pattern.hasPrefix("p:"), !pattern.contains("/") {
      attempts = ["t:\(pattern)", pattern]
    }
    var found: [Probe] = []
    var failures: [any Error] = []
    for attempt in attempts {
      do {
        var resolver = TargetResolver(process: nil, isExpression: false, limit: .max)
        for target in try resolver.resolve(attempt) { found.append(Self.probe(target)) }
      } catch { failures.append(error) }
    }
    guard KernelFeatures.tracefs == nil, attempts[0].hasPrefix("t:") else {
      if found.isEmpty, let failure = failures.last { throw failure }
      return found
    }
    // What cannot be looked at may well exist.
    if found.isEmpty, let failure = failures.first { throw failure }
    complain("swtrace list: without tracepoints: \(KernelFeatures.tracefsObstacle.problem)")
    return found
  }

  private static func probe(_ target: ResolvedTarget) -> Probe {
    switch target.places.first {
    case .tracepoint(let category, let name): Probe(kind: "tracepoint", target: "t:\(category):\(name)")
    case .user(let path, _, _) where target.name.contains(":") && !target.name.has("::"):
      Probe(kind: "usdt", target: "u:\(path):\(target.name)")
    case .user(let path, _, _): Probe(kind: "function", target: "\(path):\(target.name)")
    case .kernel, nil: Probe(kind: "kernel", target: target.name)
    }
  }
}
