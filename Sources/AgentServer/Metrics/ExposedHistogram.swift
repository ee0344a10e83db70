internal import Foundation
package import Profiles

/// A histogram of times as Prometheus takes it, classic and native.
package struct ExposedHistogram: Sendable {
  /// Buckets of a native histogram: of `schema` 2, where bucket i is from 2^((i-1)/4) to 2^(i/4) seconds, the upper bound included.
  ///
  /// The probes' slots are eighths of powers of two of nanoseconds, which none of these bounds divides exactly: a slot counts whole in the
  /// bucket that its middle is in. So a value that is within 1/16 of a bound can be on its other side.
  package struct Native: Equatable, Sendable {
    package static let schema: Int64 = 2
    /// Bounds the zero bucket, in seconds: 2^-30, less than a nanosecond.
    package static let zeroThreshold = 0x1p-30

    /// Values of 0.
    package var zeroCount: UInt64 = 0
    /// Ascending, without empty ones.
    package var buckets: [(index: Int64, count: UInt64)] = []

    package init(_ histogram: Histogram) {
      for bucket in histogram.buckets where bucket.count > 0 {
        guard bucket.high > 0 else {
          zeroCount += bucket.count
          continue
        }
        let index = Self.index(of: Double(bucket.low) + Double(bucket.high - bucket.low) / 2)
        if buckets.last?.index == index { buckets[buckets.count - 1].count += bucket.count } else { buckets.append((index, bucket.count)) }
      }
    }

    /// The smallest bucket whose upper bound is no less than a number of nanoseconds.
    static func index(of nanoseconds: Double) -> Int64 { Int64((4 * log2(nanoseconds / 1e9)).rounded(.up)) }

    package static func == (one: Native, other: Native) -> Bool {
      one.zeroCount == other.zeroCount && one.buckets.elementsEqual(other.buckets, by: ==)
    }
  }

  package var count: UInt64
  /// In seconds.
  package var sum: Double
  /// Cumulative: how many values were at most the bound, in seconds; without the infinite one. Always the same bounds.
  package var buckets: [(bound: Double, count: UInt64)]
  package var native: Native

  /// - Parameters:
  ///   - histogram: of nanoseconds.
  ///   - bounds: the classic bounds are 2^n - 1 nanoseconds for these n. That is exact: no slot crosses a power of two.
  package init(_ histogram: Histogram, bounds: ClosedRange<Int>) {
    count = histogram.count
    sum = Double(histogram.sum) / 1e9
    var rest = histogram.buckets[...]
    var below: UInt64 = 0
    buckets = bounds.map { exponent in
      let bound = UInt64(1) << UInt64(exponent) - 1
      while let next = rest.first, next.high <= bound {
        below += next.count
        rest.removeFirst()
      }
      return (Double(bound) / 1e9, below)
    }
    native = Native(histogram)
  }
}
