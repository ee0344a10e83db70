/// What is asked of the kept metrics: one metric, conditions on the labels, all of which hold, and a range of time.
package struct MetricQuery: Hashable, Sendable {
  package var metric: Metric
  package var matchers: [Matcher]
  /// In seconds since 1970; the upper bound is not part of it.
  package var range: Range<Int64>

  package init(_ metric: Metric, _ matchers: [Matcher] = [], in range: Range<Int64>) {
    self.metric = metric
    self.matchers = matchers
    self.range = range
  }
}

/// A metric over time, for each value of one label.
package struct MetricTimeline: Equatable, Sendable {
  /// The values of the series that have one value of the label.
  package struct Row: Equatable, Sendable {
    /// Empty for series without the label, and where none was asked for.
    package var value: String
    /// One for each step.
    package var steps: [MetricValue]

    package init(value: String, steps: [MetricValue]) {
      self.value = value
      self.steps = steps
    }
  }

  /// The steps' beginnings are `start + index * step`, in seconds since 1970.
  package var start: Int64
  package var step: Int64
  /// The largest count first.
  package var rows: [Row]
  /// For how much of each step there was measuring, in nanoseconds.
  package var covered: [UInt64]
  /// Events lost in each step.
  package var lost: [UInt64]

  package init(start: Int64, step: Int64, rows: [Row] = [], covered: [UInt64] = [], lost: [UInt64] = []) {
    self.start = start
    self.step = step
    self.rows = rows
    self.covered = covered
    self.lost = lost
  }
}

/// The metrics that were kept, for those who ask.
package protocol MetricSource: Sendable {
  /// Labels of the series that have values in the range, sorted.
  func series(_ query: MetricQuery) async throws -> [Labels]
  /// Values over time for each value of a label.
  ///
  /// - Parameters:
  ///   - step: in seconds, a multiple of a window's length; the range is widened to multiples of it. Where the range has only sums of longer
  ///     times, the answer's steps are as long as those.
  ///   - label: whose values are told apart; nil for one row of all.
  func timeline(_ query: MetricQuery, step: Int64, by label: String?) async throws -> MetricTimeline
}
