/// Reads times as people and programs write them.
enum PointInTime {
  /// Seconds since 1970 of `1767225600`, `2026-01-01T00:00:00Z`, `2026-01-01T01:00:00+01:00`, `now`, `-1h`, `-90s`; fractions are cut off.
  ///
  /// Nil for anything else.
  static func seconds(of text: String, now: Int64) -> Int64? {
    if text == "now" { return now }
    if let ago = text.last.flatMap({ units[$0] }), text.first == "-" {
      guard let count = natural(text.dropFirst().dropLast()), count <= 10_000_000 else { return nil }
      return now - count * ago
    }
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 1 || natural(parts[1]) != nil, let seconds = natural(parts[0]) { return seconds }
    return rfc3339(text)
  }

  private static let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800]

  private static func natural(_ text: some StringProtocol) -> Int64? {
    guard (1...12).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int64(text)
  }

  /// RFC 3339, section 5.6. A `+` that became a blank on the way, as in forms, is one.
  private static func rfc3339(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    func number(_ from: Int, _ count: Int) -> Int64? {
      from + count <= bytes.count ? natural(String(decoding: bytes[from..<(from + count)], as: UTF8.self)) : nil
    }
    func has(_ allowed: String, at index: Int) -> Bool { index < bytes.count && allowed.utf8.contains(bytes[index]) }
    guard let year = number(0, 4), year > 0, has("-", at: 4), let month = number(5, 2), has("-", at: 7), let day = number(8, 2),
      has("Tt ", at: 10),
      let hour = number(11, 2), has(":", at: 13), let minute = number(14, 2), has(":", at: 16), let second = number(17, 2),
      (1...12).contains(month), (1...days(in: month, of: year)).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    var end = 19
    if has(".", at: end) {
      end += 1
      let first = end
      while has("0123456789", at: end) { end += 1 }
      if end == first { return nil }
    }
    var offset: Int64 = 0
    if has("Zz", at: end) {
      end += 1
    } else {
      guard has("+- ", at: end), let hours = number(end + 1, 2), has(":", at: end + 3), let minutes = number(end + 4, 2), hours < 24,
        minutes < 60
      else { return nil }
      offset = (hours * 60 + minutes) * (has("-", at: end) ? -60 : 60)
      end += 6
    }
    guard end == bytes.count else { return nil }
    return day1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
  }

  private static func isLeap(_ year: Int64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

  private static func days(in month: Int64, of year: Int64) -> Int64 {
    month == 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
  }

  /// Days since 1970-01-01 in the Gregorian calendar.
  private static func day1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let before = year - 1
    let ofYears = before * 365 + before / 4 - before / 100 + before / 400
    return ofYears + (1..<month).reduce(0) { $0 + days(in: $1, of: year) } + day - 719_163
  }
}
