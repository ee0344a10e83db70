internal import Glibc
internal import Linux
internal import Logging
internal import Tools

/// What of root's power the agent keeps, and why.
enum Needs {
  /// The capabilities, and what is lost without one. BPF and perfmon stay because probes are loaded again when they are re-tuned.
  static let all: [(capability: Privileges.Capability, cost: String)] = [
    (.bpf, "no probe can be loaded"), (.perfmon, "no probe can be attached"),
    (.sysPtrace, "functions of other users' processes have no names"), (.syslog, "the kernel's functions have no names"),
    (.dacReadSearch, "files that the agent's user may not read, tracefs among them, are not looked at"),
    // /proc/PID/map_files can be listed with the two above, but opened only with this.
    (.checkpointRestore, "functions of programs whose file was deleted or replaced have no names"),
  ]

  /// Whether the agent may do something with a file when it has given up all others.
  ///
  /// - Parameter mode: `W_OK` and the like.
  /// - Returns: the error's number; 0 when it may.
  static func tryAccess(_ path: String, _ mode: CInt) -> CInt {
    Privileges.lowered(to: all.map(\.capability)) { faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ? 0 : errno }
  }

  /// - Throws: in a pid namespace that is not the machine's: what the kernel says of processes would be taken for others.
  static func checkNamespace() throws {
    guard ProcessNamespace.isInitial else {
      throw ToolError(
        "swtrace-agent runs in a pid namespace of its own, where processes have other numbers than in the kernel: it would show values of one "
          + "under the name of another; run it in the host's (docker run --pid=host, hostPID: true in Kubernetes)")
    }
  }

  /// Gives up all others, and says what is missing.
  static func keep(_ logger: Logger) throws {
    let privileges = Privileges.current
    for need in all where !privileges.has(need.capability) { logger.warning("\(need.capability.name) is missing: \(need.cost)") }
    try Privileges.keep(only: all.map(\.capability))
    logger.info("capabilities that are kept: \(all.filter { privileges.has($0.capability) }.map(\.capability.name).joined(separator: " "))")
  }
}
