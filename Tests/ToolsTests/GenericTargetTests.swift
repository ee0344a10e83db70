import Testing

@testable import Tools

@Suite struct GenericTargetTests {
  @Test(arguments: [
    ("vfs_read", ProbeTarget.kernelFunctions("vfs_read")),
    ("p:vfs_*", .kernelFunctions("vfs_*")),
    ("p::vfs_*", .kernelFunctions("vfs_*")),
    ("c:malloc", .userFunctions(file: "c", name: "malloc")),
    ("p:/usr/bin/x:main*", .userFunctions(file: "/usr/bin/x", name: "main*")),
    ("t:sched:*", .tracepoints(category: "sched", name: "*")),
    ("u:c:setjmp", .staticProbes(file: "c", provider: nil, name: "setjmp")),
    ("u:./a:lib*:x", .staticProbes(file: "./a", provider: "lib*", name: "x")),
  ])
  func targetsAreWhatTheyLookLike(_ text: String, _ expected: ProbeTarget) throws {
    #expect(try ProbeTarget(text) == expected)
  }

  @Test(arguments: ["", ":", "c:", ":malloc", "t:sched", "t::x", "u:c", "u:a:b:c:d", "a:b:c", "p:", "p:c:", "r:c:malloc"])
  func otherTextsAreRefusedWithTheirForm(_ text: String) {
    let error = #expect(throws: ProbeTarget.Malformed.self) { _ = try ProbeTarget(text) }
    #expect(error?.description.contains("is no target; write ") == true)
  }

  @Test func patternsMatchAsShellsAndExpressionsDo() throws {
    let glob = try NamePattern("vfs_*[de]", isExpression: false)
    #expect(!glob.isOneName && glob.matches("vfs_read") && glob.matches("vfs_write") && !glob.matches("xvfs_read"))
    let name = try NamePattern("vfs_read", isExpression: false)
    #expect(name.isOneName && name.matches("vfs_read") && !name.matches("vfs_readv"))
    let expression = try NamePattern("^vfs_(read|write)$", isExpression: true)
    #expect(!expression.isOneName && expression.matches("vfs_read") && !expression.matches("vfs_readv"))
    #expect(throws: ToolError.self) { _ = try NamePattern("vfs_(", isExpression: true) }
  }

  @Test(arguments: [
    ("libc.so.6", "c", true), ("libc.so.6", "libc", true), ("libc.so.6", "libc.so", true), ("libc.so.6", "libc.so.6", true),
    ("libcrypt.so.1", "c", false), ("libstdc++.so.6", "stdc++", true), ("libpython3.11.so.1.0", "python3.11", true),
    ("libpython3.11.so.1.0", "python3", false), ("ld-linux-x86-64.so.2", "ld-linux-x86-64", true),
  ])
  func librariesAreKnownByTheirShortNames(_ file: String, _ name: String, _ isMeant: Bool) {
    #expect(BinaryFinder.isMeant(file, by: name) == isMeant)
  }

  /// A cache as ldconfig writes it, with an entry for another kind of programs.
  private static func cache(kind: UInt32) -> [UInt8] {
    var bytes = Array("glibc-ld.so.cache1.1".utf8)
    func word(_ value: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(value).littleEndian, Array.init) }
    let texts = Array("libx.so.1\0/other/libx.so.1\0/lib/libx.so.1\0".utf8)
    let start = 48 + 2 * 24
    bytes += word(2) + word(texts.count) + [UInt8](repeating: 0, count: 20)
    for (flags, path) in [(0x803, start + 10), (Int(kind) | 3, start + 27)] {
      bytes += word(flags) + word(start) + word(path) + [UInt8](repeating: 0, count: 12)
    }
    return bytes + texts
  }

  @Test func theCacheGivesThisMachinesLibraries() {
    #if arch(x86_64)
      let bytes = Self.cache(kind: 0x300)
    #else
      let bytes = Self.cache(kind: 0xa00)
    #endif
    let expected = [LibraryCache.Entry(name: "libx.so.1", path: "/lib/libx.so.1")]
    #expect(LibraryCache.entries(bytes) == expected)
    #expect(LibraryCache.entries(Array("ld.so-1.7.0\0".utf8) + bytes) == expected)
  }

  /// Every prefix, and every byte changed, is read without harm.
  @Test func brokenCachesAreHarmless() {
    let bytes = Self.cache(kind: 0x300)
    for count in bytes.indices { #expect(LibraryCache.entries(Array(bytes[..<count])).count <= 2) }
    for index in bytes.indices {
      var broken = bytes
      broken[index] = 0xff
      #expect(LibraryCache.entries(broken).count <= 2)
    }
  }

  @Test func suggestionsAreTheNearestNames() {
    let names = ["vfs_read", "vfs_readv", "vfs_write", "__x64_sys_getppid", "malloc"]
    #expect(Suggestions.nearest("vfs_raed", among: names).first == "vfs_read")
    #expect(Suggestions.nearest("sys_getppid", among: names) == ["__x64_sys_getppid"])
    #expect(Suggestions.nearest("maloc", among: names) == ["malloc"])
    #expect(Suggestions.nearest("completely", among: names).isEmpty)
    #expect(Suggestions.question("maloc", among: names) == "; did you mean malloc?")
    #expect(Suggestions.question("vfs_readd", among: ["vfs_read", "vfs_readv"]) == "; did you mean vfs_read or vfs_readv?")
    #expect(Suggestions.question("zzzz", among: names) == "")
  }

  @Test(arguments: [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 1), ("sched_swich", "sched_switch", 1)])
  func distancesCountEdits(_ left: String, _ right: String, _ expected: Int) {
    #expect(Suggestions.distance(Array(left.utf8), Array(right.utf8), limit: 5) == expected)
    #expect(Suggestions.distance(Array(right.utf8), Array(left.utf8), limit: 5) == expected)
  }
}
