internal import Clibbpf
internal import Glibc
internal import Synchronization

/// What libbpf says while it works, kept instead of printed: the lines are evidence for errors.
enum LibbpfLog {
  private static let lines = Mutex<[String]>([])

  /// Sends libbpf's messages here; called before its first use. Debug messages are dropped.
  static let redirect: Void = {
    unsafe swtrace_log_to { level, text in
      guard level <= Int32(LIBBPF_INFO.rawValue), let text = unsafe text else { return }
      let line = unsafe String(cString: text)
      LibbpfLog.lines.withLock { lines in
        if lines.count < 400 { lines.append(line.hasSuffix("\n") ? String(line.dropLast()) : line) }
      }
    }
  }()

  /// Runs a piece of work and returns what libbpf said meanwhile.
  static func during<Value>(_ work: () -> Value) -> (Value, [String]) {
    _ = redirect
    lines.withLock { $0 = [] }
    let value = work()
    return (value, lines.withLock { $0 })
  }
}

/// The C library's errno of this thread.
func currentErrno() -> CInt { Glibc.errno }
