internal import Clibbpf
internal import Glibc
internal import Synchronization

/// What libbpf says while it works, kept instead of printed: the lines are evidence for errors.
enum LibbpfLog {
  /// By thread: libbpf speaks on the thread that it works for, and several load probes at once.
  private static let lines = Mutex<[pthread_t: [String]]>([:])

  /// Sends libbpf's messages here; called before its first use. Debug messages are dropped.
  static let redirect: Void = {
    unsafe swtrace_log_to { level, text in
      guard level <= Int32(LIBBPF_INFO.rawValue), let text = unsafe text else { return }
      let line = unsafe String(cString: text)
      LibbpfLog.lines.withLock { lines in
        guard let count = lines[pthread_self()]?.count, count < 400 else { return }
        lines[pthread_self()]?.append(line.hasSuffix("\n") ? String(line.dropLast()) : line)
      }
    }
  }()

  /// Runs a piece of work and returns what libbpf said of it, of 400 lines at most. One piece does not run within another.
  static func during<Value>(_ work: () -> Value) -> (Value, [String]) {
    _ = redirect
    lines.withLock { $0[pthread_self()] = [] }
    let value = work()
    return (value, lines.withLock { $0.removeValue(forKey: pthread_self()) } ?? [])
  }
}

/// The C library's errno of this thread.
func currentErrno() -> CInt { Glibc.errno }
