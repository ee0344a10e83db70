import CProbes
import Testing
import Tools

@Suite struct SharedLayoutTests {
  /// The C functions that the kernel side and the reports share agree for both edges of every slot.
  @Test func slotsHaveNoGaps() {
    #expect(swtrace_slot(0) == 0)
    #expect(swtrace_slot(.max) == UInt32(SWTRACE_SLOTS) - 1)
    for slot in 0..<UInt32(SWTRACE_SLOTS) {
      let low = swtrace_slot_low(slot)
      #expect(swtrace_slot(low) == slot)
      if slot > 0 {
        #expect(swtrace_slot(low - 1) == slot - 1)
        #expect(low > swtrace_slot_low(slot - 1))
      }
      // A slot is at most an eighth of its values wide.
      if slot >= 8, slot + 1 < UInt32(SWTRACE_SLOTS) { #expect((swtrace_slot_low(slot + 1) - low) * 8 <= low) }
    }
  }

  @Test(
    arguments: [
      ("500ms", 500_000_000), ("10s", 10_000_000_000), ("2m", 120_000_000_000), ("1h", 3_600_000_000_000), ("3", 3_000_000_000),
      ("0.25", 250_000_000), ("1.5s", 1_500_000_000), ("7us", 7_000),
    ] as [(String, UInt64)])
  func timesAreRead(_ text: String, _ expected: UInt64) { #expect(TimeSpan(argument: text)?.nanoseconds == expected) }

  @Test(arguments: ["", "s", "-1", "1x", "0", "1 s", "nan", "inf", "1e99", "ms", "+5"])
  func otherTextIsNoTime(_ text: String) { #expect(TimeSpan(argument: text) == nil) }

  @Test func lossReportsAddUp() {
    var report = LossReport()
    report.seen = 10
    report.filtered = 2
    report.delivered = 5
    report.lost = [.ring: 3]
    #expect(report.isExact)
    #expect(report.line == "seen 10, filtered 2, delivered 5, lost 3 (3 ring buffer full)")
    report += report
    #expect(report.seen == 20 && report.totalLost == 6)
    report.seen += 1
    #expect(!report.isExact)
    #expect(report.line.hasSuffix("UNACCOUNTED 1"))
  }
}
