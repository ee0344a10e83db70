internal import AgentModel
internal import GRDB
internal import Glibc
internal import Synchronization

extension Store {
  /// How the store does, for those who look after it.
  package struct Status: Equatable, Sendable {
    /// Bytes of the file.
    package var fileBytes: Int64
    /// Bytes of the file's log, which are not in the file yet.
    package var logBytes: Int64
    /// Windows taken in, and windows that were not, since the program began.
    package var stored: UInt64
    package var dropped: UInt64
    /// What there are values for, in seconds since 1970; nil for nothing.
    package var extent: Range<Int64>?
    /// What had to be told, the newest last.
    package var remarks: [String]
  }

  /// Never fails: that the file cannot be read is a remark.
  package func status() async -> Status {
    var extent: Range<Int64>?
    do {
      extent = try await read { try $0.extent(of: nil) }
    } catch {
      remember("\(error)")
    }
    let counters = counters.withLock { $0 }
    return Status(
      fileBytes: FileSize.of(path), logBytes: FileSize.of(path + "-wal"), stored: counters.stored, dropped: counters.dropped,
      extent: extent,
      remarks: counters.remarks)
  }
}

enum FileSize {
  /// In bytes; 0 for a file that is not there.
  static func of(_ path: String) -> Int64 {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : 0
  }
}
