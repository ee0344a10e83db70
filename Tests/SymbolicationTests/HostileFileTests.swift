import DebugInfo
import Foundation
import Glibc
import Linux
import SystemPackage
import TestSupport
import Testing

@Suite struct HostileFileTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func error(_ path: String) -> ELFError? {
    do {
      _ = try ELFFile(path: FilePath(path))
      return nil
    } catch { return error }
  }

  @Test func saysWhatIsNoProgram() throws {
    #expect(mkfifo(folder.file("fifo"), 0o600) == 0)
    #expect(error(folder.file("fifo"))?.description.hasSuffix(": not a regular file") == true)
    #expect(error(folder.path)?.description.hasSuffix(": not a regular file") == true)
    #expect(error("/dev/zero")?.description.hasSuffix(": not a regular file") == true)
    _ = try folder.file("script", "#!/bin/sh\n")
    #expect(error(folder.file("script"))?.description.contains(": not an ELF file") == true)
    #expect(error(folder.file("script"))?.description.hasSuffix("script: not an ELF file; name a program or a shared library") == true)
    _ = try folder.file("empty", "")
    #expect(error(folder.file("empty"))?.description.contains(": not an ELF file") == true)
    #expect(error(folder.file("none"))?.description == "cannot open \(folder.file("none")): No such file or directory")
    _ = try folder.file("magic", [0x7F, 0x45, 0x4C, 0x46])
    #expect(error(folder.file("magic")) != nil)
  }

  @Test func refusesFilesThatAreTooLarge() throws {
    _ = try folder.file("huge", [0x7F, 0x45, 0x4C, 0x46])
    #expect(truncate(folder.file("huge"), off_t(ELFFile.maximumSize) + 1) == 0)
    #expect(error(folder.file("huge"))?.description.contains("\(ELFFile.maximumSize + 1) bytes, more than the") == true)
  }

  /// Looks at everything that a damaged file may still say; the answers do not matter.
  private func exercise(_ file: ELFFile) {
    for segment in file.segments { _ = file.address(at: segment.offset) }
    let search = DebugFileSearch(path: FilePath(folder.file("program")), folders: [])
    guard let symbols = try? ObjectSymbols(file, searching: search) else { return }
    for address in stride(from: 0 as UInt64, to: 0x8000, by: 61) {
      if let (name, _) = symbols.function(at: ELFAddress(address)) { #expect(name.utf8.count <= 3 * SymbolTable.maximumNameLength) }
      _ = symbols.calls(at: ELFAddress(address))
    }
  }

  @Test func survivesDamagedImages() throws {
    let path = try Fixture.build(in: folder)
    let image = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    // The headers decide most: the file's, the segments', and the sections' at the end.
    let sections = image.count - 40 * 64
    var generator = SeededGenerator(seed: 3)
    for round in 0..<3000 {
      var damaged = image
      if round % 3 == 0 {
        damaged = mutated(image, using: &generator)
      } else {
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          let place =
            round % 3 == 1 ? Int.random(in: 4..<1024, using: &generator) : Int.random(in: sections..<image.count, using: &generator)
          damaged[place] = Bool.random(using: &generator) ? 0xFF : UInt8.random(in: 0...255, using: &generator)
        }
      }
      if let file = try? ELFFile(image: damaged, name: "damaged") { exercise(file) }
    }
  }

  /// Through a descriptor, mapped and not: libelf checks other things there.
  @Test(arguments: [0o644, 0o666])
  func survivesDamagedFiles(_ mode: mode_t) throws {
    let path = try Fixture.build(in: folder)
    let image = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    var generator = SeededGenerator(seed: UInt64(mode))
    for _ in 0..<500 {
      _ = try folder.file("damaged", mutated(image, using: &generator))
      chmod(folder.file("damaged"), mode)
      if let file = try? ELFFile(path: FilePath(folder.file("damaged"))) { exercise(file) }
      unlink(folder.file("damaged"))
    }
  }

  @Test func survivesEveryTruncation() throws {
    let image = [UInt8](try Data(contentsOf: URL(fileURLWithPath: try Fixture.build(in: folder))))
    for length in stride(from: 0, to: image.count, by: 37) {
      if let file = try? ELFFile(image: Array(image[..<length]), name: "truncated") { exercise(file) }
    }
  }

  /// Somebody else may shrink a file while it is read; a mapped one would end us with SIGBUS.
  @Test func survivesAFileThatShrinks() throws {
    let path = try Fixture.build(in: folder)
    chmod(path, 0o777)
    let file = try ELFFile(path: FilePath(path))
    #expect(truncate(path, 512) == 0)
    exercise(file)
  }

  /// Thousands of units that refer to one list each may cost its size once only.
  @Test(arguments: ["abbreviations", "ranges"]) func listsThatAreReferredToOftenAreBounded(_ kind: String) throws {
    let units = 3000
    let table: String
    let content: String
    switch kind {
    case "abbreviations":
      // Every byte of it begins another table.
      table = ".fill 2000000, 1, 1"
      content = (0..<units).map { ".4byte 2f-1f\n1: .2byte 4\n.4byte \($0 * 2 + 1)\n.byte 8, 1\n2:" }.joined(separator: "\n")
    default:
      table = ".uleb128 1, 0x11, 0, 0x11, 1, 0x55, 0x17, 0, 0, 0"
      content = (0..<units).map { _ in ".4byte 2f-1f\n1: .2byte 4\n.4byte 0\n.byte 8, 1\n.8byte 0\n.4byte 0\n2:" }.joined(separator: "\n")
    }
    let path = try Fixture.assemble(
      in: folder, "repeated.so",
      """
      .text
      f: .fill 64, 1, 0x90
      .type f, @function
      .size f, 64
      .section .debug_abbrev, "", @progbits
      \(table)
      .section .debug_ranges, "", @progbits
      .rept 60000
      .8byte 0x1000, 0x2000
      .endr
      .8byte 0, 0
      .section .debug_info, "", @progbits
      \(content)
      """)
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let before = usage.ru_maxrss
    let symbols = try ObjectSymbols(ELFFile(path: FilePath(path)), searching: DebugFileSearch(roots: []))
    _ = symbols.calls(at: ELFAddress(0x1100))
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #expect(usage.ru_maxrss - before < 700 << 10, "KiB")
  }
}
