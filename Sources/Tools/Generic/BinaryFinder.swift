internal import CLinux  // `stat` may be its or Glibc's: both have read the header
internal import Glibc
internal import Linux

/// Finds the file that a user means by `c`, `libc`, `bash` or a path, without running anything.
package struct BinaryFinder {
  /// Look at what this process has mapped, and from where it sees the file system.
  package var process: UInt32?
  /// The linker's cache of libraries; a test gives its own.
  var cache: [UInt8] = ProcFile.bytes("/etc/ld.so.cache", limit: 64 << 20) ?? []
  var searchPath: String = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

  package init(process: UInt32?) { self.process = process }

  /// - Throws: `ToolError` when there is no such file, with the nearest names.
  package func find(_ name: String) throws -> String {
    if name.contains("/") {
      let path = seen(name)
      guard isFile(path) else {
        guard access(path, F_OK) != 0 else { throw ToolError("'\(path)' is no program or library: it is no regular file") }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "./"
        let neighbors = Directory.names(folder).map { folder + $0 }
        throw ToolError("there is no file '\(path)'\(Suggestions.question(path, among: neighbors))")
      }
      return path
    }
    if let path = mapped(name) ?? cached(name) ?? inFolders(name) ?? inSearchPath(name) { return path }
    let libraries = LibraryCache.entries(cache).map { Self.shortName($0.name) }
    let programs = searchPath.split(separator: ":").flatMap { Directory.names(String($0)) }
    throw ToolError(
      "there is no library or program '\(name)'\(Suggestions.question(name, among: libraries + programs)) (a path is taken as it is)")
  }

  /// `libc.so.6` is meant by `c`, `libc`, `libc.so` and `libc.so.6`.
  static func isMeant(_ file: some StringProtocol, by name: String) -> Bool {
    for wanted in [name, "lib\(name)"] where file.hasPrefix(wanted) {
      let rest = file.dropFirst(wanted.count)
      if rest.isEmpty || rest.hasPrefix(".so") || (wanted.has(".so") && rest.hasPrefix(".")) { return true }
    }
    return false
  }

  /// `c` for `libc.so.6`.
  static func shortName(_ file: String) -> String {
    let base = file.hasPrefix("lib") ? file.dropFirst(3) : file[...]
    var name = ""
    for part in base.split(separator: ".", omittingEmptySubsequences: false) {
      if part == "so" { break }
      name += (name.isEmpty ? "" : ".") + part
    }
    return name
  }

  /// The program that execvp(3) runs for a name; nil where there is none.
  func program(_ name: String) -> String? {
    if name.contains("/") { return name }
    return searchPath.split(separator: ":").lazy.map { "\($0)/\(name)" }.first { isFile($0) && access($0, X_OK) == 0 }
  }

  private func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// A path as the process sees it, from here.
  private func seen(_ path: String) -> String {
    guard let process, path.hasPrefix("/"), RootDirectory.Identity(of: ProcessID(process)) != RootDirectory.Identity.own else {
      return path
    }
    return "/proc/\(process)/root\(path)"
  }

  private func mapped(_ name: String) -> String? {
    guard let process, let maps = ProcFile.read("/proc/\(process)/maps", limit: 16 << 20) else { return nil }
    for line in maps.split(separator: "\n") {
      guard let slash = line.firstIndex(of: "/") else { continue }
      let path = line[slash...]
      guard let file = path.split(separator: "/").last, Self.isMeant(file, by: name) else { continue }
      let here = seen(String(path))
      if isFile(here) { return here }
    }
    return nil
  }

  private func cached(_ name: String) -> String? {
    LibraryCache.entries(cache).first { Self.isMeant($0.name, by: name) && isFile(seen($0.path)) }.map { seen($0.path) }
  }

  private func inFolders(_ name: String) -> String? {
    #if arch(x86_64)
      let triple = "x86_64-linux-gnu"
    #else
      let triple = "aarch64-linux-gnu"
    #endif
    for folder in ["/lib/\(triple)", "/usr/lib/\(triple)", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"] {
      if let file = Directory.names(seen(folder)).sorted().first(where: { $0.has(".so") && Self.isMeant($0, by: name) }) {
        return "\(seen(folder))/\(file)"
      }
    }
    return nil
  }

  private func inSearchPath(_ name: String) -> String? {
    searchPath.split(separator: ":").lazy.map { seen("\($0)/\(name)") }.first { isFile($0) }
  }
}

/// /etc/ld.so.cache, glibc's format 1.1 (elf/cache.c, sysdeps/generic/dl-cache.h): a header of 48 bytes, entries of 24, texts.
enum LibraryCache {
  struct Entry: Equatable {
    var name: String
    var path: String
  }

  /// The entries for this machine's own kind of programs; none when the bytes are no such cache.
  static func entries(_ bytes: [UInt8]) -> [Entry] {
    let magic = Array("glibc-ld.so.cache1.1".utf8)
    // Older systems put the older format in front.
    guard let start = first(magic, in: bytes) else { return [] }
    func word(_ at: Int) -> Int? {
      guard at >= 0, at + 4 <= bytes.count else { return nil }
      return bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
    }
    func text(_ at: Int) -> String? {
      guard at >= 0, at < bytes.count, let end = bytes[at...].firstIndex(of: 0), end - at < 4096 else { return nil }
      return String(decoding: bytes[at..<end], as: UTF8.self)
    }
    guard let count = word(start + 20), count <= bytes.count / 24 else { return [] }
    #if arch(x86_64)
      let kind = 0x300
    #else
      let kind = 0xa00
    #endif
    return (0..<count).compactMap { index in
      let at = start + 48 + 24 * index
      guard let flags = word(at), flags & 0xff00 == kind, let name = word(at + 4).flatMap({ text(start + $0) }),
        let path = word(at + 8).flatMap({ text(start + $0) })
      else { return nil }
      return Entry(name: name, path: path)
    }
  }

  private static func first(_ part: [UInt8], in bytes: [UInt8]) -> Int? {
    guard bytes.count >= part.count else { return nil }
    return (0...bytes.count - part.count).first { bytes[$0] == part[0] && bytes[$0...].starts(with: part) }
  }
}
