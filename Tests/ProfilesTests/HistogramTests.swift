import Profiles
import Testing

/// A generator whose numbers are the same in every run.
private struct Numbers: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    var mixed = state ^ (state >> 33)
    mixed = mixed &* 0xff51_afd7_ed55_8ccd
    return mixed ^ (mixed >> 33)
  }
}

@Suite struct HistogramTests {
  /// The bucket that the probes would use: 8 for each power of two.
  private func bounds(_ value: UInt64) -> (low: UInt64, high: UInt64) {
    guard value >= 8 else { return (value, value) }
    let width = UInt64(1) << (63 - value.leadingZeroBitCount - 3)
    let low = value / width * width
    return (low, low + (width - 1))
  }

  private func histogram(_ samples: [UInt64]) -> Histogram {
    var counts: [UInt64: Histogram.Bucket] = [:]
    for sample in samples {
      let (low, high) = bounds(sample)
      counts[low, default: .init(low: low, high: high, count: 0)].count += 1
    }
    return Histogram(
      buckets: counts.values.sorted { $0.low < $1.low }, sum: samples.reduce(0, &+), maximum: samples.max() ?? 0)
  }

  /// The quantile lies in the bucket of the sample of that rank, and is never above the maximum.
  @Test(arguments: [1, 2, 7, 101, 1009], [UInt64(3), 5, 11]) func quantilesAgreeWithSortedSamples(count: Int, seed: UInt64) throws {
    var numbers = Numbers(state: seed)
    let samples = (0..<count).map { _ in numbers.next() >> UInt64.random(in: 20...63, using: &numbers) }
    let sorted = samples.sorted()
    let histogram = histogram(samples)
    #expect(histogram.count == UInt64(count))
    for fraction in [0, 0.001, 0.5, 0.9, 0.99, 0.999, 1] {
      let value = try #require(histogram.quantile(fraction, maximum: Double(histogram.maximum)))
      let rank = max(1, Int((fraction * Double(count)).rounded(.up)))
      let (low, high) = bounds(sorted[rank - 1])
      #expect(value >= Double(low))
      #expect(value <= min(Double(high), Double(histogram.maximum)))
    }
  }

  @Test func quantilesGrowWithTheirFraction() {
    var numbers = Numbers(state: 17)
    let histogram = histogram((0..<997).map { _ in numbers.next() >> 40 })
    let values = stride(from: 0.0, through: 1, by: 1 / 64).compactMap { histogram.quantile($0, maximum: Double(histogram.maximum)) }
    #expect(values.count == 65)
    #expect(zip(values, values.dropFirst()).allSatisfy { $0 <= $1 })
  }

  @Test func emptyHistogramHasNoQuantiles() {
    #expect(Histogram().quantile(0.5, maximum: 0) == nil)
    #expect(Histogram().count == 0)
    #expect(Histogram().powersOfTwo == [])
  }

  /// A bucket of one value knows it exactly.
  @Test func singleValuesAreExact() {
    let histogram = Histogram(
      buckets: [.init(low: 3, high: 3, count: 3), .init(low: 5, high: 5, count: 1)], sum: 14, maximum: 5)
    #expect(histogram.quantile(0.5, maximum: 5) == 3)
    #expect(histogram.quantile(0.75, maximum: 5) == 3)
    #expect(histogram.quantile(0.76, maximum: 5) == 5)
  }

  /// Row 0 has 0 and 1, row n what has n + 1 binary digits.
  @Test func powersOfTwo() {
    #expect(histogram([0, 1, 1]).powersOfTwo == [3])
    #expect(histogram([2, 3, 4, 7, 8, 15, 16]).powersOfTwo == [0, 2, 2, 2, 1])
    let largest = histogram([.max, 1 << 63]).powersOfTwo
    #expect(largest.count == 64)
    #expect(largest.last == 2)
    var numbers = Numbers(state: 23)
    let samples = (0..<499).map { _ in numbers.next() >> UInt64.random(in: 0...63, using: &numbers) }
    var rows = [UInt64](repeating: 0, count: 64)
    for sample in samples { rows[sample < 2 ? 0 : 63 - sample.leadingZeroBitCount] += 1 }
    while rows.last == 0 { rows.removeLast() }
    #expect(histogram(samples).powersOfTwo == rows)
  }

  /// The highest bucket knows a maximum that was lost, and leaves a higher one alone.
  @Test func theMaximumIsInTheHighestBucket() {
    let buckets = [Histogram.Bucket(low: 2, high: 2, count: 3), .init(low: 104, high: 111, count: 1), .init(low: 112, high: 119, count: 0)]
    var histogram = Histogram(buckets: buckets, sum: 0, maximum: 2_500)
    histogram.raiseMaximum(unit: 1_000)
    #expect(histogram.maximum == 104_000)
    histogram.maximum = 110_999
    histogram.raiseMaximum(unit: 1_000)
    #expect(histogram.maximum == 110_999)
    var empty = Histogram()
    empty.raiseMaximum(unit: 1_000)
    #expect(empty.maximum == 0)
  }
}
