import CUnwind
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Files made to cost time or memory: each of these ends at once, or the run does not.
@Suite(.serialized) struct UnwindHostileTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func peak() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss
  }

  private func table(_ path: String) throws -> UnwindTable { try UnwindTable(ELFFile(path: FilePath(path))) }

  /// 50,000 functions that name the same bytes as their CIE, each from another place on.
  @Test func commonsThatAreTakenFromEverywhereAreBounded() throws {
    let path = try UnwindFixture.assemble(
      records: """
        base:
        .rept 200000
        .long 0x7ffffff0, 0
        .byte 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1
        .endr
        """, in: folder)
    #expect(try table(path).functions == 0)
    let many = try UnwindFixture.assemble(
      records: """
        base: .long 2f - 1f
        1: .long 0
        .rept 60000
        .long 0x20000, 0
        .byte 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1
        .endr
        .skip 0x30000
        2:
        .set place, 0
        .rept 50000
        .long 16
        .long . - base - 8 - place
        .long f - ., 1
        .long 0
        .set place, place + 16
        .endr
        """, in: folder)
    #expect(try table(many).functions == 0)
  }

  /// Records that go back to where they began, are longer than the section, or than anything.
  @Test func absurdLengthsEndTheReading() throws {
    for record in [
      ".long 0xfffffffe", ".long 0xffffffff, 0xffffffff, 0xffffffff", ".long 0xffffffff, 4, 0x80000000", ".byte 4", ".long 4, 1",
    ] {
      let path = try UnwindFixture.assemble(records: UnwindFixture.common() + UnwindFixture.function(0, 16) + record, in: folder)
      #expect(try UnwindFixture.rows(path) == ["0 rsp+8", "10 gap"], "\(record)")
    }
  }

  @Test func absurdPlacesAreClamped() throws {
    let far = { (start: String, length: String) in
      ".long 18\n.long . - common\n.long \(start)\n.long \(length)\n.byte 0, 0x0e, 16, 0, 0, 0\n"
    }
    let path = try UnwindFixture.assemble(
      records: UnwindFixture.common() + far("f + 16 - .", "0x7fffffff") + far("0x7fffffff", "0x7fffffff") + far("f - 0x8000 - .", "0x8010")
        // Advances by all that a number holds, again and again.
        + UnwindFixture.function(0x20, 0x30, instructions: "4, 255, 255, 255, 255, 0x0e, 24, 4, 255, 255, 255, 255"), in: folder)
    #expect(try UnwindFixture.rows(path) == ["0 rsp+16"])
  }

  /// A million rows in a megabyte of instructions, and as many functions that overlap.
  @Test func rowsAreBoundedByTheInstructions() throws {
    let path = try UnwindFixture.assemble(
      records: UnwindFixture.common()
        + ".long 2f - 1f\n1: .long 1b - common\n.long f - .\n.long 0x200000\n.byte 0\n.rept 300000\n.byte 0x41, 0x0e, 16, 0x41, 0x0e, 24\n.endr\n2:\n",
      in: folder, code: ".skip 0x200000, 0x90")
    #expect(try table(path).count == 600_001)
    let overlapping = try UnwindFixture.assemble(
      records: UnwindFixture.common()
        + ".set place, 0\n.rept 100000\n.long 16\n.long . - common\n.long f + place - .\n.long 0x100000\n.byte 0, 0x0e, 16, 0\n.set place, place + 1\n.endr\n",
      in: folder, code: ".skip 0x200000, 0x90")
    #expect(try UnwindFixture.rows(overlapping) == ["0 rsp+16", "11869f gap"])
  }

  /// Symbols that lie one in another over the whole code, whose instructions change the stack at each byte.
  @Test func symbolsOverAllTheCodeAreReadOnce() throws {
    let before = peak()
    let symbols = (0..<2000).map { "s\($0) = f + \($0)\n.type s\($0), @function\n.size s\($0), 0x400000 - \($0)\n" }.joined()
    let path = try UnwindFixture.assemble(
      ".text\nf:\n.rept 0x200000\npush %rax\npop %rax\n.endr\n\(symbols)\n.section swift5_typeref, \"a\"\n.byte 0\n", in: folder)
    #expect(try UnwindFixture.rows(path) == ["0 gap"])
    #expect(peak() - before < 200 << 10, "KiB")
  }

  /// An async function that is nothing but ends, each with rows of its own.
  @Test func placesToMendAreBounded() throws {
    let path = try UnwindFixture.assemble(
      """
      .text
      "$s4test1fyyYaFTY0_":
      .cfi_startproc
      .rept 100000
      push %rbp; push %r14; lea 8(%rsp), %rbp
      .cfi_def_cfa rbp, 16
      pop %rbp
      nop
      .cfi_def_cfa rsp, 8
      jmp *%rax
      .endr
      .cfi_endproc
      .type "$s4test1fyyYaFTY0_", @function
      .size "$s4test1fyyYaFTY0_", . - "$s4test1fyyYaFTY0_"
      .section swift5_typeref, "a"
      .byte 0
      """, in: folder)
    let table = try table(path)
    #expect(table.count > 200_000)
    #expect(table.rule(at: ELFAddress(0x10009)).isAsync)
  }
}
