import Formats
import Testing

@Suite struct NumbersTests {
  private func text(_ write: (inout [UInt8]) -> Void) -> String {
    var out: [UInt8] = Array("<".utf8)
    write(&out)
    return String(decoding: out.dropFirst(), as: UTF8.self)
  }

  @Test func decimalsOfAllLengths() {
    var value: UInt64 = 1
    for _ in 0..<19 {
      for each in [value - 1, value, value + 1] { #expect(text { $0.append(decimal: each) } == String(each)) }
      value *= 10
    }
    #expect(text { $0.append(decimal: UInt64.max) } == "18446744073709551615")
    #expect(text { $0.append(decimal: Int64.min) } == "-9223372036854775808")
    #expect(text { $0.append(decimal: Int64.max) } == "9223372036854775807")
    #expect(text { $0.append(decimal: Int64(-1)) } == "-1")
  }

  @Test(
    arguments: [
      (0, 1_000_000_000, 2, "0.00"), (1_234_567_890, 1_000_000_000, 2, "1.23"), (1_235_000_000, 1_000_000_000, 2, "1.24"),
      (999_999_999, 1_000_000_000, 2, "1.00"), (-1_234_567_890, 1_000_000_000, 3, "-1.235"), (-1, 1_000_000_000, 2, "0.00"),
      (5, 10, 0, "1"), (7, 2, 1, "3.5"), (.max, 1, 3, "9223372036854775807.000"), (.min, 1, 0, "-9223372036854775808"),
      (1_000_001, 1_000, 3, "1000.001"),
    ] as [(Int64, UInt64, Int, String)]) func quotientsAreRounded(value: Int64, divisor: UInt64, decimals: Int, expected: String)
  {
    #expect(text { $0.append(value, dividedBy: divisor, decimals: decimals) } == expected)
  }
}
