internal import CProbes

/// Text that was too long for one record, kept until its event comes.
///
/// When the ring was full in the middle, the event never comes, and its pieces stay until too much has gathered or the
/// same process sends another event.
struct Pieces {
  private struct Part {
    var time: UInt64
    var bytes: [UInt8]
  }

  private var parts: [UInt32: Part] = [:]
  private var size = 0
  /// Several events of the largest size, 6 MiB, can be under way at once.
  private static let limit = 64 << 20

  /// Keeps a record that is a piece.
  ///
  /// - Returns: whether it was one.
  mutating func keep(_ record: RawSpan) -> Bool {
    guard record.byteCount >= MemoryLayout<swtrace_piece>.size, record.header(UInt64.self) == SWTRACE_PIECE else { return false }
    let piece = record.header(swtrace_piece.self)
    let text = record.extracting(droppingFirst: MemoryLayout<swtrace_piece>.size)
    var part = remove(piece.pid) ?? Part(time: piece.time_ns, bytes: [])
    if part.time != piece.time_ns { part = Part(time: piece.time_ns, bytes: []) }
    part.bytes.append(text, count: Int(piece.length))
    size += part.bytes.count
    parts[piece.pid] = part
    while size > Self.limit, let oldest = parts.min(by: { $0.value.time < $1.value.time }) { _ = remove(oldest.key) }
    return true
  }

  /// The bytes that were sent before an event, which are handed out once.
  mutating func take(pid: UInt32, time: UInt64) -> [UInt8] {
    guard let part = remove(pid), part.time == time else { return [] }
    return part.bytes
  }

  private mutating func remove(_ pid: UInt32) -> Part? {
    guard let part = parts.removeValue(forKey: pid) else { return nil }
    size -= part.bytes.count
    return part
  }
}

extension [UInt8] {
  /// Appends the first bytes of a record's text, or as many as there are.
  mutating func append(_ text: RawSpan, count: Int) {
    text.extracting(first: Swift.min(count, text.byteCount)).withUnsafeBytes { append(contentsOf: $0) }
  }
}
