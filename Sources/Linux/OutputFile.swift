internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file that is written to, and gets its name when it is complete, or never.
///
/// It has no name until then where the file system can do that (open(2), O_TMPFILE), so that nothing is left behind however the program
/// ends; else a temporary one. What is no regular file (`/dev/null`, a pipe) is written to directly.
package struct OutputFile: ~Copyable {
  package var rawValue: CInt { descriptor.rawValue }
  private let descriptor: Descriptor
  private let path: String
  /// Nil for what is written to directly.
  private var names: Names?

  private struct Names {
    /// Where the complete file goes.
    var target: String
    /// The name that the file has before it has its own: in the same folder, and short, as the own name may have the greatest length.
    var temporary: String
    /// Whether the temporary name exists.
    var isNamed = false
  }

  /// Symbolic links are followed. What replaces a file has its permissions, and its owner and group as far as this process may give them.
  package init(_ path: String) throws(SystemError) {
    let (number, names) = try Self.open(path)
    descriptor = Descriptor(owning: number)
    self.path = path
    self.names = names
  }

  private static func open(_ path: String) throws(SystemError) -> (CInt, Names?) {
    var status = stat()
    let exists = unsafe stat(path, &status) == 0
    guard exists || errno == ENOENT else { throw SystemError("create", path, errno: Errno(rawValue: errno)) }
    // Names of our own descriptors are those, whatever files are behind them.
    let isDescriptor = ["/dev/stdout", "/dev/stderr"].contains(path) || ["/dev/fd/", "/proc/self/fd/"].contains { path.hasPrefix($0) }
    guard !isDescriptor, !exists || status.st_mode & S_IFMT == S_IFREG else {
      return (try check(unsafe Glibc.open(path, O_WRONLY | O_CLOEXEC | (isDescriptor ? O_APPEND : 0)), "write", path), nil)
    }
    let target = exists ? resolved(path) : Self.end(of: path)
    let folder = target.lastIndex(of: "/").map { String(target[...$0]) } ?? "./"
    var names = Names(target: target, temporary: "\(folder).swtrace-\(getpid())-\(Clock.monotonic).tmp")
    var number = unsafe swtrace_open_unnamed(folder, 0o666)
    if number >= 0, unsafe access(link(number), F_OK) != 0 {
      close(number)
      number = -1
    }
    if number < 0 {
      let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
      number = try check(unsafe Glibc.open(names.temporary, flags, 0o666), "create", path)
      names.isNamed = true
    }
    if exists {
      // First the owner: a change of it takes permissions away. Only root may give files away, but others have several groups.
      if fchown(number, status.st_uid, status.st_gid) != 0 { _ = fchown(number, uid_t.max, status.st_gid) }
      fchmod(number, status.st_mode & 0o7777)
    }
    return (number, names)
  }

  deinit { if let names, names.isNamed { unsafe unlink(names.temporary) } }

  private static func resolved(_ path: String) -> String {
    guard let real = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(real) }
    return unsafe String(cString: real)
  }

  /// Where a link leads that leads to nothing yet.
  private static func end(of path: String) -> String {
    var path = path
    for _ in 0..<40 {
      guard let target = File.target(of: FilePath(path)) else { break }
      let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
      path = target.hasPrefix("/") ? target : folder + target
    }
    return path
  }

  private static func link(_ descriptor: CInt) -> String { "/proc/self/fd/\(descriptor)" }

  /// Gives the file its name.
  package mutating func commit() throws(SystemError) {
    guard let names else { return }
    guard fsync(rawValue) == 0 || errno == EINVAL || errno == EROFS else {
      throw SystemError("write", path, errno: Errno(rawValue: errno))
    }
    // A link cannot take another file's place; a renamed file can.
    if !names.isNamed {
      try check(unsafe linkat(AT_FDCWD, Self.link(rawValue), AT_FDCWD, names.temporary, AT_SYMLINK_FOLLOW), "create", path)
      self.names?.isNamed = true
    }
    try check(unsafe rename(names.temporary, names.target), "create", path)
    self.names = nil
  }
}
