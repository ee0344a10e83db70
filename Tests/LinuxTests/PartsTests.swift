import Linux
import Testing

@Suite struct PartsTests {
  @Test func findsPartsOfTextAnywhere() {
    for part in ["", "l", "libc", "c.s", ".6", "libc.so.6"] { #expect("libc.so.6".has(part), "\(part)") }
    for part in ["libc.so.6 ", "so6", "L", "6."] { #expect(!"libc.so.6".has(part), "\(part)") }
    #expect("".has("") && !"".has("a") && "aaab".has("aab"))
    #expect([1, 2, 2, 3].has([2, 3]) && ![UInt8]([1, 2, 2, 3]).has([1, 3]))
  }
}
