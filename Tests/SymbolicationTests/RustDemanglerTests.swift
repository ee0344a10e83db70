import TestSupport
import Testing

@testable import Symbolication

@Suite struct RustDemanglerTests {
  /// Examples of RFC 2603 and of compilers' output; hashes of crates are not shown.
  @Test(
    arguments: [
      ("_RNvCs1234_7mycrate3foo", "mycrate::foo"), ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
      ("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>"),
      (
        "_RNCINkXs25_NgCsbmNqQUJIY6D_4core5sliceINyB9_4IterhENuNgNoBb_4iter8iterator8Iterator9rpositionNCNgNpB9_6memchr7memrchrs_0E0Bb_",
        "<core::slice::Iter<u8> as core::iter::iterator::Iterator>::rposition::<core::slice::memchr::memrchr::{closure#1}>::{closure#0}"
      ), ("_RNvNtCs1234_7mycrateu8gdel_5qa6escher", "mycrate::gödel::escher"),
      ("_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y", "utf8_idents::საჭმელად_გემრიელი_სადილი"),
      ("_RINvC1a1fRL_eQL_hPOuE", "a::f::<&str, &mut u8, *const *mut ()>"), ("_RNvC1a1b.llvm.123", "a::b"),
      ("_RINvC1a1fFUKCRL0_eEuE", ""), ("_RINvC1a1fFG_RL0_eRL0_eEuE", "a::f::<for<'a> fn(&'a str, &'a str)>"),
      ("_RINvC1a1fDNtC1b5TraitEL_E", "a::f::<dyn b::Trait>"),
      ("_RINvC1a1fDINtC1b5TraithEp4ItemmEL_E", "a::f::<dyn b::Trait<u8, Item = u32>>"),
    ] as [(String, String)])
  func knownNames(_ mangled: String, _ readable: String) {
    #expect(RustDemangler.demangle(mangled) == (readable.isEmpty ? nil : readable))
  }

  @Test(
    arguments: [
      "_R", "_RNv", "_RNvC1", "_RNvC9abc", "_RB_", "_RNvB0_1a", "_RNvC1a1b1", "_RINvC1a1bKb2_E", "_RINvC1a1bRL0_hE",
      "_RNvC1a99999999999999999999b",
      "_RNvC1as99999999999999_1b", "_ZN1aE", "main",
    ])
  func whatIsNoName(_ text: String) { #expect(RustDemangler.demangle(text) == nil) }

  /// Nesting without end, back references to themselves and to each other, and names that double at each step.
  @Test func hostileNamesEnd() {
    #expect(RustDemangler.demangle("_RIC1a" + String(repeating: "R", count: 100_000) + "hE") == nil)
    #expect(RustDemangler.demangle("_RNvYB_B_1a") == nil)
    var name = "_RIC1aTheT"
    for _ in 0..<60 { name += "TB6_B6_E" }
    #expect(RustDemangler.demangle(name) == nil)
    var random = Numbers(state: 5)
    for _ in 0..<20_000 {
      let letters = Array("RNvCsIMXYBTEKLSAhlj_0123abuG".utf8)
      let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] }
      _ = RustDemangler.demangle("_R" + String(decoding: bytes, as: UTF8.self))
    }
  }

  private struct Numbers: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state ^ state >> 33) &* 0xff51_afd7_ed55_8ccd
    }
  }

  /// Random names by the grammar.
  private struct Generator {
    var numbers = Numbers(state: 17)
    mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &numbers) }

    mutating func identifier() -> String {
      let name = ["a", "b_c", "Long", "x9", "_under"][pick(5)]
      return "\(name.utf8.count)\(name.hasPrefix("_") ? "_" : "")\(name)"
    }
    mutating func path(_ depth: Int) -> String {
      switch depth > 4 ? 0 : pick(7) {
      case 0: "C2k\(pick(10))"
      case 1, 2: "Nt\(path(depth + 1))\(identifier())"
      case 3: "NC\(path(depth + 1))\(["", "s_", "s0_"][pick(3)])0"
      case 4: "M\(path(9))\(type(depth + 1))"
      case 5: "Y\(type(depth + 1))\(path(depth + 1))"
      default: "I\(path(depth + 1))\(type(depth + 1))\(type(depth + 1))E"
      }
    }
    mutating func type(_ depth: Int) -> String {
      switch depth > 4 ? 0 : pick(10) {
      case 0, 1: ["a", "b", "c", "d", "e", "h", "j", "l", "u", "z", "p"][pick(11)]
      case 2: "R\(type(depth + 1))"
      case 3: "QL_\(type(depth + 1))"
      case 4: "P\(type(depth + 1))"
      case 5: "S\(type(depth + 1))"
      case 6: "T\((0..<pick(4)).map { _ in type(depth + 1) }.joined())E"
      case 7: "F\(["", "U", "KC"][pick(3)])\(type(depth + 1))E\(type(depth + 1))"
      case 8: "D\(path(9))p4ItemhEL_"
      default: path(depth + 1)
      }
    }
  }

  /// The same as binutils' c++filt, but for the hashes of crates.
  @Test func randomNamesAgreeWithBinutils() throws {
    let folder = try TemporaryFolder()
    var generator = Generator()
    let names = (0..<3001).map { _ in "_R" + "Nv" + generator.path(0) + generator.identifier() }
    let file = try folder.file("names", names.joined(separator: "\n") + "\n")
    let output = try run(["sh", "-c", "c++filt < \(file)"]).lines
    try #require(output.count == names.count)
    var differences: [String] = []
    for (name, expected) in zip(names, output) {
      let expected = expected.replacing(/(k[0-9])\[0\]/) { $0.output.1 }
      let readable = RustDemangler.demangle(name) ?? name
      if readable != expected { differences.append("\(name): \(readable), not \(expected)") }
    }
    #expect(differences.isEmpty, "\(differences.count): \(differences.prefix(8).joined(separator: "\n"))")
  }
}
