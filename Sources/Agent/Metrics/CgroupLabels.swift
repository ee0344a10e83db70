internal import Linux

/// Which service, container and pod cgroups are, by their ids or paths.
struct CgroupLabels {
  private var known: [UInt64: [(String, String)]] = [:]
  /// Ids that are kept; more have come and gone, and what still is there is looked up again.
  private static let limit = 4096

  /// By the id of a cgroup of the v2 hierarchy; of 0, and of one that was gone before it was first asked for, the service is `unknown`.
  mutating func pairs(of id: UInt64) -> [(String, String)] {
    if let pairs = known[id] { return pairs }
    let path = id == 0 ? nil : ControlGroup.path(of: id)
    if known.count >= Self.limit { known = [:] }
    // Ids are not used again: one that is gone stays gone.
    let pairs = path.map { Self.pairs(path: $0) } ?? [("service", "unknown")]
    known[id] = pairs
    return pairs
  }

  /// By the path in its hierarchy: the service is the unit, else the container, else the path's last part, which is `/` for the root.
  static func pairs(path: String) -> [(String, String)] {
    let labels = ProcessLabels(cgroups: "0::\(path)")
    let last = path.split(separator: "/").last.map(String.init) ?? "/"
    var pairs = [("service", labels.unit ?? labels.container ?? last)]
    if let container = labels.container { pairs.append(("container", container)) }
    if let pod = labels.pod { pairs.append(("pod", pod)) }
    return pairs
  }
}
