internal import Foundation
internal import Linux

/// A cgroup with a limit of memory, in the hierarchy that has the memory controller.
package final class LimitedGroup {
  package static let limit = 24 << 20
  package let path: String
  /// The names below the hierarchy's root.
  package let name = "/swtrace-test-\(getpid())-oom/inner"

  package init() throws {
    let mounts = ProcFile.read("/proc/self/mountinfo")?.split(separator: "\n").map { $0.split(separator: " ").map(String.init) } ?? []
    let old = mounts.first { $0.contains("cgroup") && $0.last?.split(separator: ",").contains("memory") == true }
    guard let root = old?[4] ?? ControlGroup.root else { throw RunError("no cgroups are mounted") }
    path = root + name
    try FileManager.default.createDirectory(atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    if old == nil {
      for folder in [root, (path as NSString).deletingLastPathComponent] { try Self.write("+memory", "\(folder)/cgroup.subtree_control") }
    }
    mkdir(path, 0o755)
    try Self.write("\(Self.limit)", path + (old == nil ? "/memory.max" : "/memory.limit_in_bytes"))
    // Where there is swap, the group must not use it.
    try? Self.write(old == nil ? "0" : "\(Self.limit)", path + (old == nil ? "/memory.swap.max" : "/memory.memsw.limit_in_bytes"))
  }

  private static func write(_ text: String, _ path: String) throws {
    try text.write(toFile: path, atomically: false, encoding: .utf8)
  }

  deinit {
    rmdir(path)
    rmdir((path as NSString).deletingLastPathComponent)
  }
}
