package import Linux
internal import Profiles

/// Which service, container and pod a process belongs to, as its cgroup says.
package struct ProcessLabels: Hashable, Sendable {
  /// A systemd unit that is a service, a container or a machine; nil for processes of users and the kernel.
  package var unit: String?
  /// The container's number, its first 12 digits, as tools for containers show it.
  package var container: String?
  /// The unique number of the Kubernetes pod.
  package var pod: String?
  /// The name of the process, which its threads may not have; nil where it had ended already.
  package var name: [UInt8]?

  /// - Parameter cgroups: the content of /proc/PID/cgroup (cgroups(7)). Of several hierarchies the one that systemd names counts.
  package init(cgroups: String) {
    let lines = cgroups.split(separator: "\n")
    let line = lines.first { $0.hasPrefix("0::") } ?? lines.first { $0.contains(":name=systemd:") } ?? lines.first ?? ""
    // `number:controllers:path`; a path may have colons.
    let path = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).last ?? ""
    for part in path.split(separator: "/") {
      let name = part.split(separator: "@", maxSplits: 1).first.map(String.init) ?? ""
      if part.hasSuffix(".service") {
        // The manager of a user's services is not the service.
        unit = name == "user" && part.contains("@") ? nil : Self.withoutSuffix(part, ".service")
      }
      if let found = Self.pod(in: part) { pod = found }
      if let found = Self.container(in: part) { container = found }
    }
  }

  /// Those of a running process; none when it has ended.
  package init(of process: ProcessID) {
    self.init(cgroups: ProcFile.read("/proc/\(process)/cgroup") ?? "")
    name = ProcFile.bytes("/proc/\(process)/comm")?.dropLast()
  }

  /// What the labels of a sample are, but for the host.
  ///
  /// - Parameter thread: what the kernel calls the thread, for processes whose name is not known.
  package func pairs(thread: [UInt8]) -> [(String, String)] {
    let command = readableName(name ?? thread)
    let service = unit ?? container ?? command
    var pairs = [("service", service)]
    if let container { pairs.append(("container", container)) }
    if let pod { pairs.append(("pod", pod)) }
    if service != command { pairs.append(("comm", command)) }
    return pairs
  }

  private static func withoutSuffix(_ part: Substring, _ suffix: String) -> String { String(part.dropLast(suffix.count)) }

  /// `docker-NUMBER.scope`, `cri-containerd-NUMBER.scope`, `crio-NUMBER.scope`, `libpod-NUMBER.scope`, or the number alone: 64
  /// hexadecimal digits.
  private static func container(in part: Substring) -> String? {
    let whole = part.hasSuffix(".scope") ? part.dropLast(6) : part
    let number = whole.split(separator: "-").last ?? whole
    guard number.utf8.count == 64, number.utf8.allSatisfy(isHexadecimal) else { return nil }
    return String(number.prefix(12))
  }

  /// `kubepods-burstable-podNUMBER.slice` with underscores for the number's dashes, or `podNUMBER`.
  private static func pod(in part: Substring) -> String? {
    let whole = part.hasSuffix(".slice") ? part.dropLast(6) : part
    guard let piece = whole.split(separator: "-", maxSplits: 2).last, piece.hasPrefix("pod") || whole.hasPrefix("pod") else { return nil }
    let number = (whole.hasPrefix("pod") ? whole : piece).dropFirst(3).map { $0 == "_" ? "-" : $0 }
    guard number.count == 36, String(number).utf8.allSatisfy({ isHexadecimal($0) || $0 == 0x2d }) else { return nil }
    return String(number)
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }
}
