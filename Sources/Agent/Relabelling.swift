package import AgentModel
internal import Profiles

/// One rule that changes the labels of series or leaves series out, with the names and the meaning that it has in Prometheus.
package struct RelabelRule: Sendable {
  package enum Action: String, Sendable, CaseIterable {
    /// Leaves out series whose value does not match.
    case keep
    /// Leaves out series whose value matches.
    case drop
    /// Sets the target to what the replacement makes of a value that matches; an empty result removes it.
    case replace
    /// Removes labels whose name matches.
    case labeldrop
  }

  package var action: Action
  /// Their values, with `;` between them, are what has to match; a label that a series does not have is empty.
  package var sources: [String]
  package var regex: String
  package var target: String
  package var replacement: String
  private let pattern: LabelPattern
  private let template: PatternTemplate

  /// - Throws: `ConfigurationError` for what the action cannot do, and a regular expression that cannot be read.
  package init(
    _ action: Action = .replace, sources: [String] = [], regex: String = "(.*)", target: String = "", replacement: String = "$1"
  ) throws(ConfigurationError) {
    (self.action, self.sources, self.regex, self.target, self.replacement) = (action, sources, regex, target, replacement)
    do {
      pattern = try LabelPattern(regex)
      template = action == .replace ? try PatternTemplate(replacement, groups: pattern.groups) : try PatternTemplate("", groups: 0)
    } catch {
      throw ConfigurationError("\(error)")
    }
    for name in sources + (action == .replace ? [target] : []) where !Self.isName(name) {
      throw ConfigurationError("'\(name)' is no label: labels are letters, digits and _, and do not begin with a digit")
    }
    switch action {
    case .keep, .drop: if sources.isEmpty { throw ConfigurationError("needs source_labels for \(action.rawValue)") }
    case .replace: break
    case .labeldrop:
      if pattern.matches("host") || pattern.matches("service") {
        throw ConfigurationError("labeldrop of '\(regex)' would remove host or service, which every series has")
      }
    }
  }

  /// What becomes of labels; nil for a series that is left out.
  func apply(to labels: Labels) -> Labels? {
    if action == .labeldrop { return Labels(labels.all.filter { !pattern.matches($0.name) }.map { ($0.name, $0.value) }) }
    let value = sources.map { labels[$0] ?? "" }.joined(separator: ";")
    switch action {
    case .keep: return pattern.matches(value) ? labels : nil
    case .drop: return pattern.matches(value) ? nil : labels
    case .replace, .labeldrop:
      return pattern.expand(template, for: value).map { Labels(labels.all.map { ($0.name, $0.value) } + [(target, $0)]) } ?? labels
    }
  }

  private static func isName(_ text: String) -> Bool {
    text.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x5f }
  }
}

extension RelabelRule: Equatable {
  package static func == (one: Self, other: Self) -> Bool {
    one.action == other.action && one.sources == other.sources && one.regex == other.regex && one.target == other.target
      && one.replacement == other.replacement
  }
}

/// One rule that hides a part of names and paths.
package struct RedactionRule: Equatable, Sendable {
  package var regex: String
  package var replacement: String
  private let pattern: LabelPattern
  private let template: PatternTemplate

  /// - Throws: `ConfigurationError` for a regular expression that cannot be read.
  package init(regex: String, replacement: String) throws(ConfigurationError) {
    (self.regex, self.replacement) = (regex, replacement)
    do {
      pattern = try LabelPattern(regex)
      template = try PatternTemplate(replacement, groups: pattern.groups)
    } catch {
      throw ConfigurationError("\(error)")
    }
  }

  func apply(to text: String) -> String { pattern.replace(in: text, with: template) }

  package static func == (one: Self, other: Self) -> Bool { one.regex == other.regex && one.replacement == other.replacement }
}

extension [RelabelRule] {
  /// What becomes of labels, by one rule after the other; nil for a series that is left out.
  func apply(to labels: Labels) -> Labels? { reduce(labels) { labels, rule in labels.flatMap(rule.apply) } }
}

extension [RedactionRule] {
  func apply(toText text: String) -> String { reduce(text) { $1.apply(to: $0) } }
  func apply(toLabels labels: Labels) -> Labels { Labels(labels.all.map { ($0.name, apply(toText: $0.value)) }) }
}

/// What becomes of the labels of metrics before they are shown or kept: first relabelled, then redacted.
struct LabelRules: Equatable, Sendable {
  var relabelling: [RelabelRule] = []
  var redaction: [RedactionRule] = []

  /// Nil for a series that is left out.
  func apply(to labels: Labels) -> Labels? { relabelling.apply(to: labels).map { redaction.apply(toLabels: $0) } }
}

extension Configuration {
  var labelRules: LabelRules { LabelRules(relabelling: relabelling, redaction: redaction) }
}

extension ProfileWindow {
  /// What is handed to the targets: first relabelled, then redacted. What a rule left out is not in it, its frames neither.
  package consuming func prepared(_ relabelling: [RelabelRule], _ redaction: [RedactionRule]) -> ProfileWindow {
    if !relabelling.isEmpty { relabel(relabelling) }
    if !redaction.isEmpty { redact(redaction) }
    return self
  }

  private mutating func relabel(_ rules: [RelabelRule]) {
    let before = series.count
    update(rules.apply)
    if series.count < before { compact() }
  }

  private mutating func redact(_ rules: [RedactionRule]) {
    let redacted = rules.apply(toText:)
    let before = frames
    for index in frames.indices {
      frames[index].function = redacted(frames[index].function)
      frames[index].module = redacted(frames[index].module)
      frames[index].file = frames[index].file.map(redacted)
      frames[index].mangled = frames[index].mangled.map(redacted)
    }
    if frames != before { compact() }
    update(rules.apply(toLabels:))
  }

  /// Gives series other labels; those that become the same are added up.
  private mutating func update(_ change: (Labels) -> Labels?) {
    var sums: [Labels: [Sample]] = [:]
    for one in series {
      guard let labels = change(one.labels) else { continue }
      sums[labels] = sums[labels].map { Self.sum($0, one.samples) } ?? one.samples
    }
    series = sums.sorted { $0.key < $1.key }.map { .init(labels: $0.key, samples: $0.value) }
  }

  private static func sum(_ one: [Sample], _ other: [Sample]) -> [Sample] {
    var values: [Int: UInt64] = [:]
    for sample in one + other { values[sample.stack, default: 0] += sample.value }
    return values.sorted { $0.key < $1.key }.map { .init(stack: $0.key, value: $0.value) }
  }

  /// Keeps what a sample refers to, each once.
  private mutating func compact() {
    var (usedFrames, usedStacks): ([Frame], [[UInt32]]) = ([], [])
    var (frameNumbers, stackNumbers): ([Frame: UInt32], [[UInt32]: Int]) = ([:], [:])
    func number(_ frame: Frame) -> UInt32 {
      if let known = frameNumbers[frame] { return known }
      frameNumbers[frame] = UInt32(usedFrames.count)
      usedFrames.append(frame)
      return UInt32(usedFrames.count - 1)
    }
    func number(_ stack: [UInt32]) -> Int {
      if let known = stackNumbers[stack] { return known }
      stackNumbers[stack] = usedStacks.count
      usedStacks.append(stack)
      return usedStacks.count - 1
    }
    for index in series.indices {
      let samples = series[index].samples.map { Sample(stack: number(stacks[$0.stack].map { number(frames[Int($0)]) }), value: $0.value) }
      series[index].samples = Self.sum(samples, [])
    }
    (frames, stacks) = (usedFrames, usedStacks)
  }
}
