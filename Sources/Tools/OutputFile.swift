import Glibc
package import SystemPackage

/// Writes files so that a reader sees the old content or all of the new, never a part.
package enum OutputFile {
  /// Writes beside `path` and then renames; symbolic links are followed, and an existing file's permissions kept. What is not a regular
  /// file (`/dev/stdout`, a pipe) is written to directly.
  ///
  /// Throws the `Errno` of what failed; the old content is then still there, and nothing is left behind.
  package static func write(_ bytes: [UInt8], to path: FilePath) throws {
    var status = stat()
    let exists = path.withPlatformString { stat($0, &status) } == 0
    if exists, status.st_mode & S_IFMT != S_IFREG {
      let descriptor = try FileDescriptor.open(path, .writeOnly, options: .closeOnExec)
      try descriptor.closeAfter { _ = try descriptor.writeAll(bytes) }
      return
    }
    let target = exists ? resolved(path) : path
    let temporary = target.removingLastComponent().appending(".\(target.lastComponent?.string ?? "output").\(getpid()).new")
    let descriptor = try FileDescriptor.open(
      temporary, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
      permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
    do {
      try descriptor.closeAfter {
        if exists, fchmod(descriptor.rawValue, status.st_mode & 0o7777) != 0 { throw Errno(rawValue: errno) }
        try descriptor.writeAll(bytes)
      }
      let renamed = temporary.withPlatformString { from in target.withPlatformString { rename(from, $0) } }
      if renamed != 0 { throw Errno(rawValue: errno) }
    } catch {
      _ = temporary.withPlatformString(unlink)
      throw error
    }
  }

  private static func resolved(_ path: FilePath) -> FilePath {
    guard let real = path.withPlatformString({ realpath($0, nil) }) else { return path }
    defer { free(real) }
    return FilePath(platformString: real)
  }
}
