import Linux
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

@Suite struct ProbePointsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func library(_ functions: [String], _ flags: [String] = [], more: String = "") throws -> String {
    let text = functions.map { ".globl \($0)\n.type \($0), @function\n\($0): ret\n.size \($0), 1\n" }
    let (source, path) = (try folder.file("library.s", text.joined() + more), folder.file("library"))
    try mustRun(["clang", "-shared", "-nostdlib", "-o", path, source] + flags)
    return path
  }

  /// Of the C library, and only what was asked for.
  @Test func exportedFunctionsLieWhereAllFunctionsDo() throws {
    let mappings = ProcessMaps(ofOwnProcess: ())?.mappings ?? []
    let path = FilePath(try #require(mappings.first { $0.isExecutable && $0.name == "libc.so.6" }).path)
    let names = ["malloc", "calloc", "posix_memalign", "mallo", "no_such_function"]
    let found = try ProbePoints.offsets(ofExported: names, in: path)
    let all = try ProbePoints(path).functions
    #expect(found.keys.sorted() == ["calloc", "malloc", "posix_memalign"])
    for (name, offset) in found { #expect(all.contains { $0.name == name && $0.offset == offset }) }
    #expect(try ELFFile(path: path, isOurs: false).isCopied)
  }

  @Test func whatCannotBeAttachedToIsLeftOut() throws {
    let more = """
      .globl chosen
      .type chosen, @gnu_indirect_function
      chosen: ret
      .globl unlike
      .type unlike, @object
      .data
      unlike: .quad 0
      .globl elsewhere
      .type elsewhere, @function
      elsewhere: .quad 0

      """
    let path = FilePath(try library(["malloc", "calloc"], more: more))
    let found = try ProbePoints.offsets(ofExported: ["malloc", "chosen", "unlike", "elsewhere"], in: path)
    #expect(found.keys.sorted() == ["malloc"])
    #expect(try ProbePoints.offsets(ofExported: ["malloc"], in: FilePath(try library(["malloc"], ["-m32"]))) == [:])
  }

  /// No C library exports so many: whoever makes such a file wants it to take long.
  @Test func tooManySymbolsAreRefused() throws {
    let path = try library((0..<65_536).map { "f\($0)" })
    let error = #expect(throws: ELFError.self) { try ProbePoints.offsets(ofExported: ["f1"], in: FilePath(path)) }
    #expect(error?.description.contains(" exported symbols, more than the 65536") == true, "\(error?.description ?? "")")
  }

  @Test func whatIsNoLibraryIsRefused() throws {
    for content in [[], Array("no library".utf8), [0x7f, 0x45, 0x4c, 0x46] + [UInt8](repeating: 0xff, count: 200)] as [[UInt8]] {
      let path = try folder.file("none", content)
      #expect(throws: ELFError.self) { try ProbePoints.offsets(ofExported: ["malloc"], in: FilePath(path)) }
    }
    #expect(throws: ELFError.self) { try ProbePoints.offsets(ofExported: ["malloc"], in: FilePath(folder.file("nowhere"))) }
  }
}
