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
    while content.count < limit {
      let before = content.count
      let chunk = min(max(4096, before), limit - before)
      content.append(contentsOf: repeatElement(0, count: chunk))
      let got = unsafe content.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress! + before, chunk) }
      guard got >= 0 else { return nil }
      content.removeLast(chunk - got)
      if got == 0 { break }
    }
    return content
  }
}
