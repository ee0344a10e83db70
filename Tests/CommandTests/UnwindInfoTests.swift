import TestSupport
import Testing

@Suite struct UnwindInfoTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A C++ function with a frame, from 0x10000 on, and nothing else.
  private func library() throws -> String {
    let source = try folder.file(
      "fixture.s",
      """
      .text
      .globl _ZN5shape4areaEv
      _ZN5shape4areaEv:
      .cfi_startproc
      push %rbp
      .cfi_def_cfa_offset 16
      .cfi_offset rbp, -16
      nop
      .cfi_endproc
      .type _ZN5shape4areaEv, @function
      .size _ZN5shape4areaEv, . - _ZN5shape4areaEv
      .section .note.GNU-stack, "", @progbits

      """)
    let finished = try run(["gcc", "-shared", "-nostdlib", "-Wl,-Ttext=0x10000", "-o", folder.file("fixture"), source])
    try #require(finished.status == 0, "\(finished.errorText)")
    return folder.file("fixture")
  }

  @Test func rowsHaveTheirFunctions() throws {
    let finished = try Swtrace.run(["unwind-info", library()])
    #expect(finished.status == 0)
    #expect(
      finished.outputText == """
        ADDRESS            RULE                             FUNCTION
        0x10000            rsp+8                            shape::area()
        0x10001            rsp+16 rbp=c-16                  shape::area()
        0x10002            gap

        """)
    #expect(finished.errorText == "swtrace unwind-info: 3 rows of 3 kinds; 1 functions have records\n")
  }

  @Test func oneAddressIsAnsweredInJSON() throws {
    let path = try library()
    let one = try Swtrace.run(["unwind-info", path, "--pc", "0x10001", "--pc", "10800", "--format", "json"])
    #expect(
      one.lines == [
        #"{"type":"row","address":65537,"rule":"rsp+16 rbp=c-16","function":"shape::area()","mangled":"_ZN5shape4areaEv"}"#,
        #"{"type":"row","address":67584,"rule":"gap"}"#,
      ])
    let all = try Swtrace.run(["unwind-info", path, "--format", "json"])
    #expect(all.lines.count == 4 && all.lines.last == #"{"type":"summary","rows":3,"rules":3,"functions":1}"#)
    #expect(all.errors.isEmpty)
  }

  @Test func errorsSayWhatToDo() throws {
    let path = try library()
    func error(_ arguments: [String]) throws -> String {
      let finished = try Swtrace.run(["unwind-info"] + arguments)
      #expect(finished.status == 1)
      return finished.errorText
    }
    #expect(
      try error([path, "--pc", "7f0000000000"])
        == "Error: 0x7f0000000000 is not in the code of \(path), 0x10000 to 0x11000; "
        + "take an address as the file counts them, not as a process does\n")
    #expect(try error([path, "--pc", "main"]) == "Error: 'main' is no hexadecimal address; give one as nm prints it, such as 4f2a10\n")
    let object = folder.file("object.o")
    try #require(try run(["gcc", "-c", "-o", object, folder.file("fixture.s")]).status == 0)
    #expect(
      try error([object]).hasSuffix("object.o has no code; name the program or library itself, not its debug file or one of its objects\n"))
    try #require(try run(["objcopy", "-I", "binary", "-O", "elf32-i386", folder.file("fixture.s"), folder.file("32.o")]).status == 0)
    #expect(try error([folder.file("32.o")]).hasSuffix("is not for x86-64, the only processor whose stacks are unwound by rows\n"))
    #expect(try error([folder.file("fixture.s")]).hasSuffix("not an ELF file; name a program or a shared library\n"))
  }
}
