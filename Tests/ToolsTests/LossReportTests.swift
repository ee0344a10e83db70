import CProbes
import Foundation
import Profiles
import Testing

@testable import Tools

@Suite struct LossReportTests {
  private let exact = LossReport(seen: 100, filtered: 30, delivered: 60, lost: [.ring: 7, .mapFull: 3], remarks: [.truncatedText: 2])

  @Test func lineForPeople() {
    #expect(
      exact.line
        == "seen 100, filtered 30, delivered 60, lost 10 (7 ring buffer full, 3 map full), 2 with text that could not be read completely")
    #expect(LossReport(seen: 5, filtered: 0, delivered: 5).line == "seen 5, filtered 0, delivered 5, lost 0")
    #expect(LossReport(seen: 5, filtered: 0, delivered: 4).line == "seen 5, filtered 0, delivered 4, lost 0, UNACCOUNTED 1")
    #expect(LossReport(seen: 4, filtered: 0, delivered: 5).line == "seen 4, filtered 0, delivered 5, lost 0, UNACCOUNTED -1")
  }

  @Test func identity() {
    #expect(exact.isExact)
    #expect(exact.totalLost == 10)
    var sum = exact
    sum += exact
    #expect(sum.isExact)
    #expect(sum.seen == 200)
    #expect(sum.lost == [.ring: 14, .mapFull: 6])
    #expect(sum.remarks == [.truncatedText: 4])
    sum.seen += 1
    #expect(!sum.isExact)
  }

  @Test func jsonHasEveryReason() throws {
    var report = exact
    report.lacking = ["without \"this\": that"]
    var out: [UInt8] = []
    report.writeJSON(into: &out, durationNanoseconds: 11)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(out)) as? [String: Any])
    #expect(object["type"] as? String == "summary")
    #expect(object["seen"] as? Int == 100)
    #expect(object["duration_ns"] as? Int == 11)
    #expect(object["lacking"] as? [String] == ["without \"this\": that"])
    let lost = try #require(object["lost"] as? [String: Int])
    #expect(lost == ["ring": 7, "map_full": 3, "scratch": 0, "hidden": 0, "missed": 0, "throttled": 0, "unread": 0])
    #expect((object["remarks"] as? [String: Int])?.count == LossReport.Remark.allCases.count)
  }

  /// Every counter of the probes is in the report: none can be lost between the two sides.
  @Test func everyCounterIsRead() {
    for counter in 0..<Int(SWTRACE_COUNTERS.rawValue) {
      var counters = [UInt64](repeating: 0, count: Int(SWTRACE_COUNTERS.rawValue))
      counters[counter] = 13
      let report = LossReport(counters: counters)
      let sums = report.seen + report.filtered + report.delivered + report.totalLost + report.remarks.values.reduce(0, +)
      #expect(sums == 13, "counter \(counter)")
    }
  }
}

/// The C helpers that put values into slots, which run in the kernel.
@Suite struct SlotTests {
  @Test func slotsAreContiguousAndOrdered() {
    #expect(swtrace_slot(0) == 0)
    #expect(swtrace_slot(.max) == UInt32(SWTRACE_SLOTS) - 1)
    for slot in 0..<UInt32(SWTRACE_SLOTS) {
      let low = swtrace_slot_low(slot)
      #expect(swtrace_slot(low) == slot)
      if slot > 0 {
        #expect(swtrace_slot(low - 1) == slot - 1)
        #expect(swtrace_slot_low(slot - 1) < low)
      }
      // The relative error of a slot's bounds.
      if slot + 1 < UInt32(SWTRACE_SLOTS) { #expect((swtrace_slot_low(slot + 1) - 1 - low) * 8 <= low) }
      // No slot crosses a power of two.
      let high = slot + 1 < UInt32(SWTRACE_SLOTS) ? swtrace_slot_low(slot + 1) - 1 : .max
      #expect(low < 2 || low.leadingZeroBitCount == high.leadingZeroBitCount)
    }
  }

  /// What reads histograms back is the same.
  @Test func swiftAgreesWithTheHeader() {
    #expect(Histogram.slots == Int(SWTRACE_SLOTS))
    for slot in 0..<Histogram.slots {
      let bucket = Histogram.bucket(slot: slot, count: 1)
      #expect(bucket.low == swtrace_slot_low(UInt32(slot)))
      #expect(bucket.high == (slot + 1 < Histogram.slots ? swtrace_slot_low(UInt32(slot) + 1) - 1 : .max))
      #expect(Histogram.slot(of: bucket.low) == slot && Histogram.slot(of: bucket.high) == slot)
    }
  }

  @Test func histogramsAddUp() {
    var one = Histogram(buckets: [3, 9, 17].map { Histogram.bucket(slot: $0, count: UInt64($0)) }, sum: 100, maximum: 17)
    one.add(Histogram(buckets: [1, 9, 400].map { Histogram.bucket(slot: $0, count: 5) }, sum: .max, maximum: 40))
    #expect(one.buckets == [(1, 5), (3, 3), (9, 14), (17, 17), (400, 5)].map { Histogram.bucket(slot: $0.0, count: $0.1) })
    #expect(one.sum == .max && one.maximum == 40 && one.count == 44)
    var empty = Histogram()
    empty.add(one)
    #expect(empty == one)
    empty.add(Histogram())
    #expect(empty == one)
  }

  /// By comparing with all bounds, instead of by bits.
  @Test func slotsAgreeWithTheirBounds() {
    let lows = (0..<UInt32(SWTRACE_SLOTS)).map { swtrace_slot_low($0) }
    func searched(_ value: UInt64) -> UInt32 { UInt32(lows.lastIndex { $0 <= value } ?? -1) }
    for value in (0..<1 << 12) + (0..<64).flatMap({ exponent in [-1, 0, 1].map { Int(bitPattern: UInt(1) << UInt(exponent)) &+ $0 } }) {
      #expect(swtrace_slot(UInt64(bitPattern: Int64(value))) == searched(UInt64(bitPattern: Int64(value))))
    }
  }

  @Test func logarithms() {
    for exponent in 0..<64 {
      #expect(swtrace_log2(1 << exponent) == UInt32(exponent))
      #expect(swtrace_log2((1 << exponent) | ((1 << exponent) - 1)) == UInt32(exponent))
    }
  }
}
