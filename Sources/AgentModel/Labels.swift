/// What a series is told apart by: names with values, sorted by name.
package struct Labels: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// One name and its value.
  package struct Label: Hashable, Sendable, Comparable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }

    package static func < (one: Self, other: Self) -> Bool { (one.name, one.value) < (other.name, other.value) }
  }

  /// Sorted by name; each name once, none without a value.
  package let all: [Label]

  /// Of a name that is given twice the last value counts; names with an empty value are left out.
  package init(_ pairs: some Sequence<(String, String)>) {
    var values: [String: String] = [:]
    for (name, value) in pairs { values[name] = value }
    all = values.filter { !$0.value.isEmpty }.map { Label($0.key, $0.value) }.sorted()
  }

  package subscript(name: String) -> String? { all.first { $0.name == name }?.value }

  package static func < (one: Self, other: Self) -> Bool { one.all.lexicographicallyPrecedes(other.all) }

  /// `{comm="a",service="b"}`, as Prometheus writes them.
  package var description: String {
    "{" + all.map { "\($0.name)=\"\($0.value.reduce(into: "") { $0 += Self.escapes[$1] ?? String($1) })\"" }.joined(separator: ",") + "}"
  }

  private static let escapes: [Character: String] = ["\\": "\\\\", "\"": "\\\"", "\n": "\\n"]
}

/// A condition on one label. A label that a series does not have counts as empty.
package struct Matcher: Hashable, Sendable {
  package enum Comparison: String, Sendable, CaseIterable {
    case equal = "="
    case notEqual = "!="
    case matches = "=~"
    case doesNotMatch = "!~"
  }

  package var name: String
  package var comparison: Comparison
  package var value: String

  package init(_ name: String, _ comparison: Comparison, _ value: String) {
    self.name = name
    self.comparison = comparison
    self.value = value
  }
}
