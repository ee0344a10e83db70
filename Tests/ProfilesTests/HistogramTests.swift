import Profiles
import Testing

@Suite struct HistogramTests {
  @Test func powersOfTwoCountEveryValueOnce() {
    let histogram = Histogram(
      buckets: [
        .init(low: 0, high: 0, count: 2), .init(low: 1, high: 1, count: 3), .init(low: 2, high: 2, count: 5),
        .init(low: 12, high: 13, count: 7),
      ],
      sum: 0, maximum: 13)
    #expect(histogram.powersOfTwo == [5, 5, 0, 7])
    #expect(histogram.count == 17)
  }

  /// Against the values themselves: a quantile lies in the bucket of the value that has that rank.
  @Test func quantilesLieInTheRightBucket() {
    var state: UInt64 = 7
    var values: [UInt64] = []
    for _ in 0..<10_007 {
      state = state &* 6_364_136_223_846_793_005 &+ 1
      values.append((state >> 33) % (1 << (state % 20)))
    }
    values.sort()
    var buckets: [Histogram.Bucket] = []
    for value in values {
      let low = value < 8 ? value : value & ~(UInt64(1) << (60 - value.leadingZeroBitCount) - 1)
      let high = value < 8 ? value : low + UInt64(1) << (60 - value.leadingZeroBitCount) - 1
      if buckets.last?.low == low { buckets[buckets.count - 1].count += 1 } else { buckets.append(.init(low: low, high: high, count: 1)) }
    }
    let histogram = Histogram(buckets: buckets, sum: values.reduce(0, +), maximum: values[values.count - 1])
    for fraction in [0.001, 0.5, 0.9, 0.99, 0.999, 1] {
      let exact = values[min(values.count - 1, Int((fraction * Double(values.count)).rounded(.up)) - 1)]
      let bucket = buckets.first { $0.low <= exact && exact <= $0.high }
      let found = histogram.quantile(fraction, maximum: Double(histogram.maximum)) ?? -1
      #expect(found >= Double(bucket?.low ?? 0) && found <= Double(bucket?.high ?? 0), "\(fraction): \(found), not \(exact)")
    }
    #expect(Histogram().quantile(0.5, maximum: 0) == nil)
  }
}
