internal import Glibc

/// What the running kernel was built with and allows, as far as files tell. Whether a hook works only an attempt tells.
package enum KernelFeatures {
  /// `uname -r`.
  package static var release: String {
    ProcFile.read("/proc/sys/kernel/osrelease").map { String($0.filter { $0 != "\n" }) } ?? "unknown"
  }

  package static var hasKprobes: Bool {
    unsafe access("/sys/bus/event_source/devices/kprobe", F_OK) == 0
      || tracefs.map { unsafe access("\($0)/kprobe_events", F_OK) == 0 } ?? false
  }

  package static var hasUprobes: Bool { unsafe access("/sys/bus/event_source/devices/uprobe", F_OK) == 0 }

  package static var hasTypeInformation: Bool { unsafe access("/sys/kernel/btf/vmlinux", R_OK) == 0 }

  /// Whether the scheduler keeps how long each task has waited for a processor (CONFIG_SCHED_INFO; `run_delay`), and has groups of tasks
  /// (CONFIG_FAIR_GROUP_SCHED), by which a task's queue is found.
  ///
  /// Before 5.14 kernels with CONFIG_SCHED_INFO but without CONFIG_SCHEDSTATS keep zeros after `nodelayacct`. The file's numbers are time on
  /// processors, time of waiting, and how often it came to one, which whoever asks has (Documentation/scheduler/sched-stats.rst).
  package static var keepsWaitsForProcessors: Bool {
    let comings = (ProcFile.read("/proc/self/schedstat") ?? "").split { $0 == " " || $0 == "\n" }.last
    guard let comings, comings != "0" else { return false }
    return unsafe access("/proc/self/autogroup", F_OK) == 0 || access("/proc/sys/kernel/sched_cfs_bandwidth_slice_us", F_OK) == 0
  }

  /// Where tracefs is mounted; nil when it is not, or when this user cannot read it.
  package static var tracefs: String? {
    for path in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] where unsafe access("\(path)/events", F_OK) == 0 {
      return path
    }
    return nil
  }

  /// Why there is no `tracefs` to be had, and what to do about it.
  package static var tracefsObstacle: (problem: String, remedy: String) {
    for line in (ProcFile.read("/proc/self/mounts") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count > 2, fields[2] == "tracefs" { return ("tracefs at \(fields[1]) is not readable for this user", "run it as root") }
    }
    return ("tracefs is not mounted", "mount -t tracefs tracefs /sys/kernel/tracing")
  }

  /// The lockdown level: `none`, `integrity`, `confidentiality`, or nil without that security module.
  package static var lockdown: String? {
    guard let text = ProcFile.read("/sys/kernel/security/lockdown"), let start = text.firstIndex(of: "["),
      let end = text.firstIndex(of: "]")
    else { return nil }
    return String(text[text.index(after: start)..<end])
  }
}
