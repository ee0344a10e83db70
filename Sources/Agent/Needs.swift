internal import Glibc
internal import Linux
internal import Logging
internal import Tools

/// What of root's power the agent keeps, and why.
enum Needs {
  typealias Need = (capability: Privileges.Capability, cost: String)

  /// The capabilities, and what is lost without one. BPF and perfmon stay because probes are loaded again when they are re-tuned.
  static let all: [Need] = [
    (.bpf, "no probe can be loaded"), (.perfmon, "no probe can be attached"),
    (.sysPtrace, "functions of other users' processes have no names"), (.syslog, "the kernel's functions have no names"),
    (.dacReadSearch, "files that the agent's user may not read, tracefs among them, are not looked at"),
  ]

  /// What is kept for `deleted_libraries`: /proc/PID/map_files can be listed with the others, but opened only with this.
  static let ofDeletedLibraries: Need = (
    .checkpointRestore, "deleted_libraries is on, but functions of libraries whose file was deleted or replaced have no names"
  )

  static func of(_ configuration: Configuration) -> [Need] { all + (configuration.keepsDeletedLibraries ? [ofDeletedLibraries] : []) }

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

  /// What this process lacks of what the agent keeps, and what the kernel refuses it all the same: a line each.
  static func missing(_ configuration: Configuration) -> [String] {
    let (privileges, needs) = (Privileges.current, of(configuration))
    return needs.filter { !privileges.has($0.capability) }.map { "\($0.capability.name) is missing: \($0.cost)" } + refusedEvents(needs)
  }

  /// What some kernels want more for than is kept.
  private static func refusedEvents(_ needs: [Need]) -> [String] {
    Privileges.lowered(to: needs.map(\.capability)) {
      do throws(SystemError) {
        close(try PerfEvent.clock(processor: Processors.online.first ?? 0, period: 1_000_000_000, isIdle: false))
        return []
      } catch {
        guard let cause = error.cause else { return [] }
        return ["\(cause): until then the profile cpu and page faults are not measured, and programs that run for a moment only lack names"]
      }
    }
  }

  /// Gives up all others, and says what is missing.
  static func keep(for configuration: Configuration, _ logger: Logger) throws {
    for line in missing(configuration) { logger.warning("\(line)") }
    try Privileges.keep(only: of(configuration).map(\.capability))
    let kept = Privileges.current
    logger.info("capabilities that are kept: \(of(configuration).map(\.capability).filter(kept.has).map(\.name).joined(separator: " "))")
  }
}
