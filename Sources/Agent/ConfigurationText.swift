internal import Yams

/// Times as people write them: `90m`, `12h`, `14d`.
enum Days {
  private static let units: [(Character, Int64)] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]

  static func seconds(_ text: String) -> Int64? {
    guard let last = text.last, let unit = units.first(where: { $0.0 == last }), let number = Int64(text.dropLast()), number >= 0 else {
      return nil
    }
    let (seconds, overflow) = number.multipliedReportingOverflow(by: unit.1)
    return overflow ? nil : seconds
  }

  static func text(_ seconds: Int64) -> String {
    let unit = units.first { seconds % $0.1 == 0 && seconds >= $0.1 } ?? ("s", 1)
    return "\(seconds / unit.1)\(unit.0)"
  }
}

/// Sizes as people write them: `512MB`, `1GB`; powers of two.
enum Size {
  private static let units: [(String, Int64)] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)]

  static func bytes(_ text: String) -> Int64? {
    guard let unit = units.first(where: { text.hasSuffix($0.0) }), let number = Int64(text.dropLast(unit.0.count)), number >= 0 else {
      return nil
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: unit.1)
    return overflow ? nil : bytes
  }

  static func text(_ bytes: Int64) -> String {
    let unit = units.first { bytes % $0.1 == 0 && bytes >= $0.1 } ?? ("B", 1)
    return "\(bytes / unit.1)\(unit.0)"
  }
}

extension Configuration {
  /// A file with all keys, what they mean and their values here; read again, it gives the same configuration.
  package var file: String {
    get throws {
      var text =
        "# What swtrace-agent measures, keeps and shows. Each key may be left out. `swtrace-agent check` says whether this is right;\n"
      text += "# SIGHUP has the agent read it anew. Keys marked (restart) are read at the start only.\n"
      var group: Substring = ""
      for key in Self.keys {
        let parts = key.path.split(separator: ".", maxSplits: 1)
        let indent = parts.count > 1 ? "  " : ""
        if parts.count > 1, parts[0] != group { text += "\n\(parts[0]):\n" }
        if parts.count == 1 { text += "\n" }
        group = parts.count > 1 ? parts[0] : ""
        let meaning = (key.meaning + (key.needsRestart ? " (restart)" : "")).split(separator: "\n")
        let value = try Yams.serialize(
          node: Node([(Node(String(parts.last ?? "")), key.value(self))]), width: -1, allowUnicode: true)
        for line in meaning { text += "\(indent)# \(line)\n" }
        for line in value.split(separator: "\n") { text += "\(indent)\(line)\n" }
      }
      return text
    }
  }

  /// A value as a file has it. What is not plain is quoted, in one line.
  static func node(_ text: String) -> Node {
    let isPlain = !text.isEmpty && text.utf8.allSatisfy { Self.plain.contains($0) }
    return Node.scalar(.init(text, .implicit, isPlain ? .plain : .doubleQuoted))
  }

  private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_".utf8)

  static func node(_ texts: [String]) -> Node { Node.sequence(.init(texts.map { node($0) }, .implicit, .flow)) }

  /// A value in one line, for the log.
  static func line(_ node: Node) -> String {
    switch node {
    case .scalar(let scalar): scalar.string
    case .sequence(let nodes): "[" + nodes.map(line).joined(separator: ", ") + "]"
    case .mapping(let pairs): "{" + pairs.map { "\(line($0.key)): \(line($0.value))" }.joined(separator: ", ") + "}"
    case .alias: ""
    }
  }
}
