import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Indexes that answer in one window after the other, and are given up in between.
@Suite struct SettleTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func build(_ flags: [String]) throws -> String {
    let one = try folder.file(
      "one.c",
      """
      static inline __attribute__((always_inline)) int inner(int x) { __asm__ volatile("nop" : "+r"(x)); return x; }
      int other(int);
      int outer(int x) {
        return inner(x) + other(x);
      }
      """)
    let two = try folder.file("two.c", "int other(int x) { return x + 1; }\nint main(int count, char **values) { return other(count); }\n")
    let command = ["gcc", "-O1", "-Wl,--build-id=none", "-o", folder.file("program"), one, two] + flags
    try mustRun(["sh", "-c", "cd \(folder.path) && \(command.joined(separator: " "))"])
    return folder.file("program")
  }

  private func addresses(_ path: String) throws -> [UInt64] {
    try mustRun(["nm", "-S", path]).split(separator: "\n").flatMap { line -> [UInt64] in
      let fields = line.split(separator: " ")
      guard fields.count == 4, ["outer", "other", "main"].contains(fields[3]), let start = UInt64(fields[0], radix: 16),
        let size = UInt64(fields[1], radix: 16)
      else { return [] }
      return Array(start..<start + size)
    }
  }

  private func describe(_ symbols: ObjectSymbols, _ addresses: [UInt64]) -> [String] {
    addresses.map { address in
      let calls = symbols.calls(at: ELFAddress(address)).map { "\($0.name ?? "-"):\($0.line)" }
      return (symbols.function(at: ELFAddress(address))?.name ?? "-") + " " + calls.joined(separator: "<")
    }
  }

  @Test(arguments: [["-gdwarf-4"], ["-gdwarf-5"], ["-gdwarf-5", "-gz=zlib"], ["-gsplit-dwarf", "-gdwarf-5"]])
  func whatIsGivenUpIsReadAgain(_ flags: [String]) throws {
    let path = try build(flags)
    let addresses = try addresses(path)
    let symbols = try ObjectSymbols(ELFFile(path: FilePath(path)), searching: DebugFileSearch(path: FilePath(path), folders: []))
    let tables = symbols.memoryUse
    let expected = describe(symbols, addresses)
    #expect(expected.contains { $0 == "outer inner:1<outer:4" } && expected.contains { $0 == "main main:2" })
    symbols.settle()
    let settled = symbols.memoryUse
    #expect(settled > tables)
    for _ in 0..<3 {
      #expect(describe(symbols, addresses) == expected)
      symbols.settle()
      #expect(symbols.memoryUse == settled)
    }
  }

  /// What was found at first may be found again, however often: the limits of what reading may cost begin anew.
  @Test func unitsKeepWhatTheyWereAndGiveUpTheirTables() throws {
    let dwarf = try #require(DwarfFile(ELFFile(path: FilePath(try build(["-gdwarf-5"])))))
    let list = UnitList(dwarf)
    #expect(list.headers.count == 2)
    let units = try (0..<2).map { try #require(list[$0]) }
    let (ranges, used) = (units.map { $0.ranges.map { $0.low } }, list.memoryUse)
    #expect(ranges.allSatisfy { $0.count == 1 } && dwarf.tables.count == 2)
    let spent = DwarfBudget().attributes - dwarf.budget.attributes
    #expect(spent > 0)
    for _ in 0..<3 {
      list.settle()
      #expect(dwarf.tables.isEmpty && dwarf.budget.attributes == DwarfBudget().attributes)
      #expect(list[0] === units[0] && list[1] === units[1] && list.memoryUse == used)
      #expect(units.map { $0.values(at: $0.header.root).name.isPresent } == [true, true])
      #expect(units.map { $0.ranges.map { $0.low } } == ranges)
      #expect(dwarf.tables.count == 2 && DwarfBudget().attributes - dwarf.budget.attributes == spent)
    }
    let index = CallIndex(dwarf, shared: nil, split: SplitUnits(nil, DebugFileSearch(roots: [])))
    let before = index.memoryUse
    let calls = index.calls(at: ranges[0][0])
    #expect(calls.count == 1 && calls[0].name == "outer")
    index.settle()
    #expect(index.memoryUse == before && dwarf.tables.isEmpty)
    #expect(index.calls(at: ranges[0][0]).map(\.line) == calls.map(\.line))
  }

  /// DWARF that has to be copied is read up to a limit, to the byte; symbols are there all the same.
  @Test(arguments: [true, false]) func copiesAreLimited(_ isCompressed: Bool) throws {
    let path = try build(["-g"] + (isCompressed ? ["-gz=zlib"] : []))
    if !isCompressed { try mustRun(["chmod", "666", path]) }
    let size = try ELFFile(path: FilePath(path)).copiedDebugBytes
    let plain = try mustRun(["sh", "-c", "objcopy --decompress-debug-sections \(path) \(path).plain && size -A -d \(path).plain"])
    let sum = plain.split(separator: "\n").map { $0.split(separator: " ") }.filter { $0.first?.hasPrefix(".debug_") ?? false }
      .reduce(0) { $0 + (Int($1[1]) ?? 0) }
    // Sections too small to gain are not compressed, and are mapped.
    #expect(isCompressed ? size <= sum && size > sum / 2 : size == sum)
    let addresses = try addresses(path)
    func lines(_ limit: Int) throws -> Int {
      var search = DebugFileSearch(path: FilePath(path), folders: [])
      search.copyLimit = limit
      let symbols = try ObjectSymbols(ELFFile(path: FilePath(path)), searching: search)
      #expect(addresses.allSatisfy { symbols.function(at: ELFAddress($0)) != nil })
      return addresses.count { symbols.calls(at: ELFAddress($0)).last?.line ?? 0 > 0 }
    }
    #expect(try lines(size) == addresses.count)
    #expect(try lines(size - 1) == 0)
  }
}
