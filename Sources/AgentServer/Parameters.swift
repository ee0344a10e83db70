internal import AgentModel
internal import Hummingbird

/// What a request asks for, read strictly: a parameter that is misspelt or given twice would silently answer another question.
struct Parameters {
  private let values: [String: String]
  private let now: Int64

  /// - Throws: `Problem` 400 for parameters that are not among the names, given twice, or not UTF-8 in percent encoding.
  init(_ request: Request, names: [String], now: Int64) throws(Problem) {
    var values: [String: String] = [:]
    for pair in (request.uri.query ?? "").split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = Self.decoded(parts[0]), let value = parts.count == 2 ? Self.decoded(parts[1]) : "" else {
        throw .bad("the query is not UTF-8 in percent encoding")
      }
      guard names.contains(name) else {
        throw .bad(
          "there is no parameter '\(name)' here: \(names.isEmpty ? "there is none" : "there are \(names.joined(separator: ", "))")")
      }
      guard values.updateValue(value, forKey: name) == nil else { throw .bad("the parameter '\(name)' is given twice: give it once") }
    }
    self.values = values
    self.now = now
  }

  /// A parameter's text; nil when it is missing or empty.
  subscript(name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

  static let ofQuery = ["type", "match", "from", "to"]

  /// Of type, selector and range; all cpu of the last hour by default.
  func query(_ match: String = "match", _ from: String = "from", _ to: String = "to") throws(Problem) -> Query {
    let type = try choice("type", ProfileType.self, .cpu)
    let matchers = try self[match].map(SelectorParser.parse) ?? []
    return Query(type, matchers, in: try range(from, to))
  }

  /// The last hour by default.
  func range(_ from: String = "from", _ to: String = "to") throws(Problem) -> Range<Int64> {
    let range = try (time(from) ?? now - 3600, time(to) ?? now)
    guard range.0 < range.1 else { throw .bad("'\(from)' is not before '\(to)': the range is empty") }
    return range.0..<range.1
  }

  /// So that a typing error in a step does not ask for a million numbers.
  private static let stepLimit: Int64 = 10_000

  /// The seconds of a step; without it, a round one that gives at most 360 of them.
  func step(for range: Range<Int64>) throws(Problem) -> Int64 {
    let length = Int64(range.count)
    let step = try integer("step", in: 1...Int64(Int32.max)) ?? Self.roundStep(for: length)
    guard step.isMultiple(of: ProfileWindow.length) else {
      throw .bad("'step' is \(step) seconds, and windows are \(ProfileWindow.length): use a multiple of that")
    }
    guard length / step < Self.stepLimit else {
      throw .bad("the range has \(length / step) steps, more than \(Self.stepLimit): use a longer 'step' or a shorter range")
    }
    return step
  }

  static func roundStep(for seconds: Int64) -> Int64 {
    let round: [Int64] = [10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400]
    return round.first { seconds / $0 <= 360 } ?? (seconds / 360 / 86400 + 1) * 86400
  }

  func time(_ name: String) throws(Problem) -> Int64? {
    guard let text = self[name] else { return nil }
    guard let seconds = PointInTime.seconds(of: text, now: now) else {
      throw .bad("'\(name)' is no time: write seconds since 1970, 2026-01-31T12:00:00Z, now, or -1h (s, m, h, d, w)")
    }
    return seconds
  }

  func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, _: Choice.Type, _ otherwise: Choice) throws(Problem)
    -> Choice
  {
    guard let text = values[name] else { return otherwise }
    guard let choice = Choice(rawValue: text) else {
      throw .bad("'\(name)' cannot be '\(text)': it is one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return choice
  }

  func integer(_ name: String, in range: ClosedRange<Int64>) throws(Problem) -> Int64? {
    guard let text = values[name] else { return nil }
    guard let number = Int64(text), range.contains(number) else {
      throw .bad("'\(name)' is no whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// Percent encoding as forms have it, where `+` is a blank; nil when it is damaged or not UTF-8.
  private static func decoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
      case UInt8(ascii: "%"):
        let digits = rest.prefix(2)
        guard digits.count == 2, digits.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
          let value = UInt8(String(decoding: Array(digits), as: UTF8.self), radix: 16)
        else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }
}
