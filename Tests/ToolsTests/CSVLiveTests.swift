import Foundation
import TestSupport
import Testing

/// Whole outputs as CSV: the heading as documented, the exact rows, and names that need quotes.
struct CSV {
  let heading: String
  let rows: [[String]]

  /// Runs a tool with a command; fails unless every row has the heading's fields.
  init(_ arguments: [String]) throws {
    let finished = try Swtrace.run([arguments[0], "--format", "csv"] + arguments.dropFirst())
    guard finished.status == 0, let heading = finished.lines.first else { throw RunError(finished.errorText) }
    self.heading = heading
    rows = try finished.lines.dropFirst().map { try Self.fields($0) }
    let count = heading.split(separator: ",").count
    guard rows.allSatisfy({ $0.count == count }) else { throw RunError("not \(count) fields: \(finished.outputText)") }
    let time = heading.split(separator: ",").firstIndex(of: "time_unix_ns") ?? 0
    // In this century.
    guard rows.allSatisfy({ Int($0[time]) ?? 0 > 1_600_000_000_000_000_000 }) else { throw RunError("no time: \(rows)") }
  }

  /// The values of a column.
  func column(_ name: String) -> [String] {
    guard let index = heading.split(separator: ",").firstIndex(of: Substring(name)) else { return [] }
    return rows.map { $0[index] }
  }

  /// The fields of a line (RFC 4180); no field of ours has a line end within.
  private static func fields(_ line: String) throws -> [String] {
    var fields = [""]
    var isQuoted = false
    var previous: Character = ","
    for character in line {
      switch character {
      case "\"":
        // The second of two within quotes stands for one.
        if previous == "\"", !isQuoted { fields[fields.count - 1].append("\"") }
        isQuoted.toggle()
      case "," where !isQuoted: fields.append("")
      default: fields[fields.count - 1].append(character)
      }
      previous = character
    }
    guard !isQuoted else { throw RunError("a quote is not closed: \(line)") }
    return fields
  }
}

@Suite(.requiresBPF, .serialized) struct CSVLiveTests {
  /// A name of a process, a program, a function: with a comma, a quote and a line end, which is written as two characters.
  private static let name = "a,\"b\nc"
  private static let shown = "a,\"b\\nc"

  /// Compiled once for all tests: in a virtual machine that takes longer than most of them.
  private static let shared = Result { try TemporaryFolder() }
  private static let program = Result { try build() }

  private let folder: TemporaryFolder
  private let program: String

  init() throws {
    folder = try Self.shared.get()
    program = try Self.program.get()
  }

