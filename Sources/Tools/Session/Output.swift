internal import CLinux  // `stat` may be its or Glibc's: both have read the header
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
  /// Nil for standard output.
  private var file: OutputFile?
  private let descriptor: CInt
  /// Whether a reader at the other end decides when a write returns.
  private let isPaced: Bool
  /// When to stop waiting for that reader; the session sets it.
  let limits = WriteLimits()

  /// - Parameter path: nil for standard output.
  package init(path: String?) throws {
    self.path = path
    if let path {
      guard !path.isEmpty else { throw ToolError("--output needs the name of a file; leave it out for standard output") }
      do { file = try OutputFile(path) } catch {
        throw ToolError("\(error); give --output a folder that exists and can be written")
      }
    }
    descriptor = file?.rawValue ?? 1
    isPaced = Self.isPaced(descriptor)
  }

  /// Finds out whether a file can be created there, and leaves nothing behind.
  ///
  /// - Throws: the reason, before work is done in vain.
  ///
  /// What is no regular file is left alone: the reader of a pipe would see it end.
  package static func ensureWritable(_ path: String) throws {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG { return }
    _ = try Output(path: path)
  }

  private static func isPaced(_ descriptor: CInt) -> Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && [S_IFIFO, S_IFSOCK, S_IFCHR].contains(status.st_mode & S_IFMT)
  }

  /// For a closed reader to be noticed while nothing is written; nil for files, and where nothing is to be written.
  var watched: CInt? { path == nil && isUsed ? descriptor : nil }
  /// Whether anything will be written.
  package var isUsed = true

  /// Writes what has been appended.
  ///
  /// While a reader does not read, signals and deadlines still count: then the rest stays in `buffer`, and the session ends the run.
  package mutating func flush() throws {
    var start = 0
    while start < buffer.count {
      if isPaced, try !limits.wait(for: descriptor) { break }
      // A pipe that is writable takes so much without waiting (PIPE_BUF).
      let size = isPaced ? min(4096, buffer.count - start) : buffer.count - start
      let count = buffer.withUnsafeBytes { write(descriptor, $0.baseAddress! + start, size) }
      if count >= 0 {
        start += count
        written += UInt64(count)
        continue
      }
      switch errno {
      case EINTR, EAGAIN: continue
      case EPIPE:
        isClosed = true
        start = buffer.count
      default:
        let error = SystemError("write", path ?? "standard output", errno: Errno(rawValue: errno))
        buffer.removeAll()
        throw ToolError("\(error); \(path == nil ? "the output is cut" : "nothing was written")")
      }
    }
    if start == buffer.count { buffer.removeAll(keepingCapacity: true) } else { buffer.removeFirst(start) }
  }

  /// Writes the rest and gives the file its name.
  package mutating func commit() throws {
    try flush()
    do { try file?.commit() } catch { throw ToolError("\(error); nothing was written") }
  }
}

/// How long a write may wait for whoever reads the other end.
package final class WriteLimits {
  /// Readable when the run has to end.
  private var endings: [CInt] = []
  /// On the monotonic clock.
  private var deadline = UInt64.max
  private var hasEnded = false
  /// Nanoseconds without progress; nil waits for ever.
  private var patience: UInt64?

  /// The run begins.
  func begin(endings: [CInt], deadline: UInt64) { (self.endings, self.deadline) = (endings, deadline) }

  /// The run has ended; what is written now is the rest.
  func end(patience: UInt64?) { (hasEnded, self.patience) = (true, patience) }

  /// Waits until a descriptor can be written.
  ///
  /// - Returns: false when the run has to end first.
  /// - Throws: when nobody reads the rest.
  func wait(for descriptor: CInt) throws -> Bool {
    let start = Clock.monotonic
    while true {
      let now = Clock.monotonic
      var until = hasEnded ? UInt64.max : deadline
      if hasEnded, let patience { until = start + patience }
      var files = [pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)]
      if !hasEnded { files += endings.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) } }
      let time = until == .max ? -1 : Int32(clamping: (max(until, now) - now + 999_999) / 1_000_000)
      guard poll(&files, nfds_t(files.count), time) >= 0 else { continue }
      if files[0].revents != 0 { return true }
      if files.contains(where: { $0.revents != 0 }) { return false }
      guard Clock.monotonic >= until else { continue }
      if hasEnded { throw ToolError("nobody reads standard output; the output is cut") }
      return false
    }
  }
}

/// Writes a line to standard error; not when nobody has read the lines before for a second.
package func complain(_ text: String) {
  var ready = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
  guard poll(&ready, 1, 1000) != 0 else { return }
  let line = Array("\(text)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
