/// A regular expression as a tree.
indirect enum PatternNode {
  case begin
  case end
  case one(ScalarSet)
  case sequence([PatternNode])
  case either([PatternNode])
  /// Lazy: as few times as the rest allows.
  case repeated(PatternNode, least: Int, most: Int?, isLazy: Bool)
  /// What it matched can be told; numbered from 1.
  case group(PatternNode, number: Int)
}

/// Reads a regular expression.
struct PatternParser {
  /// How deep groups may be, for the parser calls itself for each.
  private static let deepest = 32
  private static let mostRepetitions = 1000

  private let pattern: String
  private let scalars: [Unicode.Scalar]
  private var place = 0
  private var depth = 0
  /// Groups that can be told, so far.
  private(set) var groups = 0

  init(_ pattern: String) {
    self.pattern = pattern
    scalars = Array(pattern.unicodeScalars)
  }

  var count: Int { scalars.count }

  mutating func parse() throws(PatternError) -> PatternNode {
    let node = try alternatives()
    if next != nil { throw failure("a ) without its (") }
    return node
  }

  private var next: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

  private func failure(_ reason: String) -> PatternError { PatternError(pattern: pattern, reason: reason) }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    place += 1
    return true
  }

  private mutating func alternatives() throws(PatternError) -> PatternNode {
    var nodes = [try sequence()]
    while take("|") { nodes.append(try sequence()) }
    return nodes.count == 1 ? nodes[0] : .either(nodes)
  }

  private mutating func sequence() throws(PatternError) -> PatternNode {
    var nodes: [PatternNode] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      place += 1
      nodes.append(try repetitions(of: atom(scalar)))
    }
    return .sequence(nodes)
  }

  private mutating func atom(_ scalar: Unicode.Scalar) throws(PatternError) -> PatternNode {
    switch scalar {
    case "(":
      var number: Int?
      if take("?") {
        guard take(":") else { throw failure("groups begin with ( or (?:") }
      } else {
        groups += 1
        number = groups
      }
      depth += 1
      guard depth <= Self.deepest else { throw failure("its groups are too deep") }
      let node = try alternatives()
      guard take(")") else { throw failure("a ( without its )") }
      depth -= 1
      return number.map { .group(node, number: $0) } ?? node
    case "[": return .one(try set())
    case ".": return .one(ScalarSet(ranges: [10...10], isInverted: true))
    case "^": return .begin
    case "$": return .end
    case "*", "+", "?", "{": throw failure("nothing before \(scalar) to repeat")
    case "\\": return .one(try escape())
    default: return .one(ScalarSet(ranges: [scalar.value...scalar.value]))
    }
  }

  private mutating func repetitions(of node: PatternNode) throws(PatternError) -> PatternNode {
    var node = node
    var times = 0
    while let scalar = next {
      let (least, most): (Int, Int?)
      switch scalar {
      case "*": (least, most) = (0, nil)
      case "+": (least, most) = (1, nil)
      case "?": (least, most) = (0, 1)
      case "{":
        place += 1
        guard let first = number() else { throw failure("no number behind {") }
        least = first
        most = take(",") ? number() : first
        guard next == "}" else { throw failure("a { without its }") }
        guard max(least, most ?? 0) <= Self.mostRepetitions else { throw failure("its repetitions are too many") }
        guard least <= most ?? least else { throw failure("a repetition whose bounds are in the wrong order") }
      default: return node
      }
      place += 1
      node = .repeated(node, least: least, most: most, isLazy: take("?"))
      // Each is a level of the tree.
      times += 1
      guard times <= Self.deepest else { throw failure("its repetitions are too many") }
    }
    return node
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let digit = next, "0"..."9" ~= digit {
      value = min((value ?? 0) * 10 + Int(digit.value - 48), Self.mostRepetitions + 1)
      place += 1
    }
    return value
  }

  private mutating func escape() throws(PatternError) -> ScalarSet {
    guard let scalar = next else { throw failure("nothing behind \\") }
    place += 1
    switch scalar {
    case "d", "D": return ScalarSet(ranges: [48...57], isInverted: scalar == "D")
    case "w", "W": return ScalarSet(ranges: [48...57, 65...90, 95...95, 97...122], isInverted: scalar == "W")
    case "s", "S": return ScalarSet(ranges: [9...10, 12...13, 32...32], isInverted: scalar == "S")
    case "n": return ScalarSet(ranges: [10...10])
    case "t": return ScalarSet(ranges: [9...9])
    case "0"..."9", "a"..."z", "A"..."Z": throw failure("\\\(scalar) is not known")
    default: return ScalarSet(ranges: [scalar.value...scalar.value])
    }
  }

  private mutating func set() throws(PatternError) -> ScalarSet {
    var result = ScalarSet(isInverted: take("^"))
    var isFirst = true
    while let scalar = next, scalar != "]" || isFirst {
      isFirst = false
      place += 1
      if scalar == "\\" {
        let escaped = try escape()
        guard !escaped.isInverted else { throw failure("\\D, \\W and \\S do not stand in [ ]") }
        result.ranges += escaped.ranges
        continue
      }
      guard next == "-", place + 1 < scalars.count, scalars[place + 1] != "]" else {
        result.ranges.append(scalar.value...scalar.value)
        continue
      }
      place += 1
      var last = scalars[place]
      place += 1
      if last == "\\" {
        guard let range = try escape().ranges.first, range.count == 1 else { throw failure("a range ends with one character") }
        last = Unicode.Scalar(range.lowerBound) ?? last
      }
      guard scalar <= last else { throw failure("a range whose bounds are in the wrong order") }
      result.ranges.append(scalar.value...last.value)
    }
    guard take("]") else { throw failure("a [ without its ]") }
    return result
  }
}
