import ArgumentParser
import Foundation
import TestSupport
import Testing
import Tools

private let perfText = """
  cat 12/13 [001] 1.5: 10 cycles:u:\u{20}
  \t1 vfs_read+0x1 ([kernel.kallsyms])
  \t2 read+0x1 (/usr/lib/libc.so.6)
  \t3 main+0x1 (/usr/bin/cat)

  """

private func convert(_ text: String, to name: String, _ arguments: String...) throws -> [UInt8] {
  let folder = try TemporaryFolder()
  let input = try folder.file("in", text)
  var command = try Convert.parseAsRoot([input, "-o", "\(folder.path)/\(name)"] + arguments)
  try command.run()
  return Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(name)")))
}

@Test(arguments: [
  ("out.pb.gz", "\u{1f}"), ("out.pprof", "\u{1f}"), ("out.speedscope.json", #"{"$schema":"https://www.speedscope.app"#),
  ("out.firefox.json", #"{"meta":{"version":24"#), ("out.folded", "cat;main;read;vfs_read 1\n"), ("out", "cat;main;read;vfs_read 1\n"),
  ("out.svg", "<svg "), ("out.html", "<!doctype html>"), ("out.json", #"{"type":"stack","comm":"cat","pid":12,"#),
])
func theEndingChoosesWhatIsWritten(_ name: String, _ start: String) throws {
  let bytes = try convert(perfText, to: name)
  #expect(bytes.starts(with: Array(start.utf8)), "\(String(decoding: bytes.prefix(60), as: UTF8.self))")
}

@Test func formatsReadAsWritten() throws {
  let folder = try TemporaryFolder()
  let first = try folder.file("in.script", perfText)
  for (from, to) in [(first, "a.pb.gz"), ("a.pb.gz", "b.pprof"), ("b.pprof", "c.folded"), ("c.folded", "d.pb.gz"), ("d.pb.gz", "e.folded")]
  {
    let path = from == first ? first : "\(folder.path)/\(from)"
    var command = try Convert.parseAsRoot([path, "-o", "\(folder.path)/\(to)", "--annotate"])
    try command.run()
  }
  #expect(try String(contentsOfFile: "\(folder.path)/c.folded", encoding: .utf8) == "cat;main;read;vfs_read_[k] 1\n")
  #expect(try String(contentsOfFile: "\(folder.path)/e.folded", encoding: .utf8) == "cat;main;read;vfs_read_[k] 1\n")
}

@Test func unreadableInputIsNamedInOneLine() throws {
  func message(_ text: String, _ arguments: String...) throws -> String {
    let folder = try TemporaryFolder()
    var command = try Convert.parseAsRoot([try folder.file("in", text), "-o", "\(folder.path)/out.svg"] + arguments)
    do { try command.run() } catch {
      #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/out.svg"))
      return "\(error)".replacing(folder.path, with: "")
    }
    return "no error"
  }
  #expect(
    try message("a;b") == "cannot read /in as folded stacks: line 1: no count after the last space; a line is \"command;caller;callee 12\"")
  #expect(try message("\u{1f}") == "cannot read /in as pprof: a field in it has the wire type 7, which pprof does not use")
  #expect(
    try message("a;b 1", "--from", "pprof") == "cannot read /in as pprof: it ends in the middle of a field, or a length in it is wrong")
  #expect(
    try message("a 1 1.0: c:\nx")
      == #"cannot read /in as text of perf script: line 2: neither a sample's first line, such as "cat 1234 [001] 5.678: cycles:", nor one of its frames"#
  )
  #expect(throws: (any Error).self) { try Convert.parseAsRoot(["in", "--from", "speedscope"]) }
}

@Test func differencesAreWritten() throws {
  let folder = try TemporaryFolder()
  let (before, after) = (try folder.file("a", "app;f 1\napp;g 3"), try folder.file("b", "app;f 6\napp;g 2"))
  func diff(_ name: String, _ arguments: String...) throws -> String {
    var command = try Diff.parseAsRoot([before, after, "-o", "\(folder.path)/\(name)"] + arguments)
    try command.run()
    return try String(contentsOfFile: "\(folder.path)/\(name)", encoding: .utf8)
  }
  #expect(try diff("out").hasPrefix("  BEFORE    AFTER   CHANGE     NOISE   FUNCTION [MODULE]\n  75.00%   25.00%  -50.00%"))
  #expect(try diff("out.folded") == "app;f 2 6\napp;g 6 2\n")
  #expect(try diff("out.txt", "--format", "folded", "--no-normalize") == "app;f 1 6\napp;g 3 2\n")
  #expect(try diff("out.svg").contains("red grew, blue shrank"))
}
