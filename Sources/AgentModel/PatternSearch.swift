extension LabelPattern {
  /// A match: where each group begins and ends, in scalars, the whole first; -1 for groups that had no part in it.
  private typealias Places = [Int]

  /// What the template makes of a text that matches as a whole; nil for one that does not.
  package func expand(_ template: PatternTemplate, for text: String) -> String? {
    guard text.utf8.starts(with: prefix) else { return nil }
    let scalars = Array(text.unicodeScalars)
    return first(in: scalars, from: 0, isWhole: true).map { template.text(scalars, $0) }
  }

  /// The text with the template in the place of each match, from the left; an empty match is none.
  package func replace(in text: String, with template: PatternTemplate) -> String {
    guard contains(text) else { return text }
    let scalars = Array(text.unicodeScalars)
    var result = String.UnicodeScalarView()
    var (copied, start) = (0, 0)
    while let places = first(in: scalars, from: start, isWhole: false) {
      if places[1] == places[0] {
        start = places[1] + 1
        if start > scalars.count { break }
        continue
      }
      result.append(contentsOf: scalars[copied..<places[0]])
      result.append(contentsOf: template.text(scalars, places).unicodeScalars)
      (copied, start) = (places[1], places[1])
    }
    result.append(contentsOf: scalars[copied...])
    return String(result)
  }

  /// Whether a text may have a match; most do not have what one begins with.
  private func contains(_ text: String) -> Bool {
    guard let first = prefix.first else { return true }
    var rest = text.utf8[...]
    while let place = rest.firstIndex(of: first) {
      rest = rest[place...]
      if rest.starts(with: prefix) { return true }
      rest = rest.dropFirst()
    }
    return false
  }

  /// The leftmost match, of several the one whose choices come first in the pattern, as Perl and RE2 have it.
  private func first(in text: [Unicode.Scalar], from start: Int, isWhole: Bool) -> Places? {
    var current = Runs(program.count)
    var next = Runs(program.count)
    var found: Places?
    for position in start...text.count {
      if found == nil, position == start || !isWhole {
        var places = Places(repeating: -1, count: 2 * groups + 2)
        places[0] = position
        follow(0, places, at: position, of: text.count, into: &current)
      }
      if current.all.isEmpty, found != nil || isWhole { break }
      next.removeAll()
      steps: for (place, places) in current.all {
        switch program[place] {
        case .one(let set):
          if position < text.count, set.contains(text[position]) {
            follow(place + 1, places, at: position + 1, of: text.count, into: &next)
          }
        case .accept:
          if isWhole, position < text.count { continue }
          found = places
          found?[1] = position
          // What comes later in the list is a later choice.
          break steps
        default: break
        }
      }
      swap(&current, &next)
    }
    return found
  }

  /// All places of the program that are reached without a character, in the order of choice.
  private func follow(_ place: Int, _ places: Places, at position: Int, of count: Int, into runs: inout Runs) {
    var open = [(place, places)]
    while var (place, places) = open.popLast() {
      guard runs.enter(place) else { continue }
      switch program[place] {
      case .one, .accept: runs.all.append((place, places))
      case .jump(let target): open.append((target, places))
      case .fork(let first, let second): open += [(second, places), (first, places)]
      case .save(let number):
        places[number] = position
        place += 1
        open.append((place, places))
      case .begin: if position == 0 { open.append((place + 1, places)) }
      case .end: if position == count { open.append((place + 1, places)) }
      }
    }
  }

  /// Places of the program in the order of choice, each once, with what they noted on the way.
  private struct Runs {
    var all: [(place: Int, places: Places)] = []
    private var entered: [Int] = []
    private var isEntered: [Bool]

    init(_ count: Int) { isEntered = Array(repeating: false, count: count) }

    mutating func enter(_ place: Int) -> Bool {
      guard !isEntered[place] else { return false }
      isEntered[place] = true
      entered.append(place)
      return true
    }

    mutating func removeAll() {
      for place in entered { isEntered[place] = false }
      entered.removeAll(keepingCapacity: true)
      all.removeAll(keepingCapacity: true)
    }
  }
}

/// What is put in the place of a match: text with `$1` or `${1}` for what a group matched, `$0` for all, and `$$` for `$`.
package struct PatternTemplate: Hashable, Sendable {
  private enum Part: Hashable, Sendable {
    case text(String)
    case group(Int)
  }

  private var parts: [Part] = []

  /// - Parameter groups: of the pattern.
  /// - Throws: `PatternError` for a group that the pattern does not have.
  package init(_ text: String, groups: Int) throws(PatternError) {
    func wrong(_ reason: String) -> PatternError { PatternError(pattern: text, reason: reason) }
    var rest = text.unicodeScalars[...]
    var plain = String.UnicodeScalarView()
    while let scalar = rest.popFirst() {
      guard scalar == "$" else {
        plain.append(scalar)
        continue
      }
      if rest.first == "$" {
        plain.append(rest.removeFirst())
        continue
      }
      let isBraced = rest.first == "{"
      if isBraced { rest.removeFirst() }
      let digits = rest.prefix { "0"..."9" ~= $0 }
      rest = rest.dropFirst(digits.count)
      guard let number = Int(String(digits)) else { throw wrong("$ is followed by the number of a group; $$ is a $") }
      guard number <= groups else { throw wrong("the regular expression has \(groups) groups, not \(number)") }
      if isBraced {
        guard rest.first == "}" else { throw wrong("${ is followed by a number and }") }
        rest.removeFirst()
      }
      if !plain.isEmpty { parts.append(.text(String(plain))) }
      plain = String.UnicodeScalarView()
      parts.append(.group(number))
    }
    if !plain.isEmpty { parts.append(.text(String(plain))) }
  }

  func text(_ scalars: [Unicode.Scalar], _ places: [Int]) -> String {
    var result = String.UnicodeScalarView()
    for part in parts {
      switch part {
      case .text(let text): result.append(contentsOf: text.unicodeScalars)
      case .group(let number):
        if places[2 * number] >= 0 { result.append(contentsOf: scalars[places[2 * number]..<places[2 * number + 1]]) }
      }
    }
    return String(result)
  }
}
