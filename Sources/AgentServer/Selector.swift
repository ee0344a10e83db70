internal import AgentModel

/// Reads conditions on labels as Prometheus writes them: `{service="a",comm=~"b.*"}`.
struct SelectorParser {
  private let characters: [Character]
  private var position = 0

  private init(_ text: String) { characters = Array(text) }

  /// - Throws: `Problem` 400 with the place, counted in characters from 1.
  static func parse(_ text: String) throws(Problem) -> [Matcher] {
    var parser = SelectorParser(text)
    return try parser.selector()
  }

  private mutating func selector() throws(Problem) -> [Matcher] {
    try expect("{", "a selector begins with { as in {service=\"nginx\"}")
    var matchers: [Matcher] = []
    skipBlanks()
    if !take("}") {
      repeat { matchers.append(try matcher()) } while try isFollowed()
    }
    skipBlanks()
    if position < characters.count { throw problem("nothing may follow the }") }
    return matchers
  }

  /// Whether another condition follows.
  private mutating func isFollowed() throws(Problem) -> Bool {
    skipBlanks()
    if take(",") { return true }
    try expect("}", "after a condition comes , or }")
    return false
  }

  private mutating func matcher() throws(Problem) -> Matcher {
    skipBlanks()
    let start = position
    while position < characters.count, Self.isNamePart(characters[position], isFirst: position == start) { position += 1 }
    if position == start { throw problem("a label's name is needed here") }
    let name = String(characters[start..<position])
    skipBlanks()
    let comparison: Matcher.Comparison
    if take("=") {
      comparison = take("~") ? .matches : .equal
    } else if take("!") {
      if take("~") {
        comparison = .doesNotMatch
      } else if take("=") {
        comparison = .notEqual
      } else {
        throw problem("! is followed by = or ~")
      }
    } else {
      throw problem("=, !=, =~ or !~ is needed here")
    }
    skipBlanks()
    let valueStart = position
    let value = try quoted()
    if comparison == .matches || comparison == .doesNotMatch {
      let end = position
      position = valueStart
      do { _ = try LabelPattern(value) } catch { throw problem("this regular expression cannot be read: \(error.reason)") }
      position = end
    }
    return Matcher(name, comparison, value)
  }

  private mutating func quoted() throws(Problem) -> String {
    try expect("\"", "a value in double quotes is needed here")
    let start = position - 1
    var value = ""
    while position < characters.count {
      let character = characters[position]
      position += 1
      switch character {
      case "\"": return value
      case "\\":
        guard position < characters.count, let meant = Self.escapes[characters[position]] else {
          position -= 1
          throw problem(#"a backslash stands before \, " or n only; in a regular expression it is written twice"#)
        }
        value.append(meant)
        position += 1
      default: value.append(character)
      }
    }
    position = start
    throw problem("this quote is not closed")
  }

  private static let escapes: [Character: Character] = ["\\": "\\", "\"": "\"", "n": "\n"]

  private static func isNamePart(_ character: Character, isFirst: Bool) -> Bool {
    character.isASCII && (character.isLetter || character == "_" || (!isFirst && character.isNumber))
  }

  private mutating func skipBlanks() {
    while position < characters.count, characters[position] == " " { position += 1 }
  }

  private mutating func take(_ character: Character) -> Bool {
    guard position < characters.count, characters[position] == character else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Character, _ why: String) throws(Problem) {
    if !take(character) { throw problem(why) }
  }

  private func problem(_ why: String) -> Problem { .bad("the selector is wrong at character \(position + 1): \(why)") }
}
