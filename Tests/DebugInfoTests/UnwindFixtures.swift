import CUnwind
import SystemPackage
import TestSupport

@testable import DebugInfo

/// Libraries of assembly text whose code begins at 0x10000.
enum UnwindFixture {
  static func assemble(_ text: String, in folder: TemporaryFolder, flags: [String] = ["-shared"]) throws -> String {
    let (source, output) = (try folder.file("fixture.s", text + "\n.section .note.GNU-stack,\"\",@progbits\n"), folder.file("fixture"))
    let finished = try run(["gcc", "-nostdlib", "-Wl,-Ttext=0x10000", "-o", output, source] + flags)
    guard finished.status == 0 else { throw RunError(finished.errorText) }
    return output
  }

  /// The records of `.eh_frame` byte for byte: the linker touches no section that is named otherwise.
  static func assemble(records: String, in folder: TemporaryFolder, code: String = ".skip 0x1000, 0x90") throws -> String {
    let output = try assemble(".text\nf: \(code)\n.section .frames,\"a\",@progbits\n\(records)", in: folder)
    let finished = try run(["objcopy", "--rename-section", ".frames=.eh_frame", output])
    guard finished.status == 0 else { throw RunError(finished.errorText) }
    return output
  }

  /// A CIE as compilers write it, with the label that functions name.
  static func common(_ label: String = "common", instructions: String = "0x0c, 7, 8, 0x90, 1", augmentation: String = "zR") -> String {
    """
    \(label): .long 2f - 1f
    1: .long 0
    .byte 1
    .asciz "\(augmentation)"
    .byte 1, 0x78, 16, 1, 0x1b, \(instructions)
    2:

    """
  }

  /// An FDE of the bytes from `start` to `end` of the code.
  static func function(_ start: Int, _ end: Int, common: String = "common", instructions: String = "0") -> String {
    """
    .long 2f - 1f
    1: .long 1b - \(common)
    .long f + \(start) - .
    .long \(end - start)
    .byte 0, \(instructions)
    2:

    """
  }

  /// From 0x10000 on: `offset rule`.
  static func rows(_ path: String, debug: String? = nil) throws -> [String] {
    let table = try UnwindTable(ELFFile(path: FilePath(path)), debug: debug.map { try ELFFile(path: FilePath($0)) })
    return (0..<table.count).map { table[$0] }.filter { $0.start.rawValue >= 0x10000 }.map {
      "\(String($0.start.rawValue - 0x10000, radix: 16)) \($0.rule.text)"
    }
  }
}
