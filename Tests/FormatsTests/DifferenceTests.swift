import Profiles
import Testing

@testable import Formats

private func table(_ before: String, _ after: String, unit: Profile.Unit = .samples, hasCounts: Bool = true, limit: Int = 0) throws
  -> String
{
  var out: [UInt8] = []
  let difference = ProfileDifference(try profile(before, unit: unit), try profile(after, unit: unit), hasCounts: hasCounts)
  DifferenceWriter.writeTable(difference, limit: limit, into: &out)
  return String(decoding: out, as: UTF8.self)
}

private func foldedDifference(_ before: String, _ after: String, normalize: Bool = true) throws -> String {
  var out: [UInt8] = []
  DifferenceWriter.writeFolded(try profile(before), try profile(after), normalize: normalize, into: &out)
  return String(decoding: out, as: UTF8.self)
}

@Test func sharesAreComparedByFunction() throws {
  // 3 standard errors of 10 % against 25 %, of 1000 and 2000 samples: 3 * sqrt(0.2 * 0.8 * (1/1000 + 1/2000)) = 4.65 %.
  #expect(
    try table("app;main;f 100\napp;main;g 898\napp;main 2", "app;main;f 200\napp;other;f 300\napp;main;g 1496\napp;main 2\napp;new 2")
      == """
        BEFORE    AFTER   CHANGE     NOISE   FUNCTION [MODULE]
        89.80%   74.80%  -15.00%    ±4.66% * g
        10.00%   25.00%  +15.00%    ±4.65% * f
         0.20%    0.10%   -0.10%    ±0.42%   main
         0.00%    0.10%   +0.10%    ±0.30%   new

      """)
}

@Test func noiseIsSaidOnlyWhereEventsAreCounted() throws {
  #expect(
    try table("a;f 1\na;g 3", "a;f 3\na;g 1", unit: .microseconds, hasCounts: false, limit: 1) == """
        BEFORE    AFTER   CHANGE FUNCTION [MODULE]
        75.00%   25.00%  -50.00% g
      (1 more; --limit 0 shows all)
      (nothing is marked: the input does not say how many events its values add up)

      """)
}

/// Equal shares of times are less certain with few large events than with many small ones.
@Test func noiseOfTimesDependsOnTheEvents() {
  func difference(_ events: UInt64) -> ProfileDifference {
    let profiles = ([100, 300] as [UInt64]).map { value in
      var profile = Profile(unit: .nanoseconds)
      profile.add(value * 1000, count: events, stack: Stack([Frame(function: "f")]), process: process("a"))
      profile.add(600_000, count: 10_000, stack: Stack([Frame(function: "g")]), process: process("a"))
      return profile
    }
    return ProfileDifference(profiles[0], profiles[1])
  }
  #expect(difference(5000).rows.filter(\.isBeyondNoise).map(\.function).sorted() == ["f", "g"])
  #expect(difference(2).rows.first { $0.function == "f" }?.isBeyondNoise == false)
}

/// Two halves of the same random measurement hardly ever differ by more than the noise.
@Test func chanceIsNotMarked() throws {
  var state: UInt64 = 99
  var (marked, rows) = (0, 0)
  for _ in 0..<60 {
    var halves = [[Int](repeating: 0, count: 20), [Int](repeating: 0, count: 20)]
    for index in 0..<1500 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let pick = Int((state >> 33) % 400)
      halves[index % 2][Int(Double(pick).squareRoot())] += 1
    }
    let texts = halves.map { $0.enumerated().map { "a;f\($0) \($1)" }.joined(separator: "\n") }
    let difference = ProfileDifference(try profile(texts[0]), try profile(texts[1]))
    rows += difference.rows.count
    marked += difference.rows.count(where: \.isBeyondNoise)
  }
  #expect(rows > 1100 && Double(marked) / Double(rows) < 0.01, "\(marked) of \(rows)")
}

@Test func foldedDifferencesHaveTwoColumns() throws {
  #expect(try foldedDifference("a;f 10\na;g 5\na;h 5", "a;f 10\na;i 30") == "a;f 20 10\na;g 10 0\na;h 10 0\na;i 0 30\n")
  #expect(try foldedDifference("a;f 10\na;g 5\na;h 5", "a;f 10\na;i 30", normalize: false) == "a;f 10 10\na;g 5 0\na;h 5 0\na;i 0 30\n")
  // As perl's int() does.
  #expect(try foldedDifference("a;f 2\na;g 1", "a;f 4") == "a;f 2 4\na;g 1 0\n")
  #expect(try foldedDifference("a;f 1.5", "a;f 3") == "a;f 3 3\n")
}

@Test func comparisonsAreRedAndBlue() throws {
  let picture = String(
    decoding: FlameGraph.svg(try profile("a;f 3\na;g 1"), since: try profile("a;f 1\na;g 1\na;gone 2")), as: UTF8.self)
  #expect(
    picture.contains(
      "<title>f\nself 3 samples (75.00%)\ntotal 3 samples (75.00%)\nbefore 25.00%, change +50.00%</title><rect class=\"d16\""))
  #expect(picture.contains("before 25.00%, change +0.00%</title><rect class=\"d8\""))
  #expect(picture.contains("red grew, blue shrank; 50.00% of before is in stacks that are gone"))
  let back = String(decoding: FlameGraph.svg(try profile("a;f 1\na;g 3"), since: try profile("a;f 3\na;g 1")), as: UTF8.self)
  #expect(back.contains("change -50.00%</title><rect class=\"d0\""))
}