  private static func build() throws -> String {
    // Static values are never released: the folder is removed when the tests end.
    atexit { if let path = try? CSVLiveTests.shared.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <signal.h>
      #include <string.h>
      #include <sys/prctl.h>
      #include <sys/resource.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <unistd.h>
      #define NAME "a,\\"b\\nc"
      #define CHILD(...) do { if (!fork()) { __VA_ARGS__; _exit(9); } wait(0); } while (0)
      volatile int sink;
      __attribute__((noinline)) void odd(void) __asm__("\\"odd,name\\"");
      void odd(void) { sink++; }
      int main(int count, char **arguments) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        /* A link to a program, in the folder of this one. */
        *strrchr(arguments[0], '/') = 0;
        chdir(arguments[0]);
        symlink("/bin/true", NAME);
        if (!strcmp(arguments[1], "exec")) {
          for (int i = 0; i < 7; i++) CHILD(execl(NAME, "x,y", "q\\"r", "two words", (char *)0));
        }
        prctl(PR_SET_NAME, NAME);
        if (!strcmp(arguments[1], "exec")) {
          for (int i = 0; i < 3; i++) execl("/nonexistent", "no", (char *)0);
        } else if (!strcmp(arguments[1], "exit")) {
          for (int i = 0; i < 11; i++) CHILD(_exit(7));
          for (int i = 0; i < 5; i++) CHILD(raise(SIGKILL));
        } else if (!strcmp(arguments[1], "calls")) {
          for (int i = 0; i < 3; i++) CHILD(for (int j = 0; j < 211; j++) syscall(SYS_getppid); _exit(0));
          for (int i = 0; i < 13; i++) odd();
        }
        return 0;
      }
      """, in: shared.get(), name: "odd")
  }

  @Test func execsnoop() throws {
    let csv = try CSV(["execsnoop", "-x", "--", program, "exec"])
    #expect(csv.heading == "time_unix_ns,elapsed_ns,uid,cpu,comm,pid,ppid,parent_comm,ret,path,args,args_complete")
    #expect(csv.rows.count == 1 + 7 + 3)
    #expect(csv.column("comm") == ["odd"] + Array(repeating: Self.shown, count: 10))
    #expect(csv.column("ret") == Array(repeating: "0", count: 8) + Array(repeating: "-2", count: 3))
    #expect(csv.column("path") == [program] + Array(repeating: Self.shown, count: 7) + Array(repeating: "/nonexistent", count: 3))
    #expect(csv.column("args") == ["\(program) exec"] + Array(repeating: "x,y q\"r two words", count: 7) + Array(repeating: "no", count: 3))
    #expect(Set(csv.column("args_complete")) == ["true"])
    #expect(Set(csv.column("uid")) == ["0"])
    #expect(Set(csv.column("pid")).count == 1 + 7)
    #expect(csv.column("parent_comm").dropFirst().prefix(7) == Array(repeating: "odd", count: 7)[...])
  }

  @Test func exitsnoop() throws {
    let csv = try CSV(["exitsnoop", "--", program, "exit"])
    #expect(csv.heading == "time_unix_ns,comm,pid,ppid,tid,uid,age_ns,reason,exit_code,signal,signal_name,core_dumped")
    #expect(csv.column("comm") == Array(repeating: Self.shown, count: 17))
    #expect(csv.rows.prefix(11).allSatisfy { $0[7...] == ["code 7", "7", "", "", "false"] })
    #expect(csv.rows[11..<16].allSatisfy { $0[7...] == ["signal 9 (KILL)", "", "9", "KILL", "false"] })
    #expect(csv.rows[16][7...] == ["0", "0", "", "", "false"])
    #expect(Set(csv.column("pid")).count == 17)
    #expect(csv.column("tid") == csv.column("pid"))
  }

  @Test func syscount() throws {
    var csv = try CSV(["syscount", "--comm", Self.name, "--", program, "calls"])
    #expect(csv.heading == "interval,time_unix_ns,syscall,syscall_number,compat,count,errors")
    let calls = csv.rows.filter { $0[2] == "getppid" }
    #expect(calls.count == 1)
    #expect(calls.first?[4...] == ["false", "633", "0"])
    #expect(Set(csv.column("interval")) == ["1"])
    #expect(Set(csv.column("syscall")).count == csv.rows.count)

    csv = try CSV(["syscount", "-P", "--comm", Self.name, "--", program, "calls"])
    #expect(csv.heading == "interval,time_unix_ns,pid,comm,count,errors")
    #expect(csv.column("comm") == Array(repeating: Self.shown, count: 1 + 3))
    #expect(csv.column("count").count { Int($0) ?? 0 >= 211 } == 3)

    csv = try CSV(["syscount", "-L", "--comm", Self.name, "--", program, "calls"])
    #expect(csv.heading == "interval,time_unix_ns,syscall,syscall_number,compat,count,total_ns,errors,average_ns,p99_ns,max_ns")
    #expect(csv.rows.filter { $0[2] == "getppid" }.map { $0[5] } == ["633"])
  }

  @Test func funccount() throws {
    var csv = try CSV(["funccount", "\(program):odd*,\(program):main", "--", program, "calls"])
    #expect(csv.heading == "interval,time_unix_ns,function,count")
    // In ascending order of the counts.
    #expect(csv.rows.map { [$0[0]] + $0[2...] } == [["1", "main", "1"], ["1", "odd,name", "13"]])
    // The name is set before the calls, and after main began.
    csv = try CSV(["funccount", "\(program):odd*,\(program):main", "--comm", Self.name, "--", program, "calls"])
    #expect(csv.rows.map { [$0[0]] + $0[2...] } == [["1", "odd,name", "13"]])
  }

  @Test func funclatency() throws {
    var csv = try CSV(["funclatency", "\(program):main", "--", program, "calls"])
    #expect(csv.heading == "time_unix_ns,min_ns,max_ns,count")
    // One call is in one bucket.
    #expect(csv.column("count") == ["1"])
    csv = try CSV(["funclatency", "-F", "\(program):odd*,\(program):main", "--", program, "calls"])
    #expect(csv.heading == "time_unix_ns,function,min_ns,max_ns,count")
    #expect(csv.rows.filter { $0[1] == "main" }.map { $0[4] } == ["1"])
    let odd = csv.rows.filter { $0[1] == "odd,name" }
    #expect(odd.reduce(0) { $0 + (Int($1[4]) ?? 0) } == 13)
    #expect(csv.rows.count == 1 + odd.count)
    #expect(csv.rows.allSatisfy { Int($0[2]) ?? .max <= Int($0[3]) ?? 0 })
  }

  /// An interactive bash whose file has the name; two lines are typed.
  @Test func bashreadline() throws {
    let shell = try folder.file(
      "shell.py",
      #"""
      import os, pty, sys
      name = os.path.dirname(sys.argv[0]) + "/a,\"b\nc.shell"
      os.symlink("/bin/bash", name)
      pid, fd = pty.fork()
      if pid == 0:
          environment = {"PS1": "READY>", "TERM": "dumb", "HISTFILE": "/dev/null", "INPUTRC": "/dev/null"}
          os.execve(name, ["bash", "--norc", "--noprofile", "-i"], environment)
      text = b""
      while not text.endswith(b"READY>"):
          text += os.read(fd, 65536)
      os.write(fd, b": one, \"two\"\nexit\n")
      try:
          while os.read(fd, 65536):
              pass
      except OSError:
          pass
      os.waitpid(pid, 0)
      """#)
    let csv = try CSV(["bashreadline", "--", "/usr/bin/python3", shell])
    #expect(csv.heading == "time_unix_ns,pid,uid,comm,command,command_complete")
    #expect(csv.rows.map { Array($0[2...]) } == [": one, \"two\"", "exit"].map { ["0", "\(Self.shown).shell", $0, "true"] })
  }
}
