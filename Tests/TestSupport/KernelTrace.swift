internal import Foundation
internal import Linux

/// The kernel's own trace of some tracepoints (tracefs), in an instance of its own: what a tool says is compared with it.
package struct KernelTrace: ~Copyable {
  private let folder: String
  private let events: [String]

  /// Begins to trace.
  ///
  /// - Parameters:
  ///   - events: group and name: `tcp/tcp_probe`.
  ///   - filter: for each of them, in the kernel's language for that.
  package init(_ events: [String], filter: String? = nil) throws {
    let root = access("/sys/kernel/tracing/instances", F_OK) == 0 ? "/sys/kernel/tracing" : "/sys/kernel/debug/tracing"
    folder = "\(root)/instances/swtrace-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    self.events = events
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try set("buffer_size_kb", "8192")
    for event in events {
      if let filter { try set("events/\(event)/filter", filter) }
      try set("events/\(event)/enable", "1")
    }
  }

  deinit {
    // The kernel may still hold it for a moment after its events have been switched off.
    var attempts = 0
    while rmdir(folder) != 0, errno == EBUSY, attempts < 100 {
      poll(nil, 0, 10)
      attempts += 1
    }
  }

  private func set(_ file: String, _ value: String) throws {
    try value.write(toFile: "\(folder)/\(file)", atomically: false, encoding: .utf8)
  }

  /// Ends the trace.
  ///
  /// - Returns: one line for each event.
  package consuming func finish() throws -> [String] {
    guard let lines = try allLines() else { throw RunError("the trace is incomplete") }
    return lines
  }

  /// Ends the trace: one line for each event; nil where there were more than it has room for.
  private consuming func allLines() throws -> [String]? {
    for event in events { try set("events/\(event)/enable", "0") }
    guard let text = ProcFile.bytes("\(folder)/trace", limit: 1 << 27) else { throw RunError("cannot read \(folder)/trace") }
    let names = events.map { " \($0.split(separator: "/")[1]): " }
    var lines: [String] = []
    for bytes in text.split(separator: 0x0a) {
      let line = String(decoding: bytes, as: UTF8.self)
      if line.hasPrefix("CPU:"), line.contains("LOST") { return nil }
      if line.hasPrefix("#") || line.hasPrefix("CPU:") { continue }
      // The names of other tests' processes have line ends in them.
      if lines.isEmpty || names.contains(where: line.contains) { lines.append(line) } else { lines[lines.count - 1] += line }
    }
    return lines
  }

  /// Whether an event came while a thread of process 1 ran: some kernels run no BPF program then, and do not count it as missed (docs/loss.md).
  package static func mayBeHidden(_ line: String) -> Bool {
    guard let task = line.split(separator: "[", maxSplits: 1).first, let thread = task.split(separator: "-").last else { return false }
    return access("/proc/1/task/\(thread.filter { !$0.isWhitespace })", F_OK) == 0
  }

  /// What is measured while the kernel traces events; again while it may have hidden some of them from BPF programs, or others had so many
  /// that the trace lacks some.
  ///
  /// - Parameter isMeant: whether an event matters, by its line and what was measured meanwhile.
  package static func showingAll<Value>(
    _ events: [String], _ measure: () async throws -> Value, isMeant: (_ line: String, Value) -> Bool
  ) async throws -> Value {
    for _ in 0..<20 {
      let trace = try KernelTrace(events)
      let value = try await measure()
      if let lines = try trace.allLines(), !lines.contains(where: { mayBeHidden($0) && isMeant($0, value) }) { return value }
    }
    throw RunError("the kernel may have hidden, or not traced, some of \(events.joined(separator: ", ")), twenty times")
  }
}
