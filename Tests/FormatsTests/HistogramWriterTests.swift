import Formats
import Foundation
import Profiles
import Testing

@Suite struct HistogramWriterTests {
  private let histogram = Histogram(
    buckets: [
      .init(low: 0, high: 0, count: 1), .init(low: 1, high: 1, count: 1), .init(low: 5, high: 5, count: 40),
      .init(low: 16, high: 17, count: 7),
    ], sum: 320_500, maximum: 17_250)

  private func text(_ write: (inout [UInt8]) -> Void) -> String {
    var out: [UInt8] = []
    write(&out)
    return String(decoding: out, as: UTF8.self)
  }

  @Test func tableHasBCCsBars() {
    let stars = String(repeating: "*", count: 40)
    let none = String(repeating: " ", count: 40)
    #expect(
      text { HistogramWriter(unit: .microseconds).writeTable(histogram, into: &$0) } == """
             usecs               : count    distribution
                 0 -> 1          : 2        |**\(none.dropLast(2))|
                 2 -> 3          : 0        |\(none)|
                 4 -> 7          : 40       |\(stars)|
                 8 -> 15         : 0        |\(none)|
                16 -> 31         : 7        |*******\(none.dropLast(7))|
        count 49, sum 320.5, mean 6.54, p50 5, p90 16.43, p99 17, p99.9 17, max 17.25 usecs

        """)
  }

  @Test func emptyTableSaysSo() {
    #expect(text { HistogramWriter(unit: .microseconds).writeTable(Histogram(), into: &$0) } == "(no values)\n")
  }

  @Test func largestValuesFit() {
    let histogram = Histogram(buckets: [.init(low: 15 << 60, high: .max, count: .max)], sum: .max, maximum: .max)
    let lines = text { HistogramWriter(unit: .nanoseconds).writeTable(histogram, into: &$0) }.split(separator: "\n")
    #expect(lines.count == 66)
    #expect(lines[64].hasPrefix("9223372036854775808 -> 18446744073709551615 : 18446744073709551615 |****"))
    let json = text { HistogramWriter(unit: .nanoseconds).writeJSON(histogram, labels: [], into: &$0) }
    #expect(json.contains("\"max_ns\":18446744073709551615,"))
    #expect(json.contains("{\"min\":17293822569102704640,\"max\":18446744073709551615,\"count\":18446744073709551615}"))
    #expect((try? JSONSerialization.jsonObject(with: Data(json.utf8))) != nil)
  }

  @Test func jsonHasExactBounds() {
    #expect(
      text {
        HistogramWriter(unit: .microseconds).writeJSON(
          histogram, labels: [("pid", .unsigned(7)), ("comm", .text(Text("a\"\n")))], into: &$0)
      } == #"""
        {"type":"histogram","pid":7,"comm":"a\"\n","unit":"us","count":49,"sum_ns":320500,"max_ns":17250,"p50_us":5.000,"p90_us":16.429,"p99_us":17.000,"p99_9_us":17.000,"buckets":[{"min":0,"max":0,"count":1},{"min":1,"max":1,"count":1},{"min":5,"max":5,"count":40},{"min":16,"max":17,"count":7}]}

        """#)
    #expect(
      text { HistogramWriter(unit: .milliseconds).writeJSON(Histogram(), labels: [], into: &$0) }
        == #"{"type":"histogram","unit":"ms","count":0,"sum_ns":0,"max_ns":0,"buckets":[]}"# + "\n")
  }

  @Test func csvHasARowForEachBucket() {
    let writer = HistogramWriter(unit: .microseconds)
    #expect(
      text {
        writer.writeCSVHeader(labels: ["pid", "comm", "words"], into: &$0)
        writer.writeCSV(
          histogram, labels: [("pid", .integer(-1)), ("comm", .text(Text("a,b"))), ("words", .texts([Text("x"), Text("y,")]))], into: &$0)
      } == """
        pid,comm,words,min_us,max_us,count
        -1,"a,b","x y,",0,0,1
        -1,"a,b","x y,",1,1,1
        -1,"a,b","x y,",5,5,40
        -1,"a,b","x y,",16,17,7

        """)
  }
}
