import Glibc
import Linux
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Files that others could cut short are not mapped: what is read of them is the same, and little of it is held.
@Suite struct FilePartTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A copy that anybody may write.
  private func strangers(_ path: String, _ name: String = "copy") throws -> String {
    try mustRun(["cp", "-L", path, folder.file(name)])
    #expect(chmod(folder.file(name), 0o666) == 0)
    return folder.file(name)
  }

  private func numbers(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(($0 >> 14) % 251 + 1) } }

  /// An ELF file's beginning, and numbers that tell each 16 KiB from the next.
  private func open(_ count: Int) throws -> (file: ELFFile, path: String) {
    let path = try UnwindFixture.assemble("f: ret", in: folder)
    try mustRun(["truncate", "-s", "\(1 << 20)", path])
    let numbers = try folder.file("numbers", numbers(count))
    try mustRun(["sh", "-c", "cat \(numbers) >> \(path)"])
    #expect(chmod(path, 0o666) == 0)
    return (try ELFFile(path: FilePath(path)), path)
  }

  private func byte(_ part: FilePart, _ position: Int) -> UInt8 {
    var cursor = part.bytes.cursor(at: UInt64(position))
    return cursor.u8()
  }

  @Test func piecesAreReadAsTheyAreAskedFor() throws {
    let (size, piece) = (16 << 20, 1 << 14)
    let (file, path) = try open(size)
    #expect(file.isCopied && !file.isMapped)
    let part = try #require(FilePart(copying: file, at: 1 << 20, count: UInt64(size)))
    let all = numbers(size)
    #expect(byte(part, 0) == 0)
    part.load(3..<5)
    #expect(byte(part, 0) == all[0] && byte(part, piece - 1) == all[piece - 1] && byte(part, piece) == 0)
    part.load(3 * piece - 1..<3 * piece + 1)
    #expect([1, 2, 3, 4].map { byte(part, $0 * piece) } == [0, all[2 * piece], all[3 * piece], 0])
    // As much as may be held: the next takes the place of all, and what is asked for beside it stays with it.
    for number in 4..<256 + 1 { part.load(number * piece..<number * piece + 1) }
    #expect(byte(part, 0) == all[0] && byte(part, 200 * piece) == all[200 * piece])
    part.load(300 * piece..<300 * piece + 1)
    #expect(byte(part, 0) == 0 && byte(part, 200 * piece) == 0 && byte(part, 300 * piece) == all[300 * piece])
    for number in 400..<700 { part.load(number * piece..<number * piece + 1, keepingOthers: true) }
    #expect(byte(part, 300 * piece) == all[300 * piece] && byte(part, 699 * piece) == all[699 * piece])
    part.load(300 * piece..<300 * piece + 1)
    #expect(byte(part, 300 * piece) == all[300 * piece] && byte(part, 699 * piece) == 0)
    part.discard()
    #expect(byte(part, 300 * piece) == 0)
    // What was cut off meanwhile is not there, and ends nobody.
    part.load(1023 * piece..<1024 * piece)
    #expect(byte(part, size - 1) == all[size - 1])
    part.discard()
    #expect(truncate(path, off_t(1 << 20 + size - 10)) == 0)
    part.load(1023 * piece..<2048 * piece)
    #expect(byte(part, size - 11) == all[size - 11] && byte(part, size - 10) == 0)
    #expect(FilePart(copying: file, at: 1 << 20, count: UInt64(size) + 1) == nil)
    #expect(FilePart(copying: file, at: .max, count: 1) == nil)
  }

  @Test(arguments: ["libswiftCore.so", "libswift_Concurrency.so", "libFoundationEssentials.so"])
  func rulesOfCopiedFilesAreTheSame(_ name: String) throws {
    let mapped = try ELFFile(path: FilePath("\(SwiftLibraries.folder)/\(name)"))
    let copied = try ELFFile(path: FilePath(try strangers("\(SwiftLibraries.folder)/\(name)")))
    #expect(mapped.isMapped && copied.isCopied)
    // Given up again and again.
    let (expected, found) = (try UnwindTable(mapped), try UnwindTable(copied, rowsAtOnce: 500))
    #expect(expected.count > 10_000 && found.count == expected.count && found.functions == expected.functions)
    #expect(found.starts == expected.starts && (found.tasks == nil) == (expected.tasks == nil))
    #expect(zip(expected.numbers, found.numbers).allSatisfy { expected.rules[Int($0)].bits == found.rules[Int($1)].bits })
  }

  @Test(arguments: [[], ["-m32"]]) func symbolsOfCopiedFilesAreTheSame(_ flags: [String]) throws {
    let functions = (0..<20_000).map {
      ".globl function_\($0)\n.type function_\($0), @function\nfunction_\($0): ret\n.size function_\($0), 1\n"
    }
    let source = try folder.file("many.s", functions.joined())
    let path = folder.file("many")
    try mustRun(["clang", "-shared", "-nostdlib", "-o", path, source] + flags)
    let (mapped, copied) = (try ELFFile(path: FilePath(path)), try ELFFile(path: FilePath(try strangers(path))))
    #expect(mapped.isMapped && copied.isCopied)
    let (expected, found) = (try SymbolTable(mapped), try SymbolTable(copied))
    #expect(expected.count == 20_000 && found.count == 20_000)
    let start = try #require(
      UInt64(mustRun(["sh", "-c", "nm \(path) | grep -w function_0 | cut -d' ' -f1"]).split(separator: "\n")[0], radix: 16))
    let names = (0..<30_000 as Range<UInt64>).compactMap { offset -> String? in
      let address = ELFAddress(start + offset)
      let name = found.name(at: address).map { found.string($0) }
      #expect(name == expected.name(at: address).map { expected.string($0) })
      return name
    }
    #expect(Set(names).count == 20_000 && names.contains("function_19999"))
  }

  /// What libelf would keep of a file that is not mapped.
  @Test func notesOfAnySizeAreRefused() throws {
    let path = try UnwindFixture.assemble("f: ret\n.section .note.large, \"\", @note\n.zero \(17 << 20)\n", in: folder)
    _ = try ELFFile(path: FilePath(path))
    let copy = try strangers(path)
    let error = #expect(throws: ELFError.self) { try ELFFile(path: FilePath(copy)) }
    #expect(error?.description.contains("\(17 << 20) bytes, more than the \(16 << 20)") == true, "\(error?.description ?? "")")
  }
}
