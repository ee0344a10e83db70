import Foundation
import TestSupport
import Testing

@Suite(.requiresBPF, .serialized) struct ExecsnoopLiveTests {
  private let folder: TemporaryFolder

  /// Compiled once for all tests: in a virtual machine that takes longer than most of them.
  private static let shared = Result { try TemporaryFolder() }
  private static let program = Result { try build() }

  init() throws { folder = try Self.shared.get() }

  private func workload() throws -> String { try Self.program.get() }

  /// Starts /bin/true in many ways; each child is waited for, so the order is fixed.
  private static func build() throws -> String {
    // Static values are never released: the folder is removed when the tests end.
    atexit { if let path = try? ExecsnoopLiveTests.shared.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <pthread.h>
      #include <signal.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <unistd.h>
      static char *none[] = { 0 };
      static char *big(int size) { char *text = malloc(size + 1); memset(text, 'x', size); text[size] = 0; return text; }
      static void *other(void *name) { execve("/bin/true", (char *[]) { "thread", 0 }, none); _exit(9); }
      #define CHILD(...) do { int pid = fork(); if (!pid) { __VA_ARGS__; _exit(9); } waitpid(pid, 0, 0); } while (0)
      int main(int count, char **arguments) {
        int stopped = count > 2 ? atoi(arguments[2]) : 0;
        if (!strcmp(arguments[1], "many")) {
          static char *many[128]; char numbers[127][8];
          many[0] = "many";
          for (int i = 1; i < 127; i++) { sprintf(numbers[i], "a%d", i); many[i] = numbers[i]; }
          CHILD(execve("/bin/true", many, none));
          CHILD(execve("/bin/true", (char *[]) { "large", big(100000), "end", 0 }, none));
          CHILD(execve("/bin/true", (char *[]) { "odd", "", "a\\nb", "\\x1b[31m", "\\xff", "q\\"\\\\", "", 0 }, none));
        } else if (!strcmp(arguments[1], "at")) {
          int d = open("/bin", O_PATH | O_DIRECTORY), f = open("/bin/true", O_PATH);
          for (int i = 0; i < 12; i++) CHILD(syscall(SYS_execveat, d, "true", (char *[]) { "at", 0 }, none, 0));
          for (int i = 0; i < 7; i++) CHILD(syscall(SYS_execveat, f, "", (char *[]) { "at", 0 }, none, AT_EMPTY_PATH));
        } else if (!strcmp(arguments[1], "thread")) {
          for (int i = 0; i < 5; i++) CHILD(pthread_t t; pthread_create(&t, 0, other, 0); pause());
        } else if (!strcmp(arguments[1], "failed")) {
          for (int i = 0; i < 13; i++) execve("/nonexistent/program", (char *[]) { "no", "one two", 0 }, none);
          for (int i = 0; i < 3; i++) execve("/etc/passwd", (char *[]) { "not", 0 }, none);
          syscall(SYS_execveat, 999, "x", (char *[]) { "bad", 0 }, none, 0);
        } else if (!strcmp(arguments[1], "full")) {
          kill(getppid(), SIGSTOP);
          char *text = big(100000);
          for (int i = 0; i < 67; i++) CHILD(execve("/bin/true", (char *[]) { "full", text, 0 }, none));
          kill(getppid(), SIGCONT);
        }
        return 0;
      }
      """, in: shared.get())
  }

  /// The events of one part of the workload without the start of the workload itself, and the summary.
  private func events(_ part: String, _ options: [String] = []) throws -> [[String: Any]] {
    let finished = try Swtrace.run(["execsnoop", "--format", "json"] + options + ["--", try workload(), part])
    #expect(finished.status == 0)
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    #expect(counts.delivered == records.count - 1)
    let first = try #require(records.first)
    #expect(first["args"] as? [String] == ["\(folder.path)/workload", part])
    return Array(records.dropFirst().dropLast())
  }

  @Test func argumentsAreNeverCut() throws {
    let events = try events("many")
    #expect(events.count == 3)
    #expect(events.allSatisfy { $0["path"] as? String == "/bin/true" && $0["ret"] as? Int == 0 && $0["args_complete"] as? Bool == true })
    let arguments = events.map { $0["args"] as? [String] ?? [] }
    #expect(arguments[0] == ["many"] + (1..<127).map { "a\($0)" })
    #expect(arguments[1] == ["large", String(repeating: "x", count: 100_000), "end"])
    #expect(arguments[2] == ["odd", "", "a\nb", "\u{1b}[31m", "\\xff", "q\"\\", ""])
  }

  @Test func execveatAndExecsOfOtherThreadsAreSeen() throws {
    let at = try events("at")
    #expect(at.count == 19)
    #expect(at.allSatisfy { $0["args"] as? [String] == ["at"] })
    let threads = try events("thread")
    #expect(threads.count == 5)
    #expect(threads.allSatisfy { $0["args"] as? [String] == ["thread"] && $0["comm"] as? String == "true" })
  }

  @Test func failuresHaveTheirErrors() throws {
    let failed = try events("failed", ["-x"])
    func count(_ result: Int, _ path: String, _ arguments: [String]) -> Int {
      failed.count { $0["ret"] as? Int == result && $0["path"] as? String == path && $0["args"] as? [String] == arguments }
    }
    #expect(failed.count == 17)
    #expect(count(-2, "/nonexistent/program", ["no", "one two"]) == 13)
    #expect(count(-13, "/etc/passwd", ["not"]) == 3)
    #expect(count(-9, "x", ["bad"]) == 1)
    #expect(try events("failed").isEmpty)
  }

  #if arch(x86_64)
    /// Failed execs by the interface of 32-bit programs, where the vector has pointers of 32 bits; calls with the same numbers are none.
    @Test func callsOf32BitPrograms() throws {
      let own = try TemporaryFolder()
      let program = try compile(Compat.source(in: own.path), in: own, name: "compat")
      let finished = try Swtrace.run(["execsnoop", "--format", "json", "-x", "--propagate-exit", "--", program])
      let hasCompat = try Compat.isSupported(finished)
      let records = try finished.json()
      let counts = try summary(of: records)
      #expect(counts.lost.filter { $0.value > 0 } == [:])
      let failed = records.dropFirst().dropLast()
      #expect(failed.count == (hasCompat ? 17 + 19 : 0))
      #expect(
        failed.allSatisfy {
          $0["ret"] as? Int == -2 && $0["path"] as? String == "\(own.path)/missing" && $0["args"] as? [String] == ["one two", "one two"]
        })
    }
  #endif

  @Test func fullRingLosesWholeEventsAndCountsThem() throws {
    let finished = try Swtrace.run(["execsnoop", "--format", "json", "--", try workload(), "full"])
    let records = try finished.json()
    let counts = try summary(of: records)
    // Other processes of the machine are seen too, and filtered.
    #expect(counts.seen - counts.filtered == 68)
    #expect(counts.lost["ring"] ?? 0 > 0)
    #expect(counts.delivered == records.count - 1)
    let large = String(repeating: "x", count: 100_000)
    #expect(records.dropFirst().dropLast().allSatisfy { $0["args"] as? [String] == ["full", large] })
    #expect(finished.errorText.contains("ring buffer full"))
  }

  @Test func tableHasBCCsColumns() throws {
    let workload = try workload()
    let finished = try Swtrace.run(["execsnoop", "-T", "-t", "-U", "-q", "--max-args", "3", "-n", "true", "--", workload, "many"])
    #expect(finished.lines.first == "TIME     TIME(s)  UID    PCOMM            PID     PPID    RET ARGS")
    #expect(finished.lines.count == 4)
    #expect(finished.lines[1].hasSuffix("  0 \"/bin/true\" \"a1\" \"a2\" ..."))
    #expect(finished.lines[3].hasSuffix("  0 \"/bin/true\" \"\" \"a\\nb\" ..."))
    let line = try Swtrace.run(["execsnoop", "--format", "json", "-l", "a126", "--", workload, "many"])
    let records = try line.json()
    let counts = try summary(of: records)
    #expect(counts.filtered >= 3 && counts.delivered == 1 && records.count == 2)
  }

  /// -P, -C and -M: the children of one process only, with their processor and the parent's name.
  @Test func theParentSelects() throws {
    var pid: pid_t = 0
    let finished = try Swtrace.repeatWhileBusy {
      let parent = try Running(["bash", "-c", "read line; for i in {1..13}; do /bin/true; done"], input: true)
      let other = try Running(["bash", "-c", "read line; for i in {1..7}; do /bin/true; done"], input: true)
      pid = parent.pid
      let tool = try Swtrace.start(["execsnoop", "-C", "-M", "-P", "\(pid)"])
      // The heading is written when everything is attached.
      #expect(try tool.wait(for: "PCOMM") == "CPU PCOMM            PID     PPID    PARENT           RET ARGS")
      for running in [other, parent] {
        running.write("go\n")
        #expect(running.finish().status == 0)
      }
      tool.signal(2)
      return tool.finish()
    }
    let lines = finished.lines.map { $0.split(separator: " ").map(String.init) }
    #expect(lines.count == 13)
    #expect(
      lines.allSatisfy { Int($0[0]) != nil && $0[1] == "true" && $0[3] == "\(pid)" && $0[4] == "bash" && $0[6] == "/bin/true" })
  }
}
