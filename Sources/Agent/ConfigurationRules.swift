internal import AgentModel
internal import Yams

extension Configuration {
  static let ofRules: [Key] = [
    Key(
      list: "relabel",
      "Rules that change labels or leave series out, in their order, as in Prometheus: source_labels, regex, action (replace, keep,\n"
        + "drop, labeldrop), target_label, replacement. As - {source_labels: [service], regex: '(.*)\\.service', target_label: service}"
    ) {
      rules($0.relabelling) { rule in
        let ofAction: [(String, Node)] =
          switch rule.action {
          case .replace:
            [
              ("source_labels", node(rule.sources)), ("target_label", node(rule.target)), ("replacement", node(rule.replacement)),
            ]
          case .keep, .drop: [("source_labels", node(rule.sources))]
          case .labeldrop: []
          }
        return [("action", node(rule.action.rawValue)), ("regex", node(rule.regex))] + ofAction
      }
    } _: { (configuration, nodes) throws(ConfigurationError) in
      configuration.relabelling = try each(nodes) { (rule) throws(ConfigurationError) in
        let name = try rule.text("action") ?? "replace"
        guard let action = RelabelRule.Action(rawValue: name) else {
          throw ConfigurationError("has the action '\(name)'; there are replace, keep, drop, labeldrop")
        }
        let known: [String] =
          switch action {
          case .replace: ["source_labels", "target_label", "replacement"]
          case .keep, .drop: ["source_labels"]
          case .labeldrop: []
          }
        try rule.allow(["action", "regex"] + known)
        return try RelabelRule(
          action, sources: try rule.texts("source_labels"), regex: try rule.text("regex") ?? "(.*)",
          target: try rule.text("target_label") ?? "", replacement: try rule.text("replacement") ?? "$1")
      }
    },
    Key(
      list: "redact",
      "What is hidden of names and paths before anything is kept or sent: each match of regex becomes the replacement.\n"
        + "Arguments and environments of programs are never read."
    ) {
      rules($0.redaction) { [("regex", node($0.regex)), ("replacement", node($0.replacement))] }
    } _: { (configuration, nodes) throws(ConfigurationError) in
      configuration.redaction = try each(nodes) { (rule) throws(ConfigurationError) in
        try rule.allow(["regex", "replacement"])
        guard let regex = try rule.text("regex"), !regex.isEmpty else { throw ConfigurationError("has a rule without regex") }
        return try RedactionRule(regex: regex, replacement: try rule.text("replacement") ?? "")
      }
    },
  ]

  private static func rules<Rule>(_ rules: [Rule], _ members: (Rule) -> [(String, Node)]) -> Node {
    Node.sequence(
      .init(
        rules.map { rule in Node.mapping(.init(members(rule).map { (Node($0.0), $0.1) }, .implicit, .flow)) }, .implicit,
        rules.isEmpty ? .flow : .block))
  }

  /// Reads each rule; errors say which.
  private static func each<Rule>(
    _ nodes: [Node], _ read: (RuleNode) throws(ConfigurationError) -> Rule
  ) throws(ConfigurationError) -> [Rule] {
    guard nodes.count <= 100 else { throw ConfigurationError("has \(nodes.count) rules, more than 100") }
    var rules: [Rule] = []
    for (index, node) in nodes.enumerated() {
      do { rules.append(try read(try RuleNode(node))) } catch { throw ConfigurationError("rule \(index + 1): \(error.text)") }
    }
    return rules
  }

  /// The members of a rule.
  private struct RuleNode {
    private var members: [String: Node] = [:]

    init(_ node: Node) throws(ConfigurationError) {
      guard let mapping = node.mapping else { throw ConfigurationError("is no mapping, as {regex: a}") }
      for (name, value) in mapping {
        let name = name.scalar?.string ?? ""
        guard members.updateValue(value, forKey: name) == nil else { throw ConfigurationError("\(name) is given twice") }
      }
    }

    func allow(_ names: [String]) throws(ConfigurationError) {
      if let other = members.keys.sorted().first(where: { !names.contains($0) }) {
        throw ConfigurationError("'\(other)' has no place here; there are \(names.joined(separator: ", "))")
      }
    }

    func text(_ name: String) throws(ConfigurationError) -> String? {
      guard let node = members[name] else { return nil }
      guard let text = node.scalar?.string else { throw ConfigurationError("\(name) takes one value") }
      return text
    }

    func texts(_ name: String) throws(ConfigurationError) -> [String] {
      guard let node = members[name] else { return [] }
      guard let list = node.sequence else { throw ConfigurationError("\(name) takes a list, as [service]") }
      return list.map { $0.scalar?.string ?? "" }
    }
  }
}
