/// When each measurement of a profile was made, and by which thread.
///
/// Sums need no more memory for another event, but these do: beyond a limit none is kept, as a part of them would look like all.
package struct Moments: Sendable {
  package struct Moment: Hashable, Sendable {
    /// Nanoseconds, of any clock.
    package let time: UInt64
    /// In the profile's unit.
    package let value: UInt64
    /// An index of the profile's samples.
    package let sample: UInt32
    /// The thread's id; 0 where only the sample's process says it.
    package let thread: UInt32

    package init(time: UInt64, value: UInt64, sample: Int, thread: UInt32 = 0) {
      (self.time, self.value, self.sample, self.thread) = (time, value, UInt32(sample), thread)
    }
  }

  package let limit: Int
  /// In the order in which they came, which need not be that of their times.
  package private(set) var all: [Moment] = []
  /// Whether there were more than the limit.
  package private(set) var isOverfull = false

  package init(limit: Int = 1_000_000) { self.limit = limit }

  package mutating func append(_ moment: Moment) {
    if isOverfull { return }
    if all.count == limit {
      isOverfull = true
      all = []
    } else {
      all.append(moment)
    }
  }

  /// The same for samples that have other places now; those without a place are left out.
  package func mappingSamples(_ place: (Int) -> Int?) -> Moments {
    var result = self
    result.all = all.compactMap { moment in
      place(Int(moment.sample)).map { Moment(time: moment.time, value: moment.value, sample: $0, thread: moment.thread) }
    }
    return result
  }
}
