import Foundation
import Linux
import TestSupport
import Testing

/// A program whose children run out of memory; compiled once, because that takes seconds in a virtual machine.
private enum MemoryWorkload {
  private static let folder = Result { try TemporaryFolder() }
  static let path = Result {
    let folder = try MemoryWorkload.folder.get()
    // Globals are never released: the folder is removed when the tests end.
    atexit { if let path = try? MemoryWorkload.folder.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <signal.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/mman.h>
      #include <sys/prctl.h>
      #include <sys/wait.h>
      #include <unistd.h>
      static const char *group;
      static void write_to(const char *folder, const char *file, int number) {
        char path[4096], text[32];
        snprintf(path, sizeof(path), "%s/%s", folder, file);
        int open_file = open(path, O_WRONLY), length = snprintf(text, sizeof(text), "%d", number);
        if (open_file < 0 || write(open_file, text, length) != length) _exit(2);
        close(open_file);
      }
      static void use(long megabytes) {
        char *memory = mmap(0, megabytes << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) _exit(3);
        for (long i = 0; i < megabytes << 20; i += 4096) memory[i] = 1;
      }
      static void enter(const char *name, int adjustment) {
        prctl(PR_SET_NAME, name);
        write_to("/proc/self", "oom_score_adj", adjustment);
        write_to(group, "cgroup.procs", getpid());
      }
      static void must_be_killed(int pid) {
        int status;
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) exit(4);
      }
      /* GROUP ALONE PAIRS FILE: so many that need too much themselves; and so many that have 18 MB when another needs 12. The kernel may
         choose the other, too, while the memory of the first is not free yet: the file gets how often. */
      int main(int count, char **arguments) {
        int others = 0;
        FILE *file;
        group = arguments[1];
        for (int i = 0; i < atoi(arguments[2]); i++) {
          int pid = fork();
          if (!pid) { enter("greedy", 7); use(512); _exit(5); }
          must_be_killed(pid);
        }
        for (int i = 0; i < atoi(arguments[3]); i++) {
          int ready[2], status, holder, other;
          char byte;
          if (pipe(ready)) return 6;
          holder = fork();
          if (!holder) { enter("holder", 1000); use(18); if (write(ready[1], "r", 1) != 1) _exit(7); for (;;) pause(); }
          if (read(ready[0], &byte, 1) != 1) return 8;
          other = fork();
          if (!other) { enter("other", 0); use(12); _exit(0); }
          if (waitpid(other, &status, 0) != other) return 9;
          /* It is dead already, unless something is wrong: then this does not wait for ever. */
          kill(holder, SIGTERM);
          if (status && !WIFSIGNALED(status)) return 10;
          must_be_killed(holder);
          others += status != 0;
          close(ready[0]);
          close(ready[1]);
        }
        if (!(file = fopen(arguments[4], "w")) || fprintf(file, "%d", others) < 1 || fclose(file)) return 11;
        return 0;
      }
      """, in: folder, name: "memory")
  }
}

@Suite(.requiresBPF, .serialized) struct OomkillLiveTests {
  private let program: String
  private let folder: TemporaryFolder

  init() throws {
    program = try MemoryWorkload.path.get()
    folder = try TemporaryFolder()
  }

  /// How many of those that needed memory were killed as well.
  private func others() throws -> Int { try #require(Int(try String(contentsOfFile: folder.file("others"), encoding: .utf8))) }

  @Test func everyKillIsOneEvent() throws {
    let group = try LimitedGroup()
    let finished = try Swtrace.run([
      "oomkill", "--propagate-exit", "--format", "json", "--", program, group.path, "7", "3", folder.file("others"),
    ])
    try #require(finished.status == 0, "\(finished.errorText)")
    let records = try finished.json()
    let counts = try summary(of: records)
    let events = Array(records.dropLast())
    #expect(events.count == 10 + (try others()))
    #expect(counts.delivered == events.count && counts.lost.filter { $0.value > 0 } == [:])
    #expect(Set(events.compactMap { $0["pid"] as? Int }).count == events.count)
    let lacking = try #require(records.last?["lacking"] as? [String])
    #expect(lacking.allSatisfy { $0.hasPrefix("without columns SCOPE and PAGES: this kernel has no kprobes") })
    #expect(lacking.isEmpty == KernelFeatures.hasKprobes)
    for event in events {
      let name = try #require(event["comm"] as? String)
      let isHolder = name == "holder"
      #expect(event["trigger_comm"] as? String == (isHolder ? "other" : name))
      #expect(isHolder == (event["trigger_pid"] as? Int != event["pid"] as? Int))
      #expect(event["oom_score_adj"] as? Int == ["holder": 1000, "greedy": 7, "other": 0][name])
      #expect(event["uid"] as? Int == 0)
      #expect(event["was_dying"] as? Bool == false)
      #expect(event["cgroup"] as? String == group.name)
      // The kernel's counters lack what each processor has not added up yet.
      let memory = try #require(event["anonymous_bytes"] as? Int)
      let limits = try #require(["holder": 16...19, "greedy": 20...24, "other": 0...12][name])
      #expect(memory > limits.lowerBound << 20 && memory <= limits.upperBound << 20)
      #expect(try #require(event["rss_bytes"] as? Int) >= memory)
      #expect(try #require(event["virtual_bytes"] as? Int) > (["holder": 18, "greedy": 512][name] ?? 12) << 20)
      #expect(try #require(event["page_table_bytes"] as? Int) > 0)
      #expect(event["scope"] as? String == (lacking.isEmpty ? "cgroup" : nil))
      #expect(event["scope_pages"] as? Int == (lacking.isEmpty ? LimitedGroup.limit / 4096 : nil))
    }
    #expect(events.count { $0["comm"] as? String == "holder" } == 3)
  }

  /// The options test the process that is killed, not the one that needs memory.
  @Test(arguments: ["holder", "other", "greedy"]) func theVictimIsTested(name: String) throws {
    let group = try LimitedGroup()
    let finished = try Swtrace.run(
      ["oomkill", "--comm", name, "--format", "json", "--", program, group.path, "5", "3", folder.file("others")])
    let records = try finished.json()
    let counts = try summary(of: records)
    let kills = ["holder": 3, "other": try others(), "greedy": 5]
    #expect(counts.delivered == kills[name] && records.count - 1 == kills[name])
    #expect(counts.filtered >= kills.values.reduce(0, +) - counts.delivered)
    #expect(records.dropLast().allSatisfy { $0["comm"] as? String == name })
  }

  @Test func tableNamesBothProcesses() throws {
    let group = try LimitedGroup()
    let finished = try Swtrace.run(["oomkill", "--", program, group.path, "0", "1", folder.file("others")])
    #expect(
      finished.lines.first
        == "TIME     FPID    FCOMM            TPID    TCOMM            UID      ADJ    RSS(KB) SCOPE         PAGES DYING CGROUP")
    #expect(finished.lines.count == 2 + (try others()))
    #expect(
      finished.lines.dropFirst().first?.wholeMatch(
        of: #/\d\d:\d\d:\d\d \d+ +other +\d+ +holder +0 +1000 +\d+ (cgroup +6144)? +no +\/swtrace-test-\d+-oom\/inner/#) != nil,
      "\(finished.outputText)")
  }
}
