internal import Glibc

/// What this process may do, by its effective capabilities.
package struct Privileges: Sendable {
  /// The `CapEff` bits of /proc/self/status (capabilities(7)).
  package var effective: UInt64

  package enum Capability: Int, CaseIterable, Sendable {
    case dacReadSearch = 2
    case sysPtrace = 19
    case sysAdmin = 21
    case sysResource = 24
    case syslog = 34
    case perfmon = 38
    case bpf = 39

    package var name: String {
      switch self {
      case .dacReadSearch: "CAP_DAC_READ_SEARCH"
      case .sysPtrace: "CAP_SYS_PTRACE"
      case .sysAdmin: "CAP_SYS_ADMIN"
      case .sysResource: "CAP_SYS_RESOURCE"
      case .syslog: "CAP_SYSLOG"
      case .perfmon: "CAP_PERFMON"
      case .bpf: "CAP_BPF"
      }
    }
  }

  package init(effective: UInt64) { self.effective = effective }

  package static var current: Privileges {
    let status = ProcFile.read("/proc/self/status") ?? ""
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
}
