import Testing

@testable import Tools

@Suite struct TimeSpanTests {
  @Test(
    arguments: [
      ("1", 1_000_000_000), ("10s", 10_000_000_000), ("500ms", 500_000_000), ("2m", 120_000_000_000), ("1h", 3_600_000_000_000),
      ("7us", 7_000), ("3ns", 3), ("0.5", 500_000_000), (".25s", 250_000_000), ("1.5ms", 1_500_000), ("1e3ms", 1_000_000_000),
    ] as [(String, UInt64)]) func lengthsOfTime(text: String, nanoseconds: UInt64)
  {
    #expect(TimeSpan(argument: text)?.nanoseconds == nanoseconds)
  }

  @Test(arguments: ["", "s", "0", "0s", "-1", "+1", "1d", "1 s", "ms", "nan", "inf", "1e30", "0x10", "1s1", "0.1ns", "١", "infs"])
  func whatIsNoLengthOfTime(text: String) {
    #expect(TimeSpan(argument: text) == nil)
  }

  @Test func descriptions() {
    #expect(TimeSpan(nanoseconds: 2_000_000_000).description == "2s")
    #expect(TimeSpan(nanoseconds: 1_500_000).description == "1.5ms")
  }

  @Test func processLists() {
    #expect(ProcessList(argument: "7")?.ids == [7])
    #expect(ProcessList(argument: "7,8,9")?.ids == [7, 8, 9])
    for text in ["", "0", "7,", ",7", "7,,8", "x", "-7", "4294967296"] { #expect(ProcessList(argument: text) == nil) }
  }
}
