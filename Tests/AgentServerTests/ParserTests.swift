import AgentModel
import Testing

@testable import AgentServer

@Suite struct ParserTests {
  @Test func selectors() throws {
    #expect(try SelectorParser.parse("{}") == [])
    #expect(
      try SelectorParser.parse(#"{service="a",comm=~"b.*", host != "c" , pod!~"d|e"} "#)
        == [
          .init("service", .equal, "a"), .init("comm", .matches, "b.*"), .init("host", .notEqual, "c"), .init("pod", .doesNotMatch, "d|e"),
        ])
    #expect(try SelectorParser.parse(#"{_a1="\\ \" \n é"}"#) == [.init("_a1", .equal, "\\ \" \n é")])
    // What labels print as is read back.
    let labels = Labels([("service", "a\\\"\n{},")])
    #expect(try SelectorParser.parse(labels.description) == [.init("service", .equal, "a\\\"\n{},")])
  }

  @Test(arguments: [
    ("", 1, "a selector begins with { as in {service=\"nginx\"}"), ("{", 2, "a label's name is needed here"),
    ("{a", 3, "=, !=, =~ or !~ is needed here"), ("{a=", 4, "a value in double quotes is needed here"),
    ("{a=b}", 4, "a value in double quotes is needed here"),
    (#"{a="b"#, 4, "this quote is not closed"), (#"{a="b""#, 7, "after a condition comes , or }"),
    (#"{a="b" c="d"}"#, 8, "after a condition comes , or }"),
    (#"{a="b",}"#, 8, "a label's name is needed here"), (#"{1a="b"}"#, 2, "a label's name is needed here"),
    (#"{a!"b"}"#, 4, "! is followed by = or ~"),
    (#"{a="b"}x"#, 8, "nothing may follow the }"), (#"{a=~"("}"#, 5, "this regular expression cannot be read: a ( without its )"),
    (#"{a="\d"}"#, 5, #"a backslash stands before \, " or n only; in a regular expression it is written twice"#),
  ]) func wrongSelectors(text: String, position: Int, why: String) {
    let problem = #expect(throws: Problem.self) { try SelectorParser.parse(text) }
    #expect(problem?.text == "the selector is wrong at character \(position): \(why)")
  }

  @Test(arguments: [
    ("0", 0), ("1767225600", 1_767_225_600), ("1767225600.75", 1_767_225_600), ("now", 5000), ("-1h", 1400), ("-90s", 4910), ("-2m", 4880),
    ("-0d", 5000),
    ("1970-01-01T00:00:00Z", 0), ("2026-01-01T00:00:00Z", 1_767_225_600), ("2026-01-01T01:00:00+01:00", 1_767_225_600),
    ("2026-01-01 01:00:00 01:00", 1_767_225_600), ("2025-12-31t23:30:00.123-00:30", 1_767_225_600), ("2024-02-29T00:00:00Z", 1_709_164_800),
    ("2000-02-29T12:34:56Z", 951_827_696), ("1969-12-31T23:59:59Z", -1),
  ]) func times(text: String, seconds: Int64) {
    #expect(PointInTime.seconds(of: text, now: 5000) == seconds)
  }

  @Test(arguments: [
    "", "-", "h", "-h", "1h", "+1h", "-1y", "--1h", "-1.5h", "1.", ".5", "1e9", "0x10", "2026-01-01", "2026-01-01T00:00:00",
    "2025-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+0100", "99999999999999999999", "-99999999999d",
  ]) func wrongTimes(text: String) {
    #expect(PointInTime.seconds(of: text, now: 5000) == nil)
  }

  @Test func steps() {
    #expect(Parameters.roundStep(for: 60) == 10)
    #expect(Parameters.roundStep(for: 3600) == 10)
    #expect(Parameters.roundStep(for: 3610) == 20)
    #expect(Parameters.roundStep(for: 86400) == 300)
    for seconds in [Int64(1), 12345, 31_536_000, 3_153_600_000] { #expect(seconds / Parameters.roundStep(for: seconds) <= 360) }
  }
}
