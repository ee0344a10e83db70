import Formats
import Testing

@Suite struct TextTests {
  private func escaped(_ bytes: [UInt8]) -> String {
    var out: [UInt8] = []
    out.append(escaped: Text(bytes))
    return String(decoding: out, as: UTF8.self)
  }

  @Test(arguments: [
    ("plain", "plain"), ("a b\u{7e}", "a b~"), ("grüße 日本 🎉", "grüße 日本 🎉"), ("", ""),
    ("a\nb\tc\rd", "a\\nb\\tc\\rd"), ("\u{1b}[31m", "\\x1b[31m"), ("\u{7f}\u{0}", "\\x7f\\x00"),
    // C1 controls, which terminals obey as well as ESC.
    ("\u{80}\u{9b}31m\u{9f}", "\\xc2\\x80\\xc2\\x9b31m\\xc2\\x9f"), ("\u{a0}", "\u{a0}"),
    // Line separators, and characters that reorder what stands around them.
    ("\u{2028}\u{2029}", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"),
    ("\u{202a}\u{202e}\u{2066}\u{2069}", "\\xe2\\x80\\xaa\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x81\\xa9"),
    ("\u{200e}\u{200f}\u{61c}", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f\\xd8\\x9c"),
    ("\u{2027}\u{202f}\u{2065}\u{206a}", "\u{2027}\u{202f}\u{2065}\u{206a}"),
  ]) func controlsAreEscaped(text: String, expected: String) {
    #expect(escaped(Array(text.utf8)) == expected)
  }

  @Test(
    arguments: [
      ([0xff], "\\xff"), ([0x61, 0x80, 0x62], "a\\x80b"), ([0xc3], "\\xc3"), ([0xc3, 0x28], "\\xc3("),
      // Too long an encoding, a surrogate, above U+10FFFF, and cut short.
      ([0xc0, 0xaf], "\\xc0\\xaf"), ([0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"), ([0xf4, 0x90, 0x80, 0x80], "\\xf4\\x90\\x80\\x80"),
      ([0xe2, 0x82], "\\xe2\\x82"), ([0xf0, 0x9f, 0x8e], "\\xf0\\x9f\\x8e"),
    ] as [([UInt8], String)]) func bytesThatAreNotUTF8AreEscaped(bytes: [UInt8], expected: String)
  {
    #expect(escaped(bytes) == expected)
  }

  /// No sequence of bytes gets a control character or broken UTF-8 through.
  @Test func noBytesDoHarm() {
    var generator = FixedNumbers(state: 41)
    var samples: [[UInt8]] = (0...255).map { [UInt8($0)] }
    for first in UInt8.min...UInt8.max { samples.append([0xc2, first]) }
    for _ in 0..<2003 { samples.append((0..<13).map { _ in UInt8.random(in: 0...255, using: &generator) }) }
    for sample in samples {
      var out: [UInt8] = []
      out.append(escaped: sample)
      let text = String(validating: out, as: UTF8.self)
      #expect(text != nil)
      #expect(text?.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control } == true)
    }
  }

  @Test func commandNamesEndAtTheFirstZero() {
    let bytes: [UInt8] = [0x61, 0x62, 0, 0x63]
    #expect(Text(zeroTerminated: bytes.span.bytes) == Text("ab"))
    #expect(Text(zeroTerminated: [UInt8]().span.bytes).isEmpty)
    #expect(Text(zeroTerminated: ([0x61] as [UInt8]).span.bytes) == Text("a"))
  }
}

/// A generator whose numbers are the same in every run.
struct FixedNumbers: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    var mixed = state ^ (state >> 33)
    mixed = mixed &* 0xff51_afd7_ed55_8ccd
    return mixed ^ (mixed >> 33)
  }
}
