package import Profiles

/// Where finished windows go: the store, and engines on other machines.
package protocol Target: Sendable {
  /// Takes in a window. Windows of one type come in order of time; one of an earlier start, or of the same, adds to what there is.
  ///
  /// - Throws: when the window was not taken in; it is counted as dropped, and not offered again.
  func receive(_ window: ProfileWindow) async throws
  /// Takes in a window of metrics, under the same rules.
  func receive(_ window: MetricWindow) async throws
}

/// What is asked of a source: a type, conditions on the labels, all of which hold, and a range of time.
package struct Query: Hashable, Sendable {
  package var type: ProfileType
  package var matchers: [Matcher]
  /// In seconds since 1970; the upper bound is not part of it.
  package var range: Range<Int64>

  package init(_ type: ProfileType, _ matchers: [Matcher] = [], in range: Range<Int64>) {
    self.type = type
    self.matchers = matchers
    self.range = range
  }
}

/// Totals over time, for each value of one label.
package struct Timeline: Equatable, Sendable {
  /// The totals of the series that have one value.
  package struct Row: Equatable, Sendable {
    /// Empty for series without the label.
    package var value: String
    /// One for each step.
    package var sums: [UInt64]

    package init(value: String, sums: [UInt64]) {
      self.value = value
      self.sums = sums
    }
  }

  /// The steps' beginnings are `start + index * step`, in seconds since 1970.
  package var start: Int64
  package var step: Int64
  /// The largest sum first.
  package var rows: [Row]
  /// For how much of each step there was measuring, in nanoseconds.
  package var covered: [UInt64]
  /// Events lost in each step.
  package var lost: [UInt64]
  /// Nanoseconds between the samples of each step, the longest where there were several; 0 where events are measured, or nothing was.
  package var period: [UInt64]

  package init(
    start: Int64, step: Int64, rows: [Row] = [], covered: [UInt64] = [], lost: [UInt64] = [],
    period: [UInt64] = []
  ) {
    self.start = start
    self.step = step
    self.rows = rows
    self.covered = covered
    self.lost = lost
    self.period = period
  }
}

/// What was kept, for those who ask: the page, the query interface.
package protocol ProfileSource: Sendable {
  /// Labels of the series that have values in the range, sorted.
  func series(_ query: Query) async throws -> [Labels]
  /// Totals for each value of a label.
  ///
  /// - Parameters:
  ///   - step: in seconds, a multiple of a window's length; the range is widened to multiples of it.
  ///   - label: whose values are told apart.
  func timeline(_ query: Query, step: Int64, by label: String) async throws -> Timeline
  /// The sum over all series and windows. What stands for the process of a sample is the value of `service`.
  func profile(_ query: Query) async throws -> Profile
  /// The first and the last second that there are values for; nil for none.
  func extent(of type: ProfileType) async throws -> Range<Int64>?
}
