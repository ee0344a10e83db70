internal import CLinux
internal import Glibc
internal import Synchronization
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
      guard Self.isHierarchy(path) else { continue }
      self.path = path
      id = UInt64(status.st_ino)
      return
    }
    throw SystemError("find", "cgroup \(name)\(root.map { " in \($0)" } ?? " (no cgroup v2 is mounted)")", errno: .noSuchFileOrDirectory)
  }

  /// The path of a cgroup in the v2 hierarchy, `/` for its root, by its id; nil where it is gone.
  ///
  /// open_by_handle_at(2) with the kernel's handle of a cgroup (`FILEID_KERNFS` of linux/exportfs.h), Linux 5.5.
  package static func path(of id: UInt64) -> String? {
    guard let root, let place = try? File.openReference(FilePath(root)) else { return nil }
    let number = swtrace_open_cgroup(place.rawValue, id)
    guard number >= 0 else { return nil }
    let folder = Descriptor(owning: number)
    guard let path = File.target(of: FilePath("/proc/self/fd/\(folder.rawValue)")), path.hasPrefix(root) else { return nil }
    return path == root ? "/" : String(path.dropFirst(root == "/" ? 0 : root.count))
  }

  /// Where the v2 hierarchy is mounted: found by its type, because hybrid systems have it below the v1 ones.
  ///
  /// Kept as long as it is mounted there: a machine with many containers has thousands of mounts, and paths are asked for by the row.
  package static var root: String? {
    known.withLock { known in
      if let root = known, isHierarchy(root) { return root }
      known = findRoot()
      return known
    }
  }

  private static let known = Mutex<String?>(nil)

  /// CGROUP2_SUPER_MAGIC of linux/magic.h.
  private static func isHierarchy(_ path: String) -> Bool { unsafe swtrace_filesystem_type(path) == 0x6367_7270 }

  private static func findRoot() -> String? {
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
