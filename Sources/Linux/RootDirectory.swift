internal import CLinux
internal import Glibc
package import SystemPackage

/// The root of a mount namespace or of a chroot, held open so that paths in it can be read after its processes have ended.
package final class RootDirectory: Sendable {
  /// What tells one root from another: the same directory may carry other mounts in another namespace.
  package struct Identity: Hashable, Sendable {
    var namespace: UInt64
    var device: UInt64
    var inode: UInt64

    /// Nil when the process is gone or may not be looked at.
    package init?(of process: ProcessID, proc: FilePath = "/proc") {
      self.init(proc.appending("\(process)"))
    }

    /// swtrace's own.
    package static let own = Identity("/proc/self")

    private init?(_ folder: FilePath) {
      guard let namespace = Self.status(folder.appending("ns/mnt")), let root = Self.status(folder.appending("root/.")) else { return nil }
      self.namespace = UInt64(namespace.st_ino)
      device = UInt64(root.st_dev)
      inode = UInt64(root.st_ino)
    }

    private static func status(_ path: FilePath) -> stat? {
      var status = stat()
      return unsafe path.withPlatformString { unsafe stat($0, &status) } == 0 ? status : nil
    }
  }

  /// swtrace's own root.
  package static let own = RootDirectory()

  /// Nil where its process was gone too soon.
  package let identity: Identity?

  /// Nil for swtrace's own.
  private let directory: Descriptor?
  /// The mounts below the root live only as long as their namespace, which ends with its last process unless somebody holds it.
  private let namespace: Descriptor?

  private init() {
    directory = nil
    namespace = nil
    identity = .own
  }

  /// The root that a living process sees.
  package init(of process: ProcessID, proc: FilePath = "/proc") throws(SystemError) {
    let directory = try File.openDirectory(proc.appending("\(process)/root"))
    let namespace = try File.openReference(proc.appending("\(process)/ns/mnt"))
    self.directory = consume directory
    self.namespace = consume namespace
    identity = Identity(of: process, proc: proc)
  }

  /// Opens a file by its absolute path in this root; links in it do not lead outside.
  package func open(_ path: FilePath) throws(SystemError) -> Descriptor {
    switch directory {
    case .some(let directory): try File.open(path, inRoot: directory)
    case .none: try File.open(path)
    }
  }
}
