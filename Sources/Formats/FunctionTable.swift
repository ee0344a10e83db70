package import Profiles

/// The functions of a profile with the largest own cost, one a line.
package enum FunctionTable {
  /// How many are enough for a person, unless asked for more.
  package static let usualLimit = 40

  /// Each function's own value and share, and its share with all that it called.
  ///
  /// Where samples were taken, a share comes with what chance may have added or taken away: 1.96 standard errors of a share of so many
  /// samples, so that of 20 shares about 19 lie within. Measured waits have no such error.
  package static func write(_ profile: Profile, limit: Int = usualLimit, into out: inout [UInt8]) {
    guard profile.total > 0 else { return out.append(contentsOf: "(no \(profile.unit.name))\n".utf8) }
    let isSampled = profile.unit == .samples && profile.decimals == 0
    let total = Double(profile.total)
    let functions = profile.topFunctions(limit)
    let values = functions.map { decimalText($0.selfValue, decimals: profile.decimals) }
    let width = max(values.lazy.map(\.count).max() ?? 0, "SELF".count)
    let of = "(\(decimalText(profile.total, decimals: profile.decimals)) \(profile.unit.name))"
    out.append(contentsOf: "\(pad("SELF", width))   SHARE\(isSampled ? "     ± " : "")   TOTAL  FUNCTION [MODULE]  \(of)\n".utf8)
    for (function, value) in zip(functions, values) {
      let share = Double(function.selfValue) / total
      out.append(contentsOf: "\(pad(value, width)) \(percent(share))".utf8)
      if isSampled { out.append(contentsOf: pad(fixed(196 * (share * (1 - share) / total).squareRoot(), digits: 1) + " ", 7).utf8) }
      out.append(contentsOf: " \(percent(Double(function.total) / total))  ".utf8)
      out.append(escaped: Array(function.frame.function.utf8))
      if !function.frame.module.isEmpty {
        out.append(contentsOf: " [".utf8)
        out.append(escaped: Array(function.frame.module.utf8))
        out.append(0x5d)
      }
      out.append(0x0a)
    }
  }

  private static func percent(_ share: Double) -> String { pad(fixed(share * 100, digits: 1) + " %", 7) }

  private static func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(width - text.count, 0)) + text }
}
