internal import Glibc

/// Small text files of /proc and /sys, whose size is known only by reading them.
package enum ProcFile {
  /// The whole text, or nil when it cannot be read. At most `limit` bytes.
  package static func read(_ path: String, limit: Int = 1 << 20) -> String? {
    bytes(path, limit: limit).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The whole content, or nil when it cannot be read. At most `limit` bytes.
  package static func bytes(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var content: [UInt8] = []
    // The kernel hands out most of these files a page at a time, whatever is asked for.
    return unsafe withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 16) { chunk in
      while content.count < limit {
        let got = unsafe Glibc.read(descriptor, chunk.baseAddress, min(chunk.count, limit - content.count))
        guard got >= 0 else { return nil }
        if got == 0 { break }
        unsafe content.append(contentsOf: chunk[..<got])
      }
      return content
    }
  }
}
