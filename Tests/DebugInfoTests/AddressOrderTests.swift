import TestSupport
import Testing

@testable import DebugInfo

@Suite struct AddressOrderTests {
  private struct Item: Placed, Equatable {
    var start: UInt64
    var size: UInt64

    func comesBefore(_ other: Self) -> Bool { size > other.size }
  }

  /// Near each other, over all addresses, and nearly all at one place.
  @Test(arguments: [1 << 12, 1 << 25, UInt64.max, 3]) func orderIsThatOfAnySort(_ span: UInt64) {
    var random = SeededGenerator(seed: span)
    for count in [0, 1, 2, 97, 4099] {
      let items = (0..<count).map { _ in
        Item(start: (span == .max ? 0 : 0x40_0000) + .random(in: 0..<span, using: &random), size: .random(in: 0..<5, using: &random))
      }
      var sorted = items
      sorted.sortByStart()
      #expect(sorted == items.sorted { ($0.start, 4 - $0.size) < ($1.start, 4 - $1.size) })
    }
  }
}
