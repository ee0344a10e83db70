package import Profiles

/// The unit of a histogram's buckets.
package struct HistogramUnit: Sendable, Equatable {
  /// As BCC prints it above the bars.
  package var title: String
  /// The suffix of keys in JSON and CSV.
  package var key: String
  /// What one of it is in the unit of sums: nanoseconds for times.
  package var size: UInt64

  package init(title: String, key: String, size: UInt64) {
    self.title = title
    self.key = key
    self.size = size
  }

  package static let nanoseconds = HistogramUnit(title: "nsecs", key: "ns", size: 1)
  package static let microseconds = HistogramUnit(title: "usecs", key: "us", size: 1_000)
  package static let milliseconds = HistogramUnit(title: "msecs", key: "ms", size: 1_000_000)
}

/// Histograms as BCC's bars with a line of statistics, JSON objects, or CSV rows.
package struct HistogramWriter: Sendable {
  package let unit: HistogramUnit

  package init(unit: HistogramUnit) { self.unit = unit }

  private static let quantiles: [(String, Double)] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]
  private static let stars = 40

  /// The bars and the statistics. Nothing for an empty histogram but a line that says so.
  package func writeTable(_ histogram: Histogram, into out: inout [UInt8]) {
    let rows = histogram.powersOfTwo
    guard let peak = rows.max(), peak > 0 else {
      out.append(contentsOf: "(no values)\n".utf8)
      return
    }
    out.append(contentsOf: "     \(unit.title.padded(to: 19)) : count    distribution\n".utf8)
    for (row, count) in rows.enumerated() {
      let low = row == 0 ? 0 : UInt64(1) << row
      let high = row == 63 ? UInt64.max : UInt64(1) << (row + 1) - 1
      // Rounded down as BCC does, so that the longest bar belongs to the peak alone.
      let length = Int((UInt128(count) * UInt128(Self.stars)) / UInt128(peak))
      let bar = String(repeating: "*", count: length) + String(repeating: " ", count: Self.stars - length)
      out.append(contentsOf: "\("\(low)".leftPadded(to: 10)) -> \("\(high)".padded(to: 10)) : \("\(count)".padded(to: 8)) |\(bar)|\n".utf8)
    }
    let count = histogram.count
    out.append(contentsOf: "count \(count), sum ".utf8)
    append(Double(histogram.sum), &out)
    out.append(contentsOf: ", mean ".utf8)
    append(Double(histogram.sum) / Double(count), &out)
    for (name, fraction) in Self.quantiles {
      guard let value = histogram.quantile(fraction, maximum: Double(histogram.maximum) / Double(unit.size)) else { continue }
      out.append(contentsOf: ", \(name) ".utf8)
      append(value * Double(unit.size), &out)
    }
    out.append(contentsOf: ", max ".utf8)
    append(Double(histogram.maximum), &out)
    out.append(contentsOf: " \(unit.title)\n".utf8)
  }

  /// A value in the unit of sums, shown in the buckets' unit: whole numbers without decimals.
  private func append(_ value: Double, _ out: inout [UInt8]) {
    let shown = value / Double(unit.size)
    if shown == shown.rounded(), shown < 1e15 {
      out.append(decimal: UInt64(shown))
    } else {
      out.append(Self.thousandths(shown), dividedBy: 1000, decimals: shown < 100 ? 2 : 1)
    }
  }

  /// Values above nine quadrillions are the largest that can be written.
  private static func thousandths(_ value: Double) -> Int64 {
    let scaled = (value * 1000).rounded()
    return scaled < 0x1p63 ? Int64(scaled) : .max
  }

  /// `{"type":"histogram",…}` with the exact bounds of each bucket that has values.
  ///
  /// - Parameter labels: what the histogram is of; keys in snake_case.
  package func writeJSON(_ histogram: Histogram, labels: [(String, Cell)], into out: inout [UInt8]) {
    out.append(contentsOf: "{\"type\":\"histogram\"".utf8)
    for (key, value) in labels {
      out.append(contentsOf: ",\"\(key)\":".utf8)
      out.append(json: value)
    }
    let sums = unit.size == 1 ? unit.key : "ns"
    out.append(contentsOf: ",\"unit\":\"\(unit.key)\",\"count\":\(histogram.count),\"sum_\(sums)\":\(histogram.sum)".utf8)
    out.append(contentsOf: ",\"max_\(sums)\":\(histogram.maximum)".utf8)
    for (name, fraction) in Self.quantiles {
      guard let value = histogram.quantile(fraction, maximum: Double(histogram.maximum) / Double(unit.size)) else { continue }
      out.append(contentsOf: ",\"\(name.replacing(Character("."), with: Character("_")))_\(unit.key)\":".utf8)
      out.append(Self.thousandths(value), dividedBy: 1000, decimals: 3)
    }
    out.append(contentsOf: ",\"buckets\":[".utf8)
    for (index, bucket) in histogram.buckets.enumerated() {
      if index > 0 { out.append(0x2c) }
      out.append(contentsOf: "{\"min\":\(bucket.low),\"max\":\(bucket.high),\"count\":\(bucket.count)}".utf8)
    }
    out.append(contentsOf: "]}\n".utf8)
  }

  /// The heading of CSV rows.
  package func writeCSVHeader(labels: [String], into out: inout [UInt8]) {
    out.append(contentsOf: (labels + ["min_\(unit.key)", "max_\(unit.key)", "count"]).joined(separator: ",").utf8)
    out.append(0x0a)
  }

  /// One row for each bucket that has values.
  package func writeCSV(_ histogram: Histogram, labels: [(String, Cell)], into out: inout [UInt8]) {
    for bucket in histogram.buckets {
      for (_, value) in labels {
        switch value {
        case .text(let text): out.append(csv: text.bytes)
        case .integer(let number): out.append(decimal: number)
        case .unsigned(let number): out.append(decimal: number)
        case .flag(let flag): out.append(contentsOf: (flag ? "true" : "false").utf8)
        case .texts(let texts): out.append(csv: Array(texts.map(\.bytes).joined(separator: [0x20])))
        case .none: break
        }
        out.append(0x2c)
      }
      out.append(contentsOf: "\(bucket.low),\(bucket.high),\(bucket.count)\n".utf8)
    }
  }
}

extension String {
  package func padded(to width: Int) -> String { self + String(repeating: " ", count: Swift.max(0, width - utf8.count)) }
  package func leftPadded(to width: Int) -> String { String(repeating: " ", count: Swift.max(0, width - utf8.count)) + self }

  func replacing(_ character: Character, with other: Character) -> String { String(map { $0 == character ? other : $0 }) }
}
