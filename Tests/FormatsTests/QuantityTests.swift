import Profiles
import Testing

@testable import Formats

@Test(
  arguments: [
    (0, 0, "0"), (1250, 2, "12.5"), (5, 3, "0.005"), (100, 2, "1"), (.max, 9, "18446744073.709551615"),
  ] as [(UInt64, Int, String)])
func decimals(_ value: UInt64, _ decimals: Int, _ expected: String) {
  #expect(decimalText(value, decimals: decimals) == expected)
}

@Test(arguments: [(0, 0, "0"), (0.5, 0, "1"), (0.005, 2, "0.01"), (-2.5, 1, "-2.5"), (-0.001, 1, "0.0"), (1234.567, 2, "1234.57")])
func fixedDigits(_ number: Double, _ digits: Int, _ expected: String) {
  #expect(fixed(number, digits: digits) == expected)
}

@Test(arguments: [("1", "1"), ("123", "123"), ("1234", "1,234"), ("1234567.891", "1,234,567.891")])
func thousands(_ number: String, _ expected: String) { #expect(grouped(number) == expected) }

@Test(
  arguments: [
    (0, 10, "0%"), (1, 0, "0%"), (1, 3, "33.33%"), (1, 1_000_000, "<0.01%"), (1, 10_000, "0.01%"), (7, 7, "100.00%"),
  ] as [(UInt64, UInt64, String)])
func shares(_ part: UInt64, _ whole: UInt64, _ expected: String) { #expect(percentText(part, of: whole) == expected) }

@Test(
  arguments: [
    (1, .samples, "1 sample"), (1234, .samples, "1,234 samples"), (3, .other("faults"), "3 faults"), (3, .other(""), "3"),
    (999, .nanoseconds, "999 ns"), (1000, .nanoseconds, "1.00 µs"), (45_678, .nanoseconds, "45.7 µs"),
    (1_234_567_890_123, .nanoseconds, "1,235 s"),
    (0, .microseconds, "0 µs"), (2_500, .microseconds, "2.50 ms"), (1500, .milliseconds, "1.50 s"), (1536, .bytes, "1.50 KiB"),
    (12, .bytes, "12 bytes"),
  ] as [(UInt64, Profile.Unit, String)])
func quantities(_ value: UInt64, _ unit: Profile.Unit, _ expected: String) {
  #expect(Quantity(Profile(unit: unit)).text(value) == expected)
}
