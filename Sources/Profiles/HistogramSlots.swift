/// The slots that probes count in: 8 for each power of two, as probes/include/histogram.h defines them.
extension Histogram {
  /// The slot of the largest value, plus one.
  package static let slots = 496
  private static let bits = 3

  /// The slot that a value falls into.
  package static func slot(of value: UInt64) -> Int {
    guard value >= 1 << bits else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    return (exponent - bits + 1) << bits + Int(value >> UInt64(exponent - bits)) & (1 << bits - 1)
  }

  /// A slot with all that it can hold. Slots beyond the last are no slots.
  package static func bucket(slot: Int, count: UInt64) -> Bucket {
    Bucket(low: low(slot), high: slot + 1 < slots ? low(slot + 1) - 1 : .max, count: count)
  }

  private static func low(_ slot: Int) -> UInt64 {
    guard slot >= 1 << bits else { return UInt64(slot) }
    return UInt64(1 << bits + slot & (1 << bits - 1)) << UInt64(slot >> bits - 1)
  }

  /// Adds another histogram of the same slots; numbers stay at the largest rather than wrap.
  package mutating func add(_ other: Histogram) {
    var merged: [Bucket] = []
    merged.reserveCapacity(max(buckets.count, other.buckets.count))
    var (left, right) = (buckets[...], other.buckets[...])
    while let one = left.first, let two = right.first {
      if one.low == two.low {
        merged.append(Bucket(low: one.low, high: one.high, count: Self.sum(one.count, two.count)))
      } else {
        merged.append(one.low < two.low ? one : two)
      }
      if one.low <= two.low { left.removeFirst() }
      if two.low <= one.low { right.removeFirst() }
    }
    buckets = merged + left + right
    sum = Self.sum(sum, other.sum)
    maximum = max(maximum, other.maximum)
  }

  private static func sum(_ one: UInt64, _ two: UInt64) -> UInt64 {
    let (sum, overflow) = one.addingReportingOverflow(two)
    return overflow ? .max : sum
  }
}
