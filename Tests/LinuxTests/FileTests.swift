import Glibc
import Linux
import SystemPackage
import TestSupport
import Testing

@Suite struct FileTests {
  @Test func readsFilesWhoseSizeIsNotKnown() throws {
    #expect(try File.readAll("/proc/self/stat").isEmpty == false)
    let folder = try TemporaryFolder()
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
    let path = FilePath(try folder.file("large", bytes))
    #expect(try File.readAll(path) == bytes)
    let end = try File.read(File.open(path), at: 299_990, count: 100, name: "large")
    #expect(end == Array(bytes.suffix(10)))
  }

  @Test func refusesMoreThanTheLimit() throws {
    let error = #expect(throws: SystemError.self) { try File.readAll("/dev/zero", limit: 1 << 20) }
    #expect(error?.errno == .fileTooLarge)
  }

  @Test func doesNotWaitForAWriter() throws {
    let folder = try TemporaryFolder()
    #expect(mkfifo(folder.file("fifo"), 0o600) == 0)
    let file = try File.open(FilePath(folder.file("fifo")))
    let identity = File.identity(of: file)
    #expect(identity == nil)
  }

  @Test func followsLinksOnlyWhereAllowed() throws {
    let folder = try TemporaryFolder()
    _ = try folder.file("target", "x")
    #expect(symlink("target", folder.file("link")) == 0)
    #expect(try File.readAll(FilePath(folder.file("link"))) == [UInt8(ascii: "x")])
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
