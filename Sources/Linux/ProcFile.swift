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

  /// Where the stack of a process's program begins (proc_pid_stat(5), startstack); nil for those that nobody may know, and kernel threads.
  package static func startOfStack(of process: ProcessID) -> UInt64? {
    // The name may have anything in it but its end is the last parenthesis.
    guard let text = bytes("/proc/\(process)/stat"), let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = text[(end + 1)...].split(separator: UInt8(ascii: " "))
    // The 28th, of which two stand before.
    guard fields.count > 25, let start = UInt64(String(decoding: fields[25], as: UTF8.self)), start != 0 else { return nil }
    return start
  }
}
