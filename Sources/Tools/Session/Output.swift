internal import Glibc
internal import Linux
internal import SystemPackage

/// Where a tool's output goes: standard output, or a file that appears complete or not at all.
package struct Output: ~Copyable {
  /// What has not been written yet; tools append here.
  package var buffer: [UInt8] = []
  /// Bytes written so far.
  package private(set) var written: UInt64 = 0
  /// Whether the reader is gone, as `head` is when it has enough: not a failure, but a reason to end.
  package private(set) var isClosed = false
  private let path: String?
  /// The file beside the wanted one, and the name it gets in the end; nil where bytes go to their place at once.
  private let temporary: (path: String, target: String)?
  private let descriptor: CInt
  private var isCommitted = false

  /// Symbolic links are followed and an existing file's permissions kept; what is no regular file (`/dev/null`, a pipe) is written to
  /// directly.
  ///
  /// - Parameter path: nil for standard output.
  package init(path: String?) throws {
    self.path = path
    guard let path else {
      temporary = nil
      descriptor = 1
      return
    }
    var status = stat()
    let exists = stat(path, &status) == 0
    do {
      guard !exists || status.st_mode & S_IFMT == S_IFREG else {
        temporary = nil
        descriptor = try check(open(path, O_WRONLY | O_CLOEXEC), "write", path)
        return
      }
      let target = exists ? Self.resolved(path) : path
      let temporary = "\(target).\(getpid()).tmp"
      self.temporary = (temporary, target)
      descriptor = try check(open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666), "create", path)
      if exists { fchmod(descriptor, status.st_mode & 0o7777) }
    } catch {
      throw ToolError("\(error); give --output a folder that exists and can be written")
    }
  }

  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  /// Finds out whether a file can be created there, and leaves nothing behind.
  ///
  /// - Throws: the reason, before work is done in vain.
  package static func ensureWritable(_ path: String) throws { _ = try Output(path: path) }

  deinit {
    guard path != nil else { return }
    close(descriptor)
    if let temporary, !isCommitted { unlink(temporary.path) }
  }

  /// For a closed reader to be noticed while nothing is written; nil for files.
  var watched: CInt? { path == nil ? descriptor : nil }

  /// Writes what has been appended.
  package mutating func flush() throws {
    var start = 0
    defer { buffer.removeAll(keepingCapacity: true) }
    while start < buffer.count {
      let count = buffer.withUnsafeBytes { write(descriptor, $0.baseAddress! + start, $0.count - start) }
      if count >= 0 {
        start += count
        written += UInt64(count)
        continue
      }
      switch errno {
      case EINTR, EAGAIN: continue
      case EPIPE:
        isClosed = true
        return
      default:
        throw ToolError(
          "\(SystemError("write", path ?? "standard output", errno: Errno(rawValue: errno))); \(path == nil ? "the output is cut" : "nothing was written")"
        )
      }
    }
  }

  /// Writes the rest and gives the file its name.
  package mutating func commit() throws {
    try flush()
    guard let path, let temporary else { return }
    guard fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS else {
      throw ToolError("\(SystemError("write", path, errno: Errno(rawValue: errno))); nothing was written")
    }
    guard rename(temporary.path, temporary.target) == 0 else {
      throw ToolError("\(SystemError("create", path, errno: Errno(rawValue: errno))); nothing was written")
    }
    isCommitted = true
  }
}

/// Writes a line to standard error.
package func complain(_ text: String) {
  let line = Array("\(text)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
