internal import Clibz

/// Gzip files (RFC 1952) by zlib.
enum Gzip {
  enum Failure: Error, Hashable, Sendable {
    case damaged
    case truncated
    /// It unfolds to more than was allowed.
    case tooLarge
  }

  /// Whether a file starts as gzip files do.
  static func isCompressed(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1f, 0x8b]) }

  /// One member, without name and time: equal input gives equal bytes.
  static func compress(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    // 15 bits of window, and 16 for a gzip header.
    let status = deflateInit2_(
      &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
    precondition(status == Z_OK, "zlib has no memory")
    defer { deflateEnd(&stream) }
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count / 3 + 64)
    run(&stream, bytes, &output, limit: .max) { deflate(&$0, $1 ? Z_FINISH : Z_NO_FLUSH) }
    return output
  }

  /// All members, one after the other.
  ///
  /// - Parameter limit: the largest result in bytes; what would be larger ends as `tooLarge` before it takes more memory.
  static func decompress(_ bytes: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
    var stream = z_stream()
    guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size)) == Z_OK else { throw .damaged }
    defer { inflateEnd(&stream) }
    var output: [UInt8] = []
    let status = run(&stream, bytes, &output, limit: limit) { stream, _ in
      let status = inflate(&stream, Z_NO_FLUSH)
      // Another member follows directly, or nothing that matters: padding after the last one is allowed.
      guard status == Z_STREAM_END, stream.avail_in > 1, stream.next_in[0] == 0x1f, stream.next_in[1] == 0x8b else { return status }
      return inflateReset(&stream)
    }
    if output.count > limit { throw .tooLarge }
    switch status {
    case Z_STREAM_END: return output
    case Z_OK, Z_BUF_ERROR: throw .truncated
    default: throw .damaged
    }
  }

  /// Turns the crank until the stream ends, fails, has no more input, or gave more than the limit.
  @discardableResult
  private static func run(
    _ stream: inout z_stream, _ bytes: [UInt8], _ output: inout [UInt8], limit: Int,
    turn: (inout z_stream, _ isLast: Bool) -> CInt
  ) -> CInt {
    let room = 1 << 16
    // zlib counts in 32 bits; a file in memory can be longer.
    let slice = 1 << 30
    var start = 0
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: room) { buffer in
      bytes.withUnsafeBufferPointer { input in
        while true {
          let count = min(input.count - start, slice)
          if count > 0 { stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress! + start) }
          stream.avail_in = UInt32(count)
          stream.next_out = buffer.baseAddress
          stream.avail_out = UInt32(room)
          let status = turn(&stream, start + count == input.count)
          let written = room - Int(stream.avail_out)
          let read = count - Int(stream.avail_in)
          start += read
          output.append(contentsOf: UnsafeBufferPointer(rebasing: buffer[..<written]))
          if status != Z_OK || output.count > limit || read == 0 && written == 0 { return status }
        }
      }
    }
  }
}
