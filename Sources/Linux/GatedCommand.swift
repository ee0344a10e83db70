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
      throw SystemError("run", name, errno: Errno(rawValue: failure))
    }
  }

  /// How the command ended: its exit code, or 128 and the signal, as shells report it. Waits for it.
  package func exitStatus() -> CInt {
    var status: CInt = 0
    guard unsafe waitpid(pid_t(process.rawValue), &status, 0) > 0 else { return 1 }
    return swtrace_wait_exited(status) != 0 ? swtrace_wait_status(status) : 128 + swtrace_wait_signal(status)
  }

  /// Asks a command that still runs to end.
  package func terminate() { kill(pid_t(process.rawValue), SIGTERM) }

  private static func pipe() throws(SystemError) -> (read: CInt, write: CInt) {
    var ends: [CInt] = [0, 0]
    try check(unsafe swtrace_pipe(&ends), "make", "a pipe")
    return (ends[0], ends[1])
  }
}
