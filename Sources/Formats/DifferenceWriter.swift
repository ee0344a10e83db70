package import Profiles

/// Differences of two profiles as a table and as folded text.
package enum DifferenceWriter {
  /// One function a line, the largest change first; `*` marks what is more than noise.
  ///
  /// - Parameter limit: the most rows; 0 means all.
  package static func writeTable(_ difference: ProfileDifference, limit: Int = 0, into out: inout [UInt8]) {
    let rows = limit > 0 ? difference.rows.prefix(limit) : difference.rows[...]
    let hasNoise = difference.rows.contains { $0.noise != nil }
    out.append(contentsOf: "  BEFORE    AFTER   CHANGE\(hasNoise ? "     NOISE  " : "") FUNCTION [MODULE]\n".utf8)
    for row in rows {
      out.append(contentsOf: padded(fixed(row.before * 100, digits: 2) + "%").utf8)
      out.append(contentsOf: padded(fixed(row.after * 100, digits: 2) + "%").utf8)
      let change = fixed(row.change * 100, digits: 2)
      out.append(contentsOf: padded((change.hasPrefix("-") ? "" : "+") + change + "%").utf8)
      if let noise = row.noise {
        let text = fixed(noise * 100, digits: 2) + "%"
        out.append(contentsOf: String(repeating: " ", count: max(8 - text.count, 0)).utf8)
        out.append(contentsOf: "±\(text) \(row.isBeyondNoise ? "*" : " ") ".utf8)
      }
      out.append(escaped: Array(row.function.utf8))
      if !row.module.isEmpty {
        out.append(contentsOf: " [".utf8)
        out.append(escaped: Array(row.module.utf8))
        out.append(0x5d)
      }
      out.append(0x0a)
    }
    if rows.count < difference.rows.count {
      out.append(contentsOf: "(\(difference.rows.count - rows.count) more; --limit 0 shows all)\n".utf8)
    }
    if !hasNoise, !rows.isEmpty {
      out.append(contentsOf: "(nothing is marked: the input does not say how many events its values add up)\n".utf8)
    }
  }

  private static func padded(_ text: String) -> String { String(repeating: " ", count: max(8 - text.count, 0)) + text + " " }

  /// `stack count1 count2`, as difffolded.pl writes it and flamegraph.pl draws it; lines in the order of their bytes.
  ///
  /// - Parameter normalize: whether the first counts are brought to the total of the second, cut to whole numbers, as by `difffolded.pl -n`.
  package static func writeFolded(_ before: Profile, _ after: Profile, normalize: Bool, into out: inout [UInt8]) {
    let decimals = max(before.decimals, after.decimals)
    var counts: [[UInt8]: (UInt128, UInt128)] = [:]
    for line in lines(before, decimals) { counts[line.stack, default: (0, 0)].0 += line.value }
    for line in lines(after, decimals) { counts[line.stack, default: (0, 0)].1 += line.value }
    let (first, second) = counts.values.reduce((UInt128(0), UInt128(0))) { ($0.0 + $1.0, $0.1 + $1.1) }
    for (stack, count) in counts.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      var old = count.0
      if normalize, first != second, first > 0 {
        let (product, overflow) = old.multipliedReportingOverflow(by: second)
        old = overflow ? old / first * second : product / first
      }
      out += stack
      for value in [old, count.1] {
        out.append(0x20)
        out += decimalText(UInt64(clamping: value), decimals: decimals).utf8
      }
      out.append(0x0a)
    }
  }

  /// The profile's folded lines, with values in 10^-decimals.
  private static func lines(_ profile: Profile, _ decimals: Int) -> [(stack: [UInt8], value: UInt128)] {
    var factor: UInt128 = 1
    for _ in 0..<(decimals - profile.decimals) { factor *= 10 }
    return FoldedWriter.lines(profile).map { ($0.stack, UInt128($0.value) * factor) }
  }
}
