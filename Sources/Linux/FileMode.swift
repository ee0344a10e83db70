internal import CLinux
internal import Glibc

/// What kind of file a path leads to, and who may use it (inode(7)).
package struct FileMode: Sendable {
  private let bits: mode_t

  /// Nil where there is none or it cannot be asked for; `errno` then says why.
  package init?(of path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    bits = status.st_mode
  }

  package var isFile: Bool { bits & S_IFMT == S_IFREG }
  package var isFolder: Bool { bits & S_IFMT == S_IFDIR }
  /// Whether those may do anything with it who are neither its owner nor of its group.
  package var isForOthers: Bool { bits & 0o007 != 0 }
}
