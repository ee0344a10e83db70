import Glibc
import Linux
import SystemPackage
import TestSupport
import Testing

@Suite struct FileTests {
  @Test func readsFromAnyPlace() throws {
    let folder = try TemporaryFolder()
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
    let path = FilePath(try folder.file("large", bytes))
    #expect(try File.read(File.open(path), at: 0, count: 1 << 20, name: "large") == bytes)
    #expect(try File.read(File.open(path), at: 299_990, count: 100, name: "large") == Array(bytes.suffix(10)))
  }

  /// To open a device or a pipe may have effects, and some files of the kernel are emptied by reading: none is opened.
  @Test func opensNothingButFiles() throws {
    let folder = try TemporaryFolder()
    let pipe = try folder.file("names", "")
    #expect(unlink(pipe) == 0 && mkfifo(pipe, 0o600) == 0)
    for path in [pipe, folder.path, "/dev/zero", "/proc/self/stat", "/sys/kernel/notes"] {
      let error = #expect(throws: SystemError.self) {
        let file = try File.open(FilePath(path))
        _ = consume file
      }
      #expect(error?.errno == .invalidArgument, "\(path)")
    }
    // The writer still waits: nobody has been there.
    let writer = open(pipe, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
    #expect(writer < 0 && errno == ENXIO)
  }

  @Test func followsLinksOnlyWhereAllowed() throws {
    let folder = try TemporaryFolder()
    _ = try folder.file("target", "x")
    #expect(symlink("target", folder.file("link")) == 0)
    #expect(try File.read(File.open(FilePath(folder.file("link"))), at: 0, count: 9, name: "link") == [UInt8(ascii: "x")])
    let error = #expect(throws: SystemError.self) {
      let file = try File.open(FilePath(folder.file("link")), followsLink: false)
      _ = consume file
    }
    #expect(error?.errno == .tooManySymbolicLinkLevels)
  }

  @Test func escapesNamesInMessages() {
    let error = SystemError("open", "a\u{1B}[31m\n", errno: .permissionDenied)
    #expect(error.description == #"cannot open a\u{1b}[31m\u{a}: Permission denied"#)
  }

  @Test func trustsOnlyWhatOthersCannotChange() throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("file", "x")
    let own = try File.open(FilePath(path))
    let isOwnTrusted = File.isTrusted(own)
    #expect(isOwnTrusted)
    #expect(chmod(path, 0o666) == 0)
    let shared = try File.open(FilePath(path))
    let isSharedTrusted = File.isTrusted(shared)
    #expect(!isSharedTrusted)
  }
}
