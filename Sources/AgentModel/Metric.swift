/// What is measured in numbers, all the time: its name and what Prometheus and people need to know of it.
package struct Metric: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable {
    /// Only grows.
    case counter
    case gauge
    /// How often values fell into which range, with their sum; only grows.
    case histogram
  }

  package enum Unit: String, Hashable, Sendable {
    case seconds, bytes, ratio
  }

  /// As Prometheus has it, but without `_total`; ends in the unit where there is one.
  package var name: String
  /// One sentence.
  package var help: String
  package var kind: Kind
  /// Nil for counts.
  package var unit: Unit?
  /// The names of labels that series can have, besides `host`.
  package var labels: [String]
  /// Of a histogram: its bounds for Prometheus are 2^n - 1 nanoseconds for these n.
  package var bounds: ClosedRange<Int>?

  package init(
    _ name: String, _ help: String, _ kind: Kind, unit: Unit? = nil, labels: [String] = [], bounds: ClosedRange<Int>? = nil
  ) {
    self.name = name
    self.help = help
    self.kind = kind
    self.unit = unit
    self.labels = labels
    self.bounds = bounds
  }

  /// The name as a scrape shows it.
  package var exposedName: String { kind == .counter ? name + "_total" : name }
}
