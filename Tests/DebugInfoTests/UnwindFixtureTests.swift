import CUnwind
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Rows of records written by hand.
@Suite struct UnwindFixtureTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Of assembly with directives, which binutils must read the same.
  private func rows(_ text: String, section: String = ".eh_frame") throws -> [String] {
    let path = try UnwindFixture.assemble(text, in: folder)
    let tally = try UnwindTableTests.compare(path, section: section)
    #expect(tally.differences.isEmpty && tally.additional.isEmpty, "\(tally)")
    return try UnwindFixture.rows(path)
  }

  private func rows(records: String) throws -> [String] { try UnwindFixture.rows(UnwindFixture.assemble(records: records, in: folder)) }

  @Test func aFrameIsPushedAndPopped() throws {
    #expect(
      try rows(
        """
        .text
        .cfi_startproc
        push %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset rbp, -16
        mov %rsp, %rbp
        .cfi_def_cfa_register rbp
        push %r14
        .cfi_offset r14, -24
        pop %r14
        .cfi_restore r14
        pop %rbp
        .cfi_def_cfa rsp, 8
        .cfi_same_value rbp
        ret
        .cfi_endproc
        """)
        == ["0 rsp+8", "1 rsp+16 rbp=c-16", "4 rbp+16 rbp=c-16", "6 rbp+16 rbp=c-16 r14=c-24", "8 rbp+16 rbp=c-16", "9 rsp+8", "a gap"])
  }

  @Test func statesAreRememberedAndRestored() throws {
    #expect(
      try rows(
        """
        .text
        .cfi_startproc
        push %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset rbp, -16
        push %rbx
        .cfi_def_cfa_offset 24
        .cfi_remember_state
        pop %rbx
        .cfi_def_cfa_offset 16
        pop %rbp
        .cfi_restore rbp
        .cfi_def_cfa_offset 8
        ret
        .cfi_restore_state
        nop
        .cfi_endproc
        """)
        == ["0 rsp+8", "1 rsp+16 rbp=c-16", "2 rsp+24 rbp=c-16", "3 rsp+16 rbp=c-16", "4 rsp+8", "5 rsp+24 rbp=c-16", "6 gap"])
  }

  /// More than compilers ever use; and one that was never remembered.
  @Test func tooManyStatesAreNotSupported() throws {
    let remember = { (count: Int) in [String](repeating: "0x0a", count: count).joined(separator: ", ") }
    #expect(
      try rows(
        records: UnwindFixture.common() + UnwindFixture.function(0, 16, instructions: "\(remember(16)), 0x41, 0x0e, 16")
          + UnwindFixture.function(16, 32, instructions: "\(remember(17)), 0x41, 0x0e, 16")
          + UnwindFixture.function(32, 48, instructions: "0x41, 0x0b"))
        == ["0 rsp+8", "1 rsp+16", "10 unsupported", "20 rsp+8", "21 unsupported", "30 gap"])
  }

  /// Of the linkers' stubs, by the place in the entry; and its neighbours that no linker writes.
  @Test func expressionsOfThePLTAreKnown() throws {
    let expression = { (bytes: String) in "0x0f, 11, \(bytes)" }
    #expect(
      try rows(
        records: UnwindFixture.common()
          + UnwindFixture.function(0, 16, instructions: expression("0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22"))
          + UnwindFixture.function(16, 32, instructions: expression("0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x22"))
          + UnwindFixture.function(32, 48, instructions: expression("0x77, 16, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x22"))
          + UnwindFixture.function(48, 64, instructions: expression("0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33, 0x24, 0x1c")))
        == ["0 plt+11", "10 plt+10", "20 unsupported", "40 gap"])
  }

  /// Of OpenSSL's multiplications, and its neighbours that nobody writes.
  @Test func placesInArraysAreKnown() throws {
    let expression = { (bytes: String) in "0x0f, 10, \(bytes)" }
    #expect(
      try rows(
        records: UnwindFixture.common()
          + UnwindFixture.function(0, 16, instructions: expression("0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8"))
          + UnwindFixture.function(16, 32, instructions: expression("0x77, 16, 0x79, 8, 0x38, 0x1e, 0x22, 0x06, 0x23, 8"))
          + UnwindFixture.function(32, 48, instructions: expression("0x77, 16, 0x77, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8")))
        == ["0 [rsp+8+8*r9]+8", "10 unsupported", "30 gap"])
  }

  /// As gcc writes it for functions that align their stack.
  @Test func alignedStacksAreFoundThroughMemory() throws {
    #expect(
      try rows(
        """
        .text
        .cfi_startproc
        lea 8(%rsp), %r10
        .cfi_def_cfa 10, 0
        and $-32, %rsp
        push -8(%r10)
        push %rbp
        mov %rsp, %rbp
        .cfi_escape 0x10, 6, 2, 0x76, 0
        push %r10
        .cfi_escape 0x0f, 3, 0x76, 0x78, 6
        nop
        .cfi_escape 0x0f, 6, 0x77, 0xd8, 0, 6, 0x23, 8
        nop
        .cfi_escape 0x0f, 4, 0x76, 0x78, 6, 6
        nop
        .cfi_endproc
        """)
        == [
          "0 rsp+8", "5 r10+0", "11 r10+0 rbp=[rbp+0]", "13 [rbp-8] rbp=[rbp+0]", "14 [rsp+88]+8 rbp=[rbp+0]", "15 unsupported", "16 gap",
        ])
  }

  @Test func signalFramesAreTheKernels() throws {
    #expect(
      try rows(
        """
        .text
        nop
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_escape 0x0f, 4, 0x77, 0xa0, 1, 6
        nop
        .cfi_endproc
        """) == ["0 gap", "1 signal", "2 gap"])
  }

  @Test func nobodyCallsWhatHasNoReturnAddress() throws {
    #expect(
      try rows(
        """
        .text
        .cfi_startproc
        .cfi_undefined rip
        nop
        .cfi_endproc
        .cfi_startproc
        nop
        .cfi_undefined rip
        nop
        .cfi_endproc
        .cfi_startproc
        .cfi_register rip, rdi
        nop
        .cfi_endproc
        """) == ["0 stop", "1 rsp+8", "2 stop", "3 unsupported", "4 gap"])
  }

  private let c = """
    #include <stdlib.h>
    int work(int n) { char *p = malloc(n); int r = p[n / 2] + 1; free(p); return r; }
    int main(int argc, char **argv) { return work(argc) + work(argc + 1); }
    """

  /// Beside the few records of `.eh_frame` that come with every C program.
  @Test(arguments: ["-gz=none", "-gz"]) func debugFramesAreReadWhereThereIsNothingElse(_ compression: String) throws {
    // So many that compressing pays.
    let others = (0..<64).map { "int other\($0)(int n) { return work(n) + \($0); }\n" }.joined()
    let path = try compile(
      c + "\n" + others, in: folder, compiler: "gcc", flags: ["-O1", "-g", "-fno-asynchronous-unwind-tables", compression])
    let table = try UnwindTableTests.table(path)
    let oracle = try FrameOracle(path, section: ".debug_frame")
    #expect(oracle.functions.count == 66)
    var checked = 0
    for function in oracle.functions {
      for row in function.rows {
        #expect(table.rule(at: ELFAddress(row.address)).says(row))
        checked += 1
      }
      #expect(table.rule(at: ELFAddress(function.start)).text == "rsp+8")
    }
    #expect(checked > 6)
    let other = try FrameOracle(path)
    #expect(other.functions.count > 1)
    #expect(table.functions == other.functions.count + 66)
  }

  /// In a file of its own, as distributions ship it.
  @Test func debugFramesAreReadFromDebugFiles() throws {
    let text = ".text\n.cfi_sections .debug_frame\n.cfi_startproc\npush %rbx\n.cfi_def_cfa_offset 16\nnop\n.cfi_endproc\n"
    let path = try UnwindFixture.assemble(text, in: folder)
    #expect(try UnwindFixture.rows(path) == ["0 rsp+8", "1 rsp+16", "2 gap"])
    try #require(try run(["objcopy", "--only-keep-debug", path, folder.file("debug")]).status == 0)
    try #require(try run(["strip", "--strip-debug", "-R", ".debug_frame", path]).status == 0)
    #expect(try UnwindFixture.rows(path) == ["0 gap"])
    #expect(try UnwindFixture.rows(path, debug: folder.file("debug")) == ["0 rsp+8", "1 rsp+16", "2 gap"])
  }

  /// The linker puts the end of one file's records in the middle of all.
  @Test func recordsGoOnAfterAZero() throws {
    #expect(
      try rows(
        records: UnwindFixture.common() + UnwindFixture.function(0, 16) + ".long 0\n.long 0\n"
          + UnwindFixture.common("other") + UnwindFixture.function(16, 32, common: "other", instructions: "0x0e, 16") + ".long 0\n"
          + UnwindFixture.function(32, 48, instructions: "0x0e, 24"))
        == ["0 rsp+8", "10 rsp+16", "20 rsp+24", "30 gap"])
  }

  @Test func theFirstOfTwoThatOverlapKeepsItsPart() throws {
    #expect(
      try rows(
        records: UnwindFixture.common() + UnwindFixture.function(0, 32)
          + UnwindFixture.function(16, 48, instructions: "0x0e, 16, 0x58, 0x0e, 24")
          + UnwindFixture.function(20, 30, instructions: "0x0e, 32") + UnwindFixture.function(64, 80))
        == ["0 rsp+8", "20 rsp+16", "28 rsp+24", "30 gap", "40 rsp+8", "50 gap"])
  }

  /// Those that the linker threw away, with address 0 or no bytes.
  @Test func whatIsNotLinkedHasNoRows() throws {
    let absent = ".long 2f - 1f\n1: .long 1b - common\n.long 0\n.long 16\n.byte 0, 0\n2:\n"
    #expect(
      try rows(records: UnwindFixture.common() + absent + UnwindFixture.function(16, 16) + UnwindFixture.function(16, 32))
        == ["0 gap", "10 rsp+8", "20 gap"])
  }

  /// Padding deserves no row.
  @Test func shortHolesBelongToWhatIsBefore() throws {
    #expect(
      try rows(
        records: UnwindFixture.common() + UnwindFixture.function(0, 17) + UnwindFixture.function(32, 48, instructions: "0x0e, 16")
          + UnwindFixture.function(64, 80))
        == ["0 rsp+8", "20 rsp+16", "30 gap", "40 rsp+8", "50 gap"])
  }

  /// Records of the dynamic linker do not say that nobody calls its first instruction.
  @Test func theEntryPointIsTheEnd() throws {
    let text = ".text\n.globl _start\n.skip 64\n_start: .skip 0x200\n"
    #expect(try UnwindFixture.rows(UnwindFixture.assemble(text, in: folder)) == ["0 gap", "40 stop", "140 gap"])
    let other = text.replacing("_start", with: "start")
    #expect(try UnwindFixture.rows(UnwindFixture.assemble(other, in: folder)) == ["0 gap"])
    let known =
      ".text\n.globl _start\n.cfi_startproc\n_start: nop\n.cfi_def_cfa_offset 16\nnop\n.cfi_endproc\n.cfi_startproc\nnop\n.cfi_endproc\n"
    #expect(try UnwindFixture.rows(UnwindFixture.assemble(known, in: folder, flags: ["-static"])) == ["0 stop", "2 rsp+8", "3 gap"])
  }

  /// Registers that unwinders for this processor never leave elsewhere.
  @Test func oddPlacesOfRegistersAreNotGuessed() throws {
    #expect(
      try rows(
        records: UnwindFixture.common()
          // rbp is lost: undefined, in another register, too far away, an expression that is none of the usual.
          + UnwindFixture.function(0, 16, instructions: "0x07, 6") + UnwindFixture.function(16, 32, instructions: "0x09, 6, 3")
          + UnwindFixture.function(32, 48, instructions: "0x05, 6, 0x80, 0x80, 4")
          + UnwindFixture.function(48, 64, instructions: "0x10, 6, 2, 0x77, 8")
          // Instructions that nobody knows, or that end too early.
          + UnwindFixture.function(64, 80, instructions: "0x41, 0x3b") + UnwindFixture.function(80, 96, instructions: "0x41, 0x0c, 7"))
        == ["0 rsp+8 rbp=lost", "40 rsp+8", "41 unsupported", "50 rsp+8", "51 unsupported", "60 gap"])
  }
}
