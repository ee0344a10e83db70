import ArgumentParser
import CLinux
import Glibc
import SystemPackage
import Testing
import Tools

/// Runs the command in a folder of its own and gives what it wrote.
private func flamegraph(_ folded: String, _ arguments: String..., output: String) throws -> String {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  try write(folded, to: "\(folder)/in.folded")
  var command = try Flamegraph.parseAsRoot(["\(folder)/in.folded", "-o", "\(folder)/\(output)"] + arguments)
  try command.run()
  return try read("\(folder)/\(output)")
}

@Test func theEndingChoosesTheFormat() throws {
  #expect(try flamegraph("a;b 1", output: "out.svg").hasPrefix("<svg "))
  #expect(try flamegraph("a;b 1", output: "out.html").hasPrefix("<!doctype html>"))
  #expect(try flamegraph("a;b 1", output: "out").hasPrefix("<svg "))
  #expect(try flamegraph("a;b 1", "--format", "html", output: "out.svg").hasPrefix("<!doctype html>"))
}

@Test func titleAndUnitAreShown() throws {
  #expect(try flamegraph("a;b 1", output: "out.svg").contains(">in.folded</text>"))
  let picture = try flamegraph("a;b 2500", "--title", "mine", "--unit", "us", output: "out.svg")
  #expect(picture.contains(">mine</text>") && picture.contains(">2.50 ms in all</text>"))
}

@Test func badInputIsNamedAndNothingWritten() throws {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  try write("a;b 1\na;b\n", to: "\(folder)/in.folded")
  try write("old", to: "\(folder)/out.svg")
  func message(_ arguments: String...) throws -> String {
    var command = try Flamegraph.parseAsRoot(arguments)
    do { try command.run() } catch { return "\(error)".replacing(folder, with: "") }
    return "no error"
  }
  #expect(
    try message("\(folder)/in.folded", "-o", "\(folder)/out.svg")
      == "cannot read /in.folded as folded stacks: line 2: no count after the last space; a line is \"command;caller;callee 12\"")
  #expect(try read("\(folder)/out.svg") == "old")
  #expect(try message("\(folder)/none") == "cannot read /none: No such file or directory")
  #expect(try message(folder) == "cannot read : Is a directory")
  try write("a;b 1", to: "\(folder)/in.folded")
  #expect(
    try message("\(folder)/in.folded", "-o", "\(folder)/none/out.svg")
      == "cannot create /none/out.svg: No such file or directory; give --output a folder that exists and can be written")
}

@Test func filesAppearWholeAndKeepTheirKind() throws {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  try write("old", to: "\(folder)/file")
  #expect(chmod("\(folder)/file", 0o640) == 0)
  #expect(symlink("file", "\(folder)/link") == 0)
  try output("new", to: "\(folder)/link")
  var status = stat()
  #expect(lstat("\(folder)/link", &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
  #expect(try read("\(folder)/file") == "new")
  #expect(stat("\(folder)/file", &status) == 0 && status.st_mode & 0o7777 == 0o640)
  try output("", to: "/dev/null")
  #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  #expect(throws: (any Error).self) { try output("x", to: "\(folder)/file/below") }
  #expect(names(in: folder) == ["file", "link"])
}

private struct Failure: Error { let text: String }

private func temporaryFolder() throws -> String {
  var template = Array("/tmp/swtrace-test-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw Failure(text: "mkdtemp: \(errno)") }
  return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}

private func write(_ text: String, to path: String) throws {
  guard let file = fopen(path, "w") else { throw Failure(text: "cannot write \(path)") }
  fputs(text, file)
  fclose(file)
}

private func read(_ path: String) throws -> String {
  guard let file = fopen(path, "r") else { throw Failure(text: "cannot read \(path)") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  while case let byte = getc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
  return String(decoding: bytes, as: UTF8.self)
}

private func names(in folder: String) -> [String] {
  guard let directory = opendir(folder) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    withUnsafeBytes(of: entry.pointee.d_name) { bytes in
      names.append(String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self))
    }
  }
  return names.filter { $0 != "." && $0 != ".." }.sorted()
}

private func remove(_ folder: String) {
  for name in names(in: folder) { unlink("\(folder)/\(name)") }
  rmdir(folder)
}

/// Writes a file as the tools do.
private func output(_ text: String, to path: String) throws {
  var output = try Output(path: path)
  output.buffer = Array(text.utf8)
  try output.commit()
}
