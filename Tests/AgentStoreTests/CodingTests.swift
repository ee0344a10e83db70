import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct CodingTests {
  @Test(arguments: [0, 1, 127, 128, 16383, 16384, .max] as [UInt64]) func numbersOfEachLength(value: UInt64) throws {
    var writer = ByteWriter()
    writer.write(varint: value)
    #expect(writer.bytes.count == max(1, (64 - value.leadingZeroBitCount + 6) / 7))
    var reader = ByteReader(writer.bytes, what: "it")
    #expect(try reader.varint() == value)
    #expect(reader.isAtEnd)
    #expect(throws: StoreError.damaged(what: "it")) { try reader.varint() }
  }

  @Test(arguments: [[0x80], Array(repeating: 0xFF, count: 10), Array(repeating: 0x80, count: 10) + [1]] as [[UInt8]])
  func numbersThatAreTooLong(bytes: [UInt8]) throws {
    var reader = ByteReader(bytes, what: "it")
    #expect(throws: StoreError.damaged(what: "it")) { try reader.varint() }
  }

  @Test func usualCalleesAreARun() throws {
    let callees: [Int64: Int64] = [1: 2, 2: 3, 3: 300, 300: 0]
    let bytes = StackCoding.encode([1, 2, 3, 300]) { callees[$0]! }
    #expect(bytes == [3, 6])
    #expect(try StackCoding.decode(bytes) { callees[$0]! } == [1, 2, 3, 300])
    let other = StackCoding.encode([2, 3, 3, 300, 300]) { callees[$0]! }
    #expect(other == [5, 2, 7, 2, 0xD9, 4])
    #expect(try StackCoding.decode(other) { callees[$0]! } == [2, 3, 3, 300, 300])
    #expect(try StackCoding.decode([]) { callees[$0]! } == [])
  }

  /// A run at the root, and one that is longer than a stack may be.
  @Test(arguments: [[2], [3, 0x80, 0x80, 0x08], [3, 0xFE] + Array(repeating: 0xFF, count: 8) + [0]] as [[UInt8]])
  func stacksThatCannotBe(bytes: [UInt8]) {
    #expect(throws: StoreError.damaged(what: "a stack")) { try StackCoding.decode(bytes) { $0 } }
  }

  @Test func blocksKeepTheirWindows() throws {
    let windows: [Int64: Values] = [0: [5: 2, 1 << 40: .max], 29: [7: 3]]
    let block = Block(windows)
    #expect(block.total == .max)
    #expect(block.parts.map(\.index) == [0, 29])
    #expect(block.parts.map(\.total) == [.max, 3])
    #expect(try Part.decode(Part.encode(block.parts)) == block.parts)
    var read: [Int64: Values] = [:]
    try Block.windows(parts: block.parts, data: block.data) { try ValueCoding.decode($1, into: &read[$0, default: [:]]) }
    #expect(read == windows)
  }

  /// Few bytes that say they are many.
  @Test func blocksDoNotUnfoldBeyondWhatTheyAre() {
    let zeros = Deflated.compress(Array(repeating: 0, count: 100_000))
    for count in [99_999, 100_001, Deflated.largest, Deflated.largest + 1, zeros.count * 1032] {
      #expect(throws: StoreError.damaged(what: "a block")) { try Deflated.decompress(zeros, count: count) }
    }
  }
}

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
    #expect(throws: StoreError.pattern(pattern, reason: reason)) { try LabelPattern(pattern) }
  }

  @Test func patternsHaveALength() {
    #expect(throws: StoreError.pattern(String(repeating: "a", count: 32) + "…", reason: "longer than 1000 characters")) {
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
}
