import CUnwind
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Functions without records, by hand.
@Suite struct SwiftGapTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let swiftSection = ".section swift5_typeref, \"a\"\n.byte 0\n"

  private func function(_ name: String, _ text: String) -> String {
    "\"\(name)\":\n\(text)\n.type \"\(name)\", @function\n.size \"\(name)\", . - \"\(name)\"\n"
  }

  private func rows(_ text: String, isSwift: Bool = true) throws -> [String] {
    try UnwindFixture.rows(UnwindFixture.assemble(".text\n" + text + (isSwift ? Self.swiftSection : ""), in: folder))
  }

  /// The rows of one function, without what they all say.
  private func body(_ text: String) throws -> [String] {
    try rows(function("$s4test1fyyF", text)).map { $0.replacing(" guessed", with: "") }
  }

  @Test func framesAreFollowed() throws {
    #expect(
      try body("push %rbp; mov %rsp, %rbp; push %r14; push %rbx; sub $64, %rsp; lea -16(%rbp), %rsp; pop %rbx; pop %r14; pop %rbp; ret")
        == ["0 rsp+8", "1 rsp+16 rbp=c-16", "4 rbp+16 rbp=c-16", "6 rbp+16 rbp=c-16 r14=c-24", "12 rbp+16 rbp=c-16", "13 rsp+8", "14 gap"])
    #expect(try body("push %rbp; mov %rsp, %rbp; leave; ret") == ["0 rsp+8", "1 rsp+16 rbp=c-16", "4 rbp+16 rbp=c-16", "5 rsp+8", "6 gap"])
  }

  @Test func theStackPointerIsFollowed() throws {
    #expect(try body("push %rax; call .; pop %rcx; ret") == ["0 rsp+8", "1 rsp+16", "7 rsp+8", "8 gap"])
    #expect(
      try body(
        "push %rbp; push %r15; push $1; pushf; push (%rax); sub $0x1000, %rsp; add $0x1008, %rsp; pop (%rax); lea 8(%rsp), %rsp; pop %r15; pop %rbp; ret"
      )
        == [
          "0 rsp+8", "1 rsp+16 rbp=c-16", "3 rsp+24 rbp=c-16", "5 rsp+32 rbp=c-16", "6 rsp+40 rbp=c-16", "8 rsp+48 rbp=c-16",
          "f rsp+4144 rbp=c-16", "16 rsp+40 rbp=c-16", "18 rsp+32 rbp=c-16", "1d rsp+24 rbp=c-16", "1f rsp+16 rbp=c-16", "20 rsp+8",
          "21 gap",
        ])
    // Aligned, or moved by what was computed: there must be a frame pointer.
    #expect(try body("push %rbp; mov %rsp, %rbp; and $-32, %rsp; sub %rax, %rsp; mov %rbp, %rsp; pop %rbp; ret").last == "10 gap")
    for text in ["and $-32, %rsp", "sub %rax, %rsp", "mov %rax, %rsp", "lea (%rax), %rsp", "pop %rsp", "leave"] {
      #expect(try body("push %rax; \(text); ret") == ["0 gap"], "\(text)")
    }
  }

  /// rbp is a frame pointer only where it points to the caller's rbp.
  @Test func otherUsesOfRBPAreNoFrames() throws {
    #expect(try body("push %rbp; push %r14; lea 8(%rsp), %rbp; ret").contains("8 rbp+16 rbp=c-16 r14=c-24"))
    #expect(
      try body("push %rbp; push %r14; lea 16(%rsp), %rbp; ret") == ["0 rsp+8", "1 rsp+16 rbp=c-16", "3 rsp+24 rbp=c-16 r14=c-24", "9 gap"])
    #expect(try body("push %rbp; sub $16, %rsp; mov %rsp, %rbp; ret") == ["0 rsp+8", "1 rsp+16 rbp=c-16", "5 rsp+32 rbp=c-16", "9 gap"])
    #expect(try body("mov %rsp, %rbp; ret") == ["0 rsp+8", "4 gap"])
  }

  @Test func jumpsBringTheirStackAlong() throws {
    // The block behind the return has no frame; the one behind the second return, which nobody jumps to, is taken for one with it.
    #expect(
      try body("test %eax, %eax; je 1f; push %rax; call .; pop %rax; ret; 1: ret; nop")
        == ["0 rsp+8", "5 rsp+16", "b rsp+8", "d rsp+16", "e gap"])
    #expect(try body("push %rax; pop %rax; jmp 1f; nop; 1: ret") == ["0 rsp+8", "1 rsp+16", "2 rsp+8", "4 rsp+16", "5 rsp+8", "6 gap"])
  }

  /// A tail call with fewer arguments than came.
  @Test func argumentsAreRemovedBeforeTheLastJump() throws {
    #expect(try body("push %rax; pop %rax; add $16, %rsp; jmp *%rcx") == ["0 rsp+8", "1 rsp+16", "2 rsp+8", "8 gap"])
    #expect(try body("push %rax; pop %rax; add $16, %rsp; nop; jmp *%rcx") == ["0 gap"])
    #expect(try body("pop %rcx; jmp *%rcx") == ["0 gap"])
  }

  @Test func whatCannotBeReadStaysAGap() throws {
    #expect(try body("push %rax; .byte 6; pop %rax; ret") == ["0 gap"])
    #expect(try body("push %rax; sub $0x200000, %rsp; ret") == ["0 gap"])
    #expect(try body("push %rax; .byte 0x48, 0x81") == ["0 gap"])
  }

  /// Records come first; names of C++ never; functions lie within gaps; one that begins within another is none.
  @Test func onlyGapsInSwiftAreRead() throws {
    let plain = function("plain", "push %rax; pop %rax; ret; .skip 29, 0x90")
    #expect(try rows(plain, isSwift: false) == ["0 gap"])
    #expect(try rows(plain) == ["0 rsp+8 guessed", "1 rsp+16 guessed", "2 rsp+8 guessed", "3 rsp+16 guessed", "20 gap"])
    #expect(try rows(function("_ZN1a1bEv", "push %rax; pop %rax; ret; .skip 29, 0x90")) == ["0 gap"])
    #expect(
      try rows(
        ".cfi_startproc\nnop\n.cfi_def_cfa_offset 16\n.skip 31, 0x90\n.cfi_endproc\n" + plain
          + ".cfi_startproc\n.skip 32, 0x90\n.cfi_endproc\n")
        == ["0 rsp+8", "1 rsp+16", "20 rsp+8 guessed", "21 rsp+16 guessed", "22 rsp+8 guessed", "23 rsp+16 guessed", "40 rsp+8", "60 gap"])
    // Half of it has a record.
    #expect(
      try rows(".type f, @function\n.size f, 64\nf: .skip 32, 0x90\n.cfi_startproc\n.cfi_def_cfa_offset 16\n.skip 32, 0x90\n.cfi_endproc\n")
        == ["0 gap", "20 rsp+16", "40 gap"])
    #expect(
      try rows(".type f, @function\n.size f, 64\nf: push %rax\n" + function("inner", "push %rax; ret; .skip 61, 0x90"))
        == ["0 rsp+8 guessed", "1 rsp+16 guessed", "2 rsp+24 guessed", "40 gap"])
  }

  /// From the tables of a debug file, where the program has none.
  @Test func symbolsComeFromDebugFilesToo() throws {
    let text = ".text\n" + function("$s4test1fyyF", "push %rax; call .; pop %rcx; ret") + Self.swiftSection
    let path = try UnwindFixture.assemble(text, in: folder, flags: ["-shared", "-Wl,--exclude-libs,ALL"])
    try #require(try run(["objcopy", "--only-keep-debug", path, folder.file("debug")]).status == 0)
    try #require(try run(["strip", path]).status == 0)
    #expect(try UnwindFixture.rows(path) == ["0 gap"])
    #expect(
      try UnwindFixture.rows(path, debug: folder.file("debug")) == ["0 rsp+8 guessed", "1 rsp+16 guessed", "7 rsp+8 guessed", "8 gap"])
  }

  /// By the names of its parts, or by its record.
  @Test func asyncFunctionsAreMarked() throws {
    let body = "sub $24, %rsp; mov %r14, 8(%rsp); call .; mov 8(%rsp), %r14; add $24, %rsp; jmp *%rax"
    let expected = [
      "0 rsp+8 async guessed", "4 rsp+32 async guessed", "9 rsp+32 r14=c-24 async guessed", "17 rsp+8 async guessed", "19 gap",
    ]
    for name in ["$s4test1fyyYaFTY0_", "$s4test1fyyYaFTQ12_", "swift_partTY3_"] {
      #expect(try rows(function(name, body)) == expected, "\(name)")
    }
    let record =
      ".data\n.globl \"$s4test1fyyYaFTu\"\n\"$s4test1fyyYaFTu\": .long \"$s4test1fyyYaF\" - ., 16\n.type \"$s4test1fyyYaFTu\", @object\n.size \"$s4test1fyyYaFTu\", 8\n"
    #expect(try rows(function("$s4test1fyyYaF", body) + record) == expected)
    for name in ["$s4test1fyyYaF", "$s4test1fyyYaFTY_", "$s4test1fyyYaFTX0_", "TY0_", "_"] {
      #expect(try rows(function(name, body)).allSatisfy { !$0.contains("async") }, "\(name)")
    }
  }

  /// The compiler's records lag behind in frames of async functions.
  @Test func recordsOfAsyncFramesAreMended() throws {
    let body = """
      .cfi_startproc
      push %rbp
      .cfi_def_cfa_offset 16
      .cfi_offset rbp, -16
      push %r14
      lea 8(%rsp), %rbp
      sub $8, %rsp
      .cfi_def_cfa rbp, 16
      call .
      add $16, %rsp
      pop %rbp
      btr $60, %rbp
      .cfi_def_cfa rsp, 8
      jmp *%rax
      .skip 16, 0x90
      .cfi_endproc
      """
    let mended = ["0 rsp+8", "1 rsp+16 rbp=c-16", "3 rsp+24 rbp=c-16", "8 rbp+16 rbp=c-16", "16 rsp+8", "1d rsp+8 rbp=c-16", "2d gap"]
    #expect(try rows(function("f", body)) == mended)
    #expect(
      try rows(function("$s4test1fyyYaFTQ0_", body))
        == mended.map { row in
          row == "2d gap" ? row : row.replacing("rbp+16 rbp=c-16", with: "rbp+16 rbp=c-16 r14=c-24") + " async"
        })
    #expect(
      try rows(function("f", body), isSwift: false) == ["0 rsp+8", "1 rsp+16 rbp=c-16", "c rbp+16 rbp=c-16", "1b rsp+8 rbp=c-16", "2d gap"])
  }
}
