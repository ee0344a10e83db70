internal import Linux
internal import SystemPackage

/// Why the kernel refuses a program, in words that a user can act on.
enum FailureReason {
  static func ofLoad(section: String?, errno: Errno, log: [String]) -> String? {
    if log.contains(where: { $0.has("failed to find valid kernel BTF") || $0.has("kernel BTF is missing") }) {
      return
        "this kernel has no type information (looked for /sys/kernel/btf/vmlinux and /boot/vmlinux-RELEASE); name a file with --btf FILE"
    }
    guard let section else {
      return errno == .notPermitted || errno == .permissionDenied ? Privileges.current.missing : nil
    }
    let target = section.split(separator: "/").dropFirst().joined(separator: "/")
    if log.contains(where: { $0.has("failed to find kernel BTF type ID") }) {
      return section.hasPrefix("tp_btf")
        ? "this kernel has no tracepoint \(target)" : "this kernel has no function \(target) that can be traced"
    }
    if errno == .notPermitted, section.hasPrefix("fentry") || section.hasPrefix("fexit") {
      return "this kernel refuses fentry programs"
    }
    if errno == .notPermitted || errno == .permissionDenied, let missing = Privileges.current.missing { return missing }
    if let helper = missingHelper(log) { return "this kernel has no BPF helper \(helper)" }
    return log.contains { $0.has("-- BEGIN PROG LOAD LOG --") } ? "this kernel's verifier rejects it" : nil
  }

  /// The helper that the verifier does not know; by number, if it is not one that the probes can do without.
  private static func missingHelper(_ log: [String]) -> String? {
    let phrase = "invalid func unknown#"
    for text in log {
      for line in text.split(separator: "\n") where line.hasPrefix(phrase) {
        let number = line.dropFirst(phrase.count)
        // Numbers from the kernel's enum bpf_func_id; in 5.11 and 5.15.
        return ["158": "bpf_get_current_task_btf", "174": "bpf_get_attach_cookie"][String(number)] ?? String(number)
      }
    }
    return nil
  }

  static func ofAttach(section: String, errno: Errno) -> String? {
    let target = section.split(separator: "/").dropFirst().joined(separator: "/")
    switch section.split(separator: "/").first {
    case "kprobe", "kretprobe":
      if !KernelFeatures.hasKprobes { return "this kernel has no kprobes (CONFIG_KPROBES=n)" }
      if errno == .noSuchFileOrDirectory { return "this kernel has no function \(target)" }
      if errno == .notPermitted, KernelFeatures.lockdown == "confidentiality" {
        return "kprobes are locked down (lockdown=confidentiality)"
      }
    case "raw_tp", "raw_tracepoint", "tp", "tracepoint":
      if errno == .noSuchFileOrDirectory {
        if section.hasPrefix("tp/") || section.hasPrefix("tracepoint/"), KernelFeatures.tracefs == nil {
          let (problem, remedy) = KernelFeatures.tracefsObstacle
          return "\(problem); \(remedy)"
        }
        return "this kernel has no tracepoint \(target)"
      }
    default: break
    }
    // What is not made of a link of BPF's own is made of an event of perf.
    if errno == .notPermitted || errno == .permissionDenied { return Privileges.current.missing ?? PerfEvent.refusal(errno) }
    return nil
  }
}
