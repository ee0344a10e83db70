internal import CLinux
internal import Glibc
internal import SystemPackage

/// A file that a process has mapped, open for reading: what is mapped, not what has its path now.
package struct MappedFile: ~Copyable {
  private let descriptor: Descriptor
  package let identity: FileIdentity
  /// How it is known that it is the file.
  package enum Evidence {
    /// Its numbers are those of the mapping: it is the file of every mapping with these numbers.
    case numbers
    /// A mapping of ours is listed with the same numbers. On btrfs files of several subvolumes have them in common.
    case listing
    /// The kernel's link to it or its path says so, which is true of this process only.
    case place
  }

  package let evidence: Evidence

  /// Why there is no such file to be had.
  package enum Absence: Error {
    case gone
    /// Another one has its path.
    case replaced
  }

  /// Opens it by the kernel's own link to it, whatever its path means here and whether or not it was deleted.
  ///
  /// - Returns: nil when the process is gone, and without CAP_CHECKPOINT_RESTORE (Linux 5.9; before, CAP_SYS_ADMIN).
  package init?(_ mapping: Mapping, of process: ProcessID) {
    let range = "\(String(mapping.start.rawValue, radix: 16))-\(String(mapping.end.rawValue, radix: 16))"
    let link = FilePath("/proc/\(process)/map_files/\(range)")
    guard let descriptor = try? File.open(link), let identity = File.identity(of: descriptor) else { return nil }
    let evidence = Self.evidence(descriptor, identity, mapping)
    // Another program may be there by now, and by a second look the former again: the path has to be that of what was opened.
    guard evidence != nil || File.target(of: FilePath("/proc/self/fd/\(descriptor.rawValue)")) == mapping.path else { return nil }
    self.descriptor = consume descriptor
    (self.identity, self.evidence) = (identity, evidence ?? .place)
  }

  /// Opens it by its path, where it still leads there.
  ///
  /// - Parameter root: what the process sees, or saw.
  package init(_ mapping: Mapping, inRoot root: RootDirectory) throws(Absence) {
    guard let descriptor = try? root.open(FilePath(mapping.path)), let identity = File.identity(of: descriptor) else { throw .gone }
    try self.init(consume descriptor, identity, mapping)
  }

  /// Opens the program of a process where that is what is mapped, also when it was deleted or replaced. It takes CAP_SYS_PTRACE only.
  package init(_ mapping: Mapping, asProgramOf process: ProcessID) throws(Absence) {
    guard let descriptor = try? File.open(FilePath("/proc/\(process)/exe")), let identity = File.identity(of: descriptor) else {
      throw .gone
    }
    try self.init(consume descriptor, identity, mapping)
  }

  private init(_ descriptor: consuming Descriptor, _ identity: FileIdentity, _ mapping: Mapping) throws(Absence) {
    guard let evidence = Self.evidence(descriptor, identity, mapping) else { throw .replaced }
    self.descriptor = consume descriptor
    (self.identity, self.evidence) = (identity, evidence)
  }

  /// The file without what is known of it.
  package consuming func open() -> Descriptor { descriptor }

  /// Why a file is that of a mapping; nil when it is not.
  ///
  /// Some file systems (overlays, btrfs) have two pairs of numbers for one file, of which fstat(2) tells one and the list of mappings the
  /// other: then what is listed of a mapping of ours decides.
  private static func evidence(_ file: borrowing Descriptor, _ identity: FileIdentity, _ mapping: Mapping) -> Evidence? {
    if identity.inode == mapping.inode, identity.mappedDevice == mapping.device { return .numbers }
    if isListed(file, mapping) { return .listing }
    return isLikely(file, identity, mapping) ? .place : nil
  }

  private static func isListed(_ file: borrowing Descriptor, _ mapping: Mapping) -> Bool {
    let size = Int(getpagesize())
    let page = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, file.rawValue, 0)
    guard unsafe page != MAP_FAILED, let page = unsafe page else { return false }
    defer { unsafe munmap(page, size) }
    let listed = ProcessMaps(ofOwnProcess: ())?[VirtualAddress(UInt64(UInt(bitPattern: page)))]
    return listed?.inode == mapping.inode && listed?.device == mapping.device
  }

  /// Of files on overlays kernels from 6.8 to 6.17 record another device than they list.
  private static func isLikely(_ file: borrowing Descriptor, _ identity: FileIdentity, _ mapping: Mapping) -> Bool {
    identity.inode == mapping.inode && swtrace_filesystem_type_of(file.rawValue) == overlay
  }

  /// OVERLAYFS_SUPER_MAGIC (linux/magic.h).
  private static let overlay = 0x794c_7630
}
