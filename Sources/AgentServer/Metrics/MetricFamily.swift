package import AgentModel

/// A metric with its samples, as Prometheus and OpenMetrics read it.
package struct MetricFamily: Sendable {
  package typealias Kind = Metric.Kind

  package enum Value: Sendable {
    case number(Double)
    case histogram(ExposedHistogram)
  }

  /// One series.
  package struct Sample: Sendable {
    package var labels: [(name: String, value: String)]
    package var value: Value

    package init(_ value: Double, labels: [(name: String, value: String)] = []) {
      self.labels = labels
      self.value = .number(value)
    }

    package init(_ histogram: ExposedHistogram, labels: [(name: String, value: String)] = []) {
      self.labels = labels
      value = .histogram(histogram)
    }
  }

  /// Without `_total`; ends in the unit where there is one.
  package var name: String
  package var help: String
  package var kind: Kind
  /// `seconds`, `bytes`, `ratio`; nil for counts.
  package var unit: String?
  package var samples: [Sample]

  package init(_ name: String, _ help: String, _ kind: Kind, unit: String? = nil, _ samples: [Sample]) {
    self.name = name
    self.help = help
    self.kind = kind
    self.unit = unit
    self.samples = samples
  }

  package init(_ metric: Metric, _ samples: [Sample]) {
    self.init(metric.name, metric.help, metric.kind, unit: metric.unit?.rawValue, samples)
  }
}
