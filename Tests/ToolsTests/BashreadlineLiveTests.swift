import Foundation
import TestSupport
import Testing

@Suite(.requiresBPF, .serialized) struct BashreadlineLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A real interactive bash under another name on a terminal of its own; each line is typed after the prompt for it.
  private func workload() throws -> String {
    try folder.file(
      "shell.py",
      #"""
      import os, pty
      pid, fd = pty.fork()
      if pid == 0:
          environment = {"PS1": "READY>", "TERM": "dumb", "HISTFILE": "/dev/null", "INPUTRC": "/dev/null"}
          os.execve("/bin/bash", ["renamed", "--norc", "--noprofile", "-i"], environment)
      def wait():
          text = b""
          while not text.endswith(b"READY>"):
              text += os.read(fd, 65536)
      wait()
      for line in [b": number %d" % n for n in range(13)] + [b": " + b"a" * 200, b": " + b"b" * 10007, b""]:
          for start in range(0, len(line), 500):
              os.write(fd, line[start:start + 500])
          os.write(fd, b"\n")
          wait()
      os.write(fd, b"exit\n")
      try:
          while os.read(fd, 65536):
              pass
      except OSError:
          pass
      os.waitpid(pid, 0)
      """#)
  }

  @Test func everyLineIsPrintedCompletely() throws {
    let finished = try Swtrace.run(["bashreadline", "--format", "json", "--", "/usr/bin/python3", try workload()])
    #expect(finished.status == 0)
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.delivered == 17 && counts.lost.filter { $0.value > 0 } == [:])
    let lines = records.dropLast().map { $0["command"] as? String ?? "" }
    let long = [": " + String(repeating: "a", count: 200), ": " + String(repeating: "b", count: 10007)]
    #expect(lines == (0..<13).map { ": number \($0)" } + long + ["", "exit"])
    #expect(records.dropLast().allSatisfy { $0["command_complete"] as? Bool == true })
  }

  @Test func tableHasBCCsColumns() throws {
    let finished = try Swtrace.run(["bashreadline", "--", "/usr/bin/python3", try workload()])
    #expect(finished.lines.first == "TIME     PID     COMMAND")
    #expect(finished.lines.count == 18)
    #expect(finished.lines[15].hasSuffix(" : " + String(repeating: "b", count: 10007)))
  }

  @Test func aMissingFunctionIsExplained() throws {
    let finished = try Swtrace.run(["bashreadline", "-s", "c"])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("has no function readline"))
  }
}
