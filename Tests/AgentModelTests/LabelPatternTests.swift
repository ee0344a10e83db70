import AgentModel
import TestSupport
import Testing

@Suite struct LabelPatternTests {
  @Test(arguments: [
    ("", "", true), ("", "a", false), ("abc", "abc", true), ("abc", "abcd", false), ("bc", "abc", false), ("a|bc|", "bc", true),
    ("a|bc|", "", true), ("a|bc", "ac", false), ("a*", "aaaa", true), ("a+", "", false), ("a?b", "b", true), ("(ab)+c", "ababc", true),
    ("(?:ab){2}", "abab", true), ("(ab){2}", "ab", false), ("a{2,}", "aaaaa", true), ("a{2,3}", "aaaa", false), ("a{0}", "", true),
    ("[a-c]x", "bx", true), ("[^a-c]x", "bx", false), ("[]a]", "]", true), ("[a-]", "-", true), ("[\\d_]+", "1_2", true),
    ("\\w+\\.service", "ssh.service", true), ("\\w+\\.service", "ssh-service", false), (".*", "ä😀", true), (".", "😀", true),
    (".", "\n", false), ("^a$", "a", true), ("a^b", "ab", false), ("(a*)*b", String(repeating: "a", count: 200), false),
    ("\\S\\s\\D", "a b", true),
    ("x*y+?", "xyy", true),
  ]) func matchesWhole(pattern: String, text: String, expected: Bool) throws {
    #expect(try LabelPattern(pattern).matches(text) == expected)
  }

  @Test(arguments: [
    ("(", "a ( without its )"), (")", "a ) without its ("), ("[a", "a [ without its ]"), ("*", "nothing before * to repeat"),
    ("a{", "no number behind {"), ("a{2", "a { without its }"), ("a{3,2}", "a repetition whose bounds are in the wrong order"),
    ("a{1001}", "its repetitions are too many"), ("((a{1000}){1000}){1000}", "its repetitions are too many"), ("\\", "nothing behind \\"),
    ("((((){1000}){1000}){1000}){1000}", "its repetitions are too many"),
    ("\\q", "\\q is not known"), ("(?i)a", "groups begin with ( or (?:"), ("[z-a]", "a range whose bounds are in the wrong order"),
    (String(repeating: "(", count: 100), "its groups are too deep"), ("[\\D]", "\\D, \\W and \\S do not stand in [ ]"),
  ]) func saysWhatItCannotRead(pattern: String, reason: String) {
    #expect(throws: PatternError(pattern: pattern, reason: reason)) { try LabelPattern(pattern) }
  }

  @Test func patternsHaveALength() {
    #expect(throws: PatternError(pattern: String(repeating: "a", count: 32) + "…", reason: "longer than 1000 characters")) {
      try LabelPattern(String(repeating: "a", count: 1001))
    }
  }

  @Test func noisePatternsEndNothing() {
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<2000 {
      let pattern = String(
        (0..<Int.random(in: 0...12, using: &generator)).map { _ in "ab(|)*+?{2,}[]^-\\d$.".randomElement(using: &generator)! })
      if let read = try? LabelPattern(pattern) { _ = read.matches("aabb2") }
    }
  }

  @Test(
    arguments: [
      ("(.*)", "nginx.service", "<$1>", "<nginx.service>"), ("(.*)\\.service", "nginx.service", "$1", "nginx"),
      ("(a*)(a*)", "aaa", "$1|$2", "aaa|"), ("(a*?)(a*)", "aaa", "$1|$2", "|aaa"), ("(a)|b", "b", "[$1]", "[]"),
      ("(?:a)(b)", "ab", "$1", "b"),
      ("(a+?)(a+)", "aaa", "$1|$2", "a|aa"), ("((a)|(b))*", "ab", "$1$2$3", "bab"), ("a(b)c", "abc", "$$1${1}0$0", "$1b0abc"),
      ("(a|ab)(c|bcd)", "abcd", "$1-$2", "a-bcd"), ("(.{2})(.*)", "ä😀x", "$2$1", "xä😀"), ("x", "y", "z", nil), ("a", "ab", "z", nil),
    ] as [(String, String, String, String?)]) func expands(pattern: String, text: String, template: String, expected: String?) throws
  {
    let read = try LabelPattern(pattern)
    #expect(read.expand(try PatternTemplate(template, groups: read.groups), for: text) == expected)
  }

  @Test(arguments: [
    ("/home/[^/]+", "*", "/home/Alice/x /home/Bob/y", "*/x */y"), ("a", "aa", "banana", "baanaanaa"), ("", "x", "ab", "ab"),
    ("a*", "-", "baac", "b-c"), ("^a", "x", "aa", "xa"), ("a$", "x", "aa", "ax"), ("(\\w+)@(\\w+)", "$2 at $1", "me@here.", "here at me."),
    ("a|ab", "x", "abab", "xbxb"), ("ab|a", "x", "aba", "xx"), ("b", "x", "aaa", "aaa"), ("😀", "", "a😀b😀", "ab"),
    ("/home/", "", "/hom/home/e/", "/home/"),
  ]) func replaces(pattern: String, template: String, text: String, expected: String) throws {
    let read = try LabelPattern(pattern)
    #expect(read.replace(in: text, with: try PatternTemplate(template, groups: read.groups)) == expected)
  }

  @Test(arguments: [
    ("$", "$ is followed by the number of a group; $$ is a $"), ("$x", "$ is followed by the number of a group; $$ is a $"),
    ("$2", "the regular expression has 1 groups, not 2"), ("${1", "${ is followed by a number and }"),
    ("$99999999999999999999", "$ is followed by the number of a group; $$ is a $"),
  ]) func templatesThatCannotBeRead(template: String, reason: String) {
    #expect(throws: PatternError(pattern: template, reason: reason)) { try PatternTemplate(template, groups: 1) }
  }

  /// A match that is told is one that is found, and nothing else is replaced.
  @Test func bothWaysOfMatchingAgree() throws {
    var generator = SeededGenerator(seed: 5)
    var matched = 0
    for _ in 0..<4000 {
      func text(_ letters: String, _ most: Int) -> String {
        String((0..<Int.random(in: 0...most, using: &generator)).map { _ in letters.randomElement(using: &generator)! })
      }
      guard let read = try? LabelPattern(text("aab(|)*+?.^$", 8)) else { continue }
      let subject = text("abc", 6)
      let whole = try PatternTemplate("$0", groups: read.groups)
      #expect((read.expand(whole, for: subject) == subject) == read.matches(subject))
      #expect(read.replace(in: subject, with: whole) == subject)
      matched += read.matches(subject) ? 1 : 0
    }
    #expect(matched > 100)
  }
}
