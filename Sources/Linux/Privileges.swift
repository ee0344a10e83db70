internal import CLinux
internal import Glibc

/// What this process may do, by its effective capabilities.
package struct Privileges: Sendable {
  /// The `CapEff` bits of /proc/thread-self/status (capabilities(7)).
  package var effective: UInt64

  package enum Capability: Int, CaseIterable, Sendable {
    case dacReadSearch = 2
    case sysPtrace = 19
    case sysAdmin = 21
    case sysResource = 24
    case syslog = 34
    case perfmon = 38
    case bpf = 39
    case checkpointRestore = 40

    package var name: String {
      switch self {
      case .dacReadSearch: "CAP_DAC_READ_SEARCH"
      case .sysPtrace: "CAP_SYS_PTRACE"
      case .sysAdmin: "CAP_SYS_ADMIN"
      case .sysResource: "CAP_SYS_RESOURCE"
      case .syslog: "CAP_SYSLOG"
      case .perfmon: "CAP_PERFMON"
      case .bpf: "CAP_BPF"
      case .checkpointRestore: "CAP_CHECKPOINT_RESTORE"
      }
    }
  }

  package init(effective: UInt64) { self.effective = effective }

  package static var current: Privileges {
    let status = ProcFile.read("/proc/thread-self/status") ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("CapEff:") {
      return Privileges(effective: UInt64(line.dropFirst(7).filter { !$0.isWhitespace }, radix: 16) ?? 0)
    }
    return Privileges(effective: 0)
  }

  package func has(_ capability: Capability) -> Bool { effective & 1 << capability.rawValue != 0 }

  /// What tracing needs and this process lacks, with the remedy; nil when nothing is missing.
  package var missing: String? {
    if has(.sysAdmin) { return nil }
    let lacking = [Capability.bpf, .perfmon].filter { !has($0) }.map(\.name)
    guard !lacking.isEmpty else { return nil }
    return "needs \(lacking.joined(separator: " and ")); run it as root"
  }

  /// Gives up all other capabilities for good, and every way to get some back: in the calling thread and those that it starts later.
  ///
  /// Call it while there is one thread. Without CAP_SETPCAP the bounding set stays as it is, which `no_new_privs` makes harmless.
  ///
  /// - Throws: when the kernel refuses; nothing is certain then.
  package static func keep(only capabilities: [Capability]) throws(SystemError) {
    let wanted = capabilities.reduce(UInt64(0)) { $0 | 1 << $1.rawValue }
    _ = try check(swtrace_prctl(PR_SET_NO_NEW_PRIVS, 1, 0), "give up", "new privileges")
    _ = try check(swtrace_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0), "give up", "ambient capabilities")
    // The kernel knows fewer than 64; the first that it does not know ends it.
    for number in 0..<64 where wanted & 1 << number == 0 {
      if swtrace_prctl(PR_CAPBSET_DROP, UInt(number), 0) != 0 { break }
    }
    _ = try check(swtrace_set_capabilities(current.effective & wanted), "give up", "capabilities")
  }

  /// Does something in the calling thread as if it had no other capabilities.
  package static func lowered<Result>(to capabilities: [Capability], _ body: () throws -> Result) rethrows -> Result {
    let before = current.effective
    let wanted = capabilities.reduce(UInt64(0)) { $0 | 1 << $1.rawValue }
    // Fewer are always allowed, and so are those again that are still permitted.
    swtrace_set_effective(before & wanted)
    defer { swtrace_set_effective(before) }
    return try body()
  }
}

/// How much memory may be locked (RLIMIT_MEMLOCK). Buffers of perf events count, and before Linux 5.11 the maps of BPF.
package enum LockedMemory {
  /// Lifts the limit where the process may; call it before privileges are given up.
  package static func lift() { swtrace_lift_locked_memory() }
}
