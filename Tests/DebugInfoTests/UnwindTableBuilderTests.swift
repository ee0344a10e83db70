internal import CUnwind
import Testing

@testable import DebugInfo

@Suite struct UnwindTableBuilderTests {
  /// A file with more rules than there are numbers keeps the first, and has no rule for what comes after them.
  @Test func moreRulesThanNumbers() {
    var builder = UnwindTableBuilder(code: 0x1000..<0x2000, entry: 0, rowsAtOnce: 1 << 16)
    let numbers = (0..<40_009).map { builder.number(of: UnwindRule(SWTRACE_CFA_RSP, offset: Int32($0) * 8)) }
    // The rule of gaps is there from the beginning, and that of what is not supported has the last place.
    let kept = UnwindTableBuilder.maximumRules - 2
    #expect(Set(numbers.prefix(kept)).count == kept)
    #expect(Set(numbers.dropFirst(kept)).count == 1 && builder.rules.count == UnwindTableBuilder.maximumRules)
    #expect(builder.rules.last.map { $0.bits == UnwindRule.unsupported.bits } ?? false)
    #expect(builder.number(of: UnwindRule(SWTRACE_CFA_RSP, offset: 0)) == numbers[0])
  }
}
