/// How often values fell into which range, with their exact sum and maximum.
package struct Histogram: Equatable, Sendable {
  /// Values from `low` to `high`, both included.
  package struct Bucket: Equatable, Sendable {
    package var low: UInt64
    package var high: UInt64
    package var count: UInt64

    package init(low: UInt64, high: UInt64, count: UInt64) {
      self.low = low
      self.high = high
      self.count = count
    }
  }

  /// Ascending, without overlaps, and without empty ones.
  package var buckets: [Bucket]
  /// Of all values, in nanoseconds for times, whatever the buckets' unit.
  package var sum: UInt64
  /// The largest value, in the sum's unit.
  package var maximum: UInt64

  package init(buckets: [Bucket] = [], sum: UInt64 = 0, maximum: UInt64 = 0) {
    self.buckets = buckets
    self.sum = sum
    self.maximum = maximum
  }

  package var count: UInt64 { buckets.reduce(0) { $0 + $1.count } }

  /// Makes the maximum no less than the values in the highest bucket, whose bounds are in that unit.
  ///
  /// Where two tasks raise a maximum in the kernel at the same moment, the lower of their values can remain.
  package mutating func raiseMaximum(unit: UInt64) {
    guard let highest = buckets.last(where: { $0.count > 0 }) else { return }
    maximum = max(maximum, highest.low * unit)
  }

  /// The value below which the fraction of values lies, interpolated within its bucket; nil for an empty histogram.
  ///
  /// - Parameter maximum: in the buckets' unit; the result does not exceed it.
  package func quantile(_ fraction: Double, maximum: Double) -> Double? {
    let total = count
    guard total > 0 else { return nil }
    // The nearest-rank definition: the smallest value with at least that share of all values at or below it.
    let rank = max(1, (fraction * Double(total)).rounded(.up))
    var below = 0.0
    for bucket in buckets {
      let inside = Double(bucket.count)
      if below + inside >= rank {
        let share = (rank - below) / inside
        let value = Double(bucket.low) + Double(bucket.high - bucket.low) * (inside == 1 ? 0.5 : share)
        return min(value, maximum)
      }
      below += inside
    }
    return maximum
  }

  /// The counts by powers of two: row 0 has 0 and 1, row n has 2^n up to 2^(n+1) - 1. Up to the last row that has values.
  ///
  /// Exact, because no bucket crosses a power of two.
  package var powersOfTwo: [UInt64] {
    var rows: [UInt64] = []
    for bucket in buckets {
      let row = bucket.low < 2 ? 0 : 63 - bucket.low.leadingZeroBitCount
      while rows.count <= row { rows.append(0) }
      rows[row] += bucket.count
    }
    return rows
  }
}
