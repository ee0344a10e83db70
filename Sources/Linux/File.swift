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
}

/// Bounded reading of files that the kernel or a stranger writes.
package enum File {
  /// Opens a file for reading without waiting for a peer (`O_NONBLOCK`) and closes it on exec.
  ///
  /// - Parameter followsLink: false refuses a symbolic link as the last component. `/proc/PID/map_files` needs true.
  package static func open(_ path: FilePath, followsLink: Bool = true) throws(SystemError) -> Descriptor {
    let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (followsLink ? 0 : O_NOFOLLOW)
    let number = unsafe path.withPlatformString { unsafe Glibc.open($0, flags) }
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
    let flags = UInt64(O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    let number = unsafe path.withPlatformString { unsafe swtrace_open_in_root(root.rawValue, $0, flags) }
    guard number >= 0 else { throw SystemError("open", path.string, errno: Errno(rawValue: errno)) }
    return Descriptor(owning: number)
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

  /// The whole content of a file, read until its end; the sizes that /proc reports mean nothing.
  ///
  /// Fails with `.fileTooLarge` beyond `limit` bytes, and with `.noSuchProcess` where a process ended while it was read.
  package static func readAll(_ path: FilePath, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
    try readAll(open(path), name: path.string, limit: limit)
  }

  /// The rest of an open file.
  package static func readAll(_ file: borrowing Descriptor, name: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
    var content: [UInt8] = []
    var chunk = 64 << 10
    while true {
      let count = try read(from: file, chunk, at: nil, appendingTo: &content, name: name)
      if count == 0 { return content }
      if content.count > limit { throw SystemError("read", name, errno: .fileTooLarge) }
      // Larger reads only where there is more: most files of /proc are small.
      chunk = min(1 << 20, max(chunk, content.count))
    }
  }

  /// Up to `count` bytes from a position; fewer at the end of the file.
  package static func read(
    _ file: borrowing Descriptor, at offset: UInt64, count: Int, name: String
  ) throws(SystemError) -> [UInt8] {
    var content: [UInt8] = []
    while content.count < count {
      let position = offset &+ UInt64(content.count)
      if try read(from: file, count - content.count, at: position, appendingTo: &content, name: name) == 0 { break }
    }
    return content
  }

  private static func read(
    from file: borrowing Descriptor, _ size: Int, at offset: UInt64?, appendingTo content: inout [UInt8], name: String
  ) throws(SystemError) -> Int {
    let number = file.rawValue
    while true {
      let start = content.count
      var failure: Int32 = 0
      let piece = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
        let result =
          if let offset {
            unsafe pread(number, buffer.baseAddress, size, off_t(bitPattern: offset))
          } else {
            unsafe Glibc.read(number, buffer.baseAddress, size)
          }
        if result < 0 { failure = errno }
        initialized = max(0, result)
      }
      if failure == EINTR { continue }
      if failure != 0 { throw SystemError("read", name, errno: Errno(rawValue: failure)) }
      if start == 0 { content = piece } else { content += piece }
      return piece.count
    }
  }
}

extension off_t {
  /// Addresses of `/proc/PID/mem` above the middle of the address space are negative offsets to C.
  fileprivate init(bitPattern: UInt64) { self = off_t(Int64(bitPattern: bitPattern)) }
}
