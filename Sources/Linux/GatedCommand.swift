internal import CLinux
internal import Glibc
internal import SystemPackage

/// A command that has been started but waits before its first instruction, so that tracing can begin earlier.
package struct GatedCommand: ~Copyable {
  package let process: ProcessID
  /// Readable when the command has ended.
  package var descriptor: CInt { watch.rawValue }

  private let name: String
  private let watch: Descriptor
  private var gate: Descriptor?
  private let report: Descriptor
  private var isReaped = false

  /// Forks; the command's program is looked up in PATH when the gate opens.
  package init(_ arguments: [String]) throws(SystemError) {
    name = arguments[0]
    let gates = try Self.pipe()
    let reports = try Self.pipe()
    var pointers = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { for index in arguments.indices { unsafe free(pointers[index]) } }
    let child = unsafe swtrace_fork_gated(pointers[0], &pointers, gates.read, gates.write, reports.write)
    let failure = Errno(rawValue: Glibc.errno)
    close(gates.read)
    close(reports.write)
    let gate = Descriptor(owning: gates.write)
    let report = Descriptor(owning: reports.read)
    guard child > 0 else { throw SystemError("start", name, errno: failure) }
    watch = Descriptor(owning: try check(swtrace_pidfd_open(child), "watch", "process \(child)"))
    process = ProcessID(UInt32(child))
    self.gate = consume gate
    self.report = consume report
  }

  /// Lets the command run.
  ///
  /// - Throws: the reason when its program cannot be started.
  package mutating func open() throws(SystemError) {
    guard let gate = gate.take() else { return }
    var go: UInt8 = 1
    unsafe write(gate.rawValue, &go, 1)
    var failure: CInt = 0
    // The pipe is closed by a successful exec, which ends this read with nothing.
    if unsafe read(report.rawValue, &failure, MemoryLayout<CInt>.size) == MemoryLayout<CInt>.size {
      var status: CInt = 0
      unsafe waitpid(pid_t(process.rawValue), &status, 0)
      isReaped = true
      throw SystemError("run", name, errno: Errno(rawValue: failure))
    }
  }

  /// Ends the command if it still runs: asks it (SIGTERM), and kills it (SIGKILL) when it does not end in time.
  ///
  /// - Parameter patience: milliseconds between the two.
  /// - Returns: its exit code, or 128 and the signal, as shells report it; and whether it had to be killed.
  package mutating func end(patience: CInt = 5000) -> (status: CInt, wasKilled: Bool) {
    isReaped = true
    return Self.end(process, watch.rawValue, patience: patience)
  }

  deinit {
    guard !isReaped else { return }
    // One that waits at the gate has done nothing yet.
    _ = Self.end(process, watch.rawValue, patience: gate == nil ? 2000 : 0)
  }

  private static func end(_ process: ProcessID, _ watch: CInt, patience: CInt) -> (status: CInt, wasKilled: Bool) {
    let number = pid_t(process.rawValue)
    var ended = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
    var wasKilled = false
    if unsafe poll(&ended, 1, 0) == 0 {
      kill(number, SIGTERM)
      // A stopped one could not answer.
      kill(number, SIGCONT)
      let deadline = Clock.monotonic + UInt64(patience) * 1_000_000
      var count: CInt = 0
      repeat {
        let now = Clock.monotonic
        count = unsafe poll(&ended, 1, now >= deadline ? 0 : CInt((deadline - now + 999_999) / 1_000_000))
      } while count < 0
      if count == 0 {
        wasKilled = true
        kill(number, SIGKILL)
      }
    }
    var status: CInt = 0
    while unsafe waitpid(number, &status, 0) < 0 { if Glibc.errno != EINTR { return (1, wasKilled) } }
    return (swtrace_wait_exited(status) != 0 ? swtrace_wait_status(status) : 128 + swtrace_wait_signal(status), wasKilled)
  }

  private static func pipe() throws(SystemError) -> (read: CInt, write: CInt) {
    var ends: [CInt] = [0, 0]
    try check(unsafe swtrace_pipe(&ends), "make", "a pipe")
    return (ends[0], ends[1])
  }
}
