internal import CLinux
internal import Glibc
package import SystemPackage

/// What `fstat` says about an open file, as far as it identifies it.
///
/// Not enough to tell files apart across machines, nor on every overlay file system: a build ID comes first where there is one.
package struct FileIdentity: Hashable, Sendable {
  package var device: UInt64
  package var inode: UInt64
  package var size: UInt64
  package var modifiedNanoseconds: Int64
  /// The user who owns it.
  package var owner: UInt32

  /// The device as `Mapping` has it. In the number of fstat(2) its parts are mixed (makedev(3)).
  package var mappedDevice: UInt64 { (device >> 8 & 0xfff | device >> 32 & ~0xfff) << 32 | device & 0xff | device >> 12 & 0xffff_ff00 }
}

/// Bounded reading of files that the kernel or a stranger writes.
package enum File {
  /// Opens a regular file for reading.
  ///
  /// The name may be a stranger's, and to open a device or a pipe has effects: so it is looked at first. Files that the kernel makes up
  /// are none here either: reading some of them takes away what is read.
  ///
  /// - Parameter followsLink: false refuses a symbolic link as the last component. `/proc/PID/map_files` needs true.
  /// - Throws: `EINVAL` for what is no regular file.
  package static func open(_ path: FilePath, followsLink: Bool = true) throws(SystemError) -> Descriptor {
    let number = unsafe path.withPlatformString { unsafe swtrace_open_reference($0, followsLink ? 0 : O_NOFOLLOW) }
    guard number >= 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    return try open(Descriptor(owning: number), path)
  }

  /// Opens for reading what a reference stands for.
  private static func open(_ reference: consuming Descriptor, _ path: FilePath) throws(SystemError) -> Descriptor {
    var status = stat()
    guard unsafe fstat(reference.rawValue, &status) == 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    if status.st_mode & S_IFMT == S_IFLNK { throw SystemError("open", path.string, errno: .tooManySymbolicLinkLevels) }
    guard status.st_mode & S_IFMT == S_IFREG, !madeUp.contains(swtrace_filesystem_type_of(reference.rawValue)) else {
      throw SystemError("read", path.string, errno: .invalidArgument)
    }
    let number = unsafe Glibc.open("/proc/self/fd/\(reference.rawValue)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard number >= 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    return Descriptor(owning: number)
  }

  /// procfs, sysfs, tracefs, debugfs, securityfs (linux/magic.h).
  private static let madeUp: Set<Int> = [0x9fa0, 0x6265_6572, 0x7472_6163, 0x6462_6720, 0x7363_6673]

  /// A reference that keeps something alive, such as a namespace.
  package static func openReference(_ path: FilePath) throws(SystemError) -> Descriptor {
    let number = unsafe path.withPlatformString { unsafe Glibc.open($0, O_RDONLY | O_CLOEXEC) }
    guard number >= 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    return Descriptor(owning: number)
  }

  /// Opens a folder as a place to start from (`O_PATH`), such as `/proc/PID/root`.
  package static func openDirectory(_ path: FilePath) throws(SystemError) -> Descriptor {
    let number = unsafe path.withPlatformString { unsafe swtrace_open_place($0) }
    guard number >= 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    return Descriptor(owning: number)
  }

  /// Opens a file as a process whose root directory is `root` would: no link in it leads outside.
  ///
  /// openat2(2) with `RESOLVE_IN_ROOT`, Linux 5.6.
  package static func open(_ path: FilePath, inRoot root: borrowing Descriptor) throws(SystemError) -> Descriptor {
    let number = unsafe path.withPlatformString { unsafe swtrace_open_reference_in_root(root.rawValue, $0) }
    guard number >= 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    return try open(Descriptor(owning: number), path)
  }

  /// A path from the root on, whatever folder this process is in.
  package static func absolute(_ path: FilePath) -> FilePath {
    guard !path.isAbsolute, let folder = target(of: "/proc/self/cwd") else { return path }
    return FilePath(folder).pushing(path)
  }

  /// Where a symbolic link leads; nil for what is none.
  package static func target(of link: FilePath) -> String? {
    var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let length = unsafe link.withPlatformString { link in
      unsafe path.withUnsafeMutableBytes { buffer in
        unsafe readlink(link, buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
      }
    }
    return length >= 0 ? String(decoding: path[..<length], as: UTF8.self) : nil
  }

  /// Who and what an open file is, or nil when it is not a regular file.
  package static func identity(of file: borrowing Descriptor) -> FileIdentity? {
    var status = stat()
    guard unsafe fstat(file.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return FileIdentity(
      device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: UInt64(max(0, status.st_size)),
      modifiedNanoseconds: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec),
      owner: status.st_uid)
  }

  /// Whether only root or swtrace's own user can change the file: such a file may be mapped into memory.
  ///
  /// A mapped file that somebody truncates ends its reader with SIGBUS.
  package static func isTrusted(_ file: borrowing Descriptor) -> Bool {
    var status = stat()
    guard unsafe fstat(file.rawValue, &status) == 0 else { return false }
    return (status.st_uid == 0 || status.st_uid == geteuid()) && status.st_mode & (S_IWGRP | S_IWOTH) == 0
  }

  /// Up to `count` bytes from a position; fewer at the end of the file.
  package static func read(
    _ file: borrowing Descriptor, at offset: UInt64, count: Int, name: String
  ) throws(SystemError) -> [UInt8] {
    var failure: Int32 = 0
    let content = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let read = unsafe pread(file.rawValue, buffer.baseAddress! + filled, count - filled, off_t(offset) + off_t(filled))
        if read < 0, errno == EINTR { continue }
        if read < 0 { failure = errno }
        if read <= 0 { break }
        filled += read
      }
    }
    if failure != 0 { throw SystemError("read", name, errno: Errno(rawValue: failure)) }
    return content
  }
}
