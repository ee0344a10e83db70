import DebugInfo
import Glibc
import Linux
import SystemPackage
import TestSupport
import Testing

@Suite struct SymbolTableTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [[], ["-static"], ["-no-pie"], ["-fuse-ld=lld", "-Wl,-z,noseparate-code"]])
  func namesEveryFunctionAsBinutilsDoes(_ arguments: [String]) throws {
    let path = try Fixture.build(in: folder, "program", arguments)
    try compare(Fixture.table(path), with: Fixture.oracle(path), atLeast: 5)
  }

  @Test(arguments: [
    "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
  ])
  func namesTheFunctionsOfStrippedLibraries(_ path: String) throws {
    try #require(access(path, R_OK) == 0, "needs \(path)")
    let table = try Fixture.table(path)
    #expect(table.origins == [".dynsym"])
    try compare(table, with: Fixture.oracle(path, ["-D"]), atLeast: 500)
  }

  /// Each function's first, middle and last byte must have the name of one of the functions that cover it.
  private func compare(_ table: ObjectSymbols, with oracle: [(address: UInt64, size: UInt64, name: String)], atLeast count: Int) throws {
    #expect(oracle.count >= count)
    let sorted = oracle.sorted { ($0.address, $0.size) < ($1.address, $1.size) }
    for (index, function) in sorted.enumerated() {
      for address in [function.address, function.address + function.size / 2, function.address + function.size - 1] {
        let name = try #require(Fixture.name(table, address), "\(function)")
        // Aliases and functions around it lie near in the sorted list.
        let near = sorted[max(0, index - 64)..<min(sorted.count, index + 64)]
        let covering = near.filter { $0.address <= address && address - $0.address < $0.size }
        #expect(covering.contains { $0.name == name }, "\(name) at \(address), expected \(function.name)")
      }
    }
  }

  static let assembly = """
    .macro function name, size
    .type \\name, @function
    .size \\name, \\size
    .endm
    .text
    .globl outer
    outer: .fill 16, 1, 0x90
    inner: .fill 8, 1, 0x90
    .globl label
    label: .fill 8, 1, 0x90
    function outer, 32
    function inner, 8
    .type label, @function
    .fill 16, 1, 0xcc
    _private: .globl __strong; .weak public
    __strong:
    public: .fill 16, 1, 0x90
    function _private, 16
    function __strong, 16
    function public, 16
    .globl sizeless
    .type sizeless, @function
    sizeless: .fill 16, 1, 0x90
    typeless: .fill 16, 1, 0x90
    .globl last
    last: .fill 16, 1, 0x90
    function last, 16
    .fill 16, 1, 0xcc
    """

  @Test(arguments: [
    (0, "outer"), (15, "outer"), (16, "inner"), (23, "inner"), (24, "outer"), (31, "outer"), (32, nil), (47, nil), (48, "public"),
    (63, "public"), (64, "sizeless"), (79, "sizeless"), (80, "typeless"), (95, "typeless"), (96, "last"), (111, "last"), (112, nil),
  ])
  func choosesAmongOverlappingSymbols(_ offset: UInt64, _ expected: String?) throws {
    let path = try Fixture.assemble(in: folder, "overlap.so", Self.assembly)
    let outer = try #require(Fixture.oracle(path).first { $0.name == "outer" })
    #expect(try Fixture.name(Fixture.table(path), outer.address + offset) == expected)
  }

  @Test func findsDebugFilesByLink() throws {
    for place in ["program.debug", ".debug/program.debug"] {
      let folder = try TemporaryFolder()
      let path = try Fixture.build(in: folder)
      let oracle = try Fixture.oracle(path)
      try mustRun(["mkdir", folder.file(".debug")])
      try mustRun(["objcopy", "--only-keep-debug", path, folder.file(place)])
      try mustRun(["objcopy", "--strip-all", "--add-gnu-debuglink=\(folder.file(place))", path])
      let table = try Fixture.table(path, DebugFileSearch(path: FilePath(path), folders: []))
      #expect(table.origins.first == folder.file(place))
      try compare(table, with: oracle, atLeast: 5)
      let bare = try Fixture.table(path)
      #expect(bare.origins.allSatisfy { $0 == ".dynsym" })
    }
  }

  @Test func findsDebugFilesByBuildID() throws {
    let path = try Fixture.build(in: folder)
    let oracle = try Fixture.oracle(path)
    let id = try #require(ELFFile(path: FilePath(path)).buildID?.description)
    #expect(try mustRun(["readelf", "-n", path]).contains("Build ID: \(id)"))
    let place = folder.file("debug/.build-id/\(id.prefix(2))")
    try mustRun(["mkdir", "-p", place])
    try mustRun(["objcopy", "--only-keep-debug", path, "\(place)/\(id.dropFirst(2)).debug"])
    try mustRun(["strip", path])
    let table = try Fixture.table(path, DebugFileSearch(folders: [FilePath(folder.file("debug"))]))
    #expect(table.origins.first == "\(place)/\(id.dropFirst(2)).debug")
    try compare(table, with: oracle, atLeast: 5)
  }

  /// A reader of a FIFO would wait for a writer for ever.
  @Test func passesByWhatIsNoFile() throws {
    let path = try Fixture.build(in: folder)
    try mustRun(["objcopy", "--only-keep-debug", path, folder.file("program.debug")])
    try mustRun(["objcopy", "--strip-all", "--add-gnu-debuglink=\(folder.file("program.debug"))", path])
    try mustRun(["rm", folder.file("program.debug")])
    try mustRun(["mkfifo", folder.file("program.debug")])
    let table = try Fixture.table(path, DebugFileSearch(path: FilePath(path), folders: []))
    #expect(table.origins.allSatisfy { $0 == ".dynsym" })
  }

  @Test func refusesDebugFilesOfOtherBuilds() throws {
    let path = try Fixture.build(in: folder, "program", ["-Wl,--build-id=none"])
    try mustRun(["objcopy", "--only-keep-debug", path, folder.file("program.debug")])
    try mustRun(["objcopy", "--strip-all", "--add-gnu-debuglink=\(folder.file("program.debug"))", path])
    let search = DebugFileSearch(path: FilePath(path), folders: [])
    #expect(try Fixture.table(path, search).origins.first == folder.file("program.debug"), "by checksum")
    // Another file in its place has another checksum.
    let other = try Fixture.build(in: folder, "other", ["-Wl,--build-id=none", "-DOTHER", "-O0"])
    try mustRun(["objcopy", "--only-keep-debug", other, folder.file("program.debug")])
    let refused = try Fixture.table(path, search)
    #expect(refused.origins.allSatisfy { $0 == ".dynsym" })
  }

  @Test func readsMiniDebugInformation() throws {
    let path = try Fixture.build(in: folder)
    let oracle = try Fixture.oracle(path)
    try mustRun(["objcopy", "--only-keep-debug", path, folder.file("mini")])
    try mustRun(["xz", "--keep", folder.file("mini")])
    try mustRun(["objcopy", "--strip-all", "--add-section", ".gnu_debugdata=\(folder.file("mini.xz"))", path])
    let table = try Fixture.table(path)
    #expect(table.origins.first == ".gnu_debugdata")
    try compare(table, with: oracle, atLeast: 5)
    table.release()
    try compare(table, with: oracle, atLeast: 5)
  }

  @Test func boundsMiniDebugInformation() throws {
    let path = try Fixture.build(in: folder)
    try mustRun(["sh", "-c", "head -c 300000000 /dev/zero | xz -0 > \(folder.file("bomb.xz"))"])
    try mustRun(["objcopy", "--strip-all", "--add-section", ".gnu_debugdata=\(folder.file("bomb.xz"))", path])
    let table = try Fixture.table(path)
    #expect(table.origins.allSatisfy { $0 == ".dynsym" })
  }
}
