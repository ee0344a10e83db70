package import Profiles

/// What one series of a metric measured in some time.
package enum MetricValue: Equatable, Sendable {
  /// Of a counter: events in that time.
  case count(UInt64)
  /// Of a histogram: the values in that time, in nanoseconds for seconds, in the slots of `Histogram.bucket`.
  case histogram(Histogram)

  /// Events or values.
  package var count: UInt64 {
    switch self {
    case .count(let count): count
    case .histogram(let histogram): histogram.count
    }
  }

  /// Adds what another time, or another series of the metric, measured.
  package mutating func add(_ other: MetricValue) {
    switch (self, other) {
    case (.count(let one), .count(let two)):
      let (sum, overflow) = one.addingReportingOverflow(two)
      self = .count(overflow ? .max : sum)
    case (.histogram(var one), .histogram(let two)):
      one.add(two)
      self = .histogram(one)
    default: break
    }
  }

  /// Nothing, for a metric of that kind.
  package static func nothing(_ kind: Metric.Kind) -> MetricValue { kind == .histogram ? .histogram(Histogram()) : .count(0) }
}

/// What the metrics of the machine were in ten seconds.
///
/// Complete in itself, as a `ProfileWindow` is. A metric that was measured and had no event is in it without series.
package struct MetricWindow: Sendable {
  /// Values with the labels that they have in common.
  package struct Series: Equatable, Sendable {
    package var labels: Labels
    package var value: MetricValue

    package init(labels: Labels, value: MetricValue) {
      self.labels = labels
      self.value = value
    }
  }

  /// One metric.
  package struct Measured: Sendable {
    /// `Metric.name`.
    package var name: String
    /// For how much of the window there was measuring, in nanoseconds.
    package var covered: UInt64
    /// Events that were lost, which are in no value.
    package var lost: UInt64
    /// Of different labels, none empty.
    package var series: [Series]

    package init(name: String, covered: UInt64, lost: UInt64 = 0, series: [Series] = []) {
      self.name = name
      self.covered = covered
      self.lost = lost
      self.series = series
    }
  }

  /// How long a window is, in seconds; it begins at a multiple.
  package static let length = ProfileWindow.length

  /// In seconds since 1970, a multiple of `length`.
  package var start: Int64
  /// Of different names.
  package var metrics: [Measured]

  package init(start: Int64, metrics: [Measured]) {
    self.start = start
    self.metrics = metrics
  }
}
