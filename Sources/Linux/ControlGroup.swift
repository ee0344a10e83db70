internal import CLinux
internal import Glibc
internal import SystemPackage

/// A cgroup of the v2 hierarchy.
package struct ControlGroup: Hashable, Sendable {
  /// What `bpf_get_current_cgroup_id` returns: the inode number of its folder.
  package var id: UInt64
  /// The folder.
  package var path: String

  /// Finds a cgroup by its folder, or by its path in the v2 hierarchy, with or without a leading slash.
  ///
  /// - Throws: when there is no such folder, or it lies in a v1 hierarchy.
  package init(_ name: String) throws(SystemError) {
    let root = Self.root
    let candidates = [name] + (root.map { ["\($0)/\(name.drop { $0 == "/" })"] } ?? [])
    for path in candidates {
      var status = stat()
      guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
      // CGROUP2_SUPER_MAGIC of linux/magic.h.
      guard unsafe swtrace_filesystem_type(path) == 0x6367_7270 else { continue }
      self.path = path
      id = UInt64(status.st_ino)
      return
    }
    throw SystemError("find", "cgroup \(name)\(root.map { " in \($0)" } ?? " (no cgroup v2 is mounted)")", errno: .noSuchFileOrDirectory)
  }

  /// Where the v2 hierarchy is mounted: found by its type, because hybrid systems have it below the v1 ones.
  package static var root: String? {
    guard let mounts = ProcFile.read("/proc/self/mountinfo") else { return nil }
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 1, fields[dash + 1] == "cgroup2", fields.count > 4 else {
        continue
      }
      return String(fields[4])
    }
    return nil
  }
}
