import Foundation
import TestSupport
import Testing

/// wakeuptime: numbers of wake-ups, who caused them and whom they woke.
@Suite(.requiresBPF, .serialized) struct WakeuptimeLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// `kicker` wakes `sleeper` 53 times, each time when it sleeps for certain.
  private func workload() throws -> String {
    try compile(
      """
      #include <fcntl.h>
      #include <stdio.h>
      #include <string.h>
      #include <sys/prctl.h>
      #include <sys/wait.h>
      #include <unistd.h>
      volatile int sink;
      static char state(int pid) {
        char path[64], text[512];
        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        int file = open(path, O_RDONLY);
        int length = read(file, text, sizeof(text) - 1);
        close(file);
        text[length > 0 ? length : 0] = 0;
        char *end = strrchr(text, ')');
        return end ? end[2] : 'X';
      }
      __attribute__((noinline)) void kick(int to) { sink += write(to, "x", 1); sink++; }
      int main(void) {
        int ends[2];
        if (pipe(ends)) return 1;
        int child = fork();
        if (!child) {
          char byte;
          prctl(PR_SET_NAME, "sleeper");
          close(ends[1]);
          while (read(ends[0], &byte, 1) == 1) sink++;
          return 0;
        }
        prctl(PR_SET_NAME, "kicker");
        close(ends[0]);
        for (int i = 0; i < 53; i++) {
          while (state(child) != 'S') usleep(100);
          kick(ends[1]);
        }
        close(ends[1]);
        waitpid(child, 0, 0);
        return 0;
      }
      """, in: folder, name: "wakers", compiler: "clang", flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"])
  }

  @Test func everyWakeUpHasItsWakerAndWhomItWoke() throws {
    let records = try Swtrace.run(["wakeuptime", "--comm", "sleeper", "-m", "0", "--format", "json", "--", try workload()]).json()
    let counts = try summary(of: records)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    let stacks = records.filter { $0["type"] as? String == "stack" }
    #expect(stacks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == counts.delivered)
    let kicks = stacks.filter { stack in
      stack["comm"] as? String == "kicker"
        && (stack["frames"] as? [[String: Any]] ?? []).contains { ($0["function"] as? String)?.contains("write") == true }
    }
    // The last wake-up is by the end of the pipe.
    #expect(kicks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == 53, "\(stacks)")
    #expect(kicks.allSatisfy { (($0["frames"] as? [[String: Any]])?.first?["function"] as? String) == "sleeper" })
  }

  @Test func foldedEndsWithTheSleeper() throws {
    let folded = try Swtrace.run(["wakeuptime", "--comm", "sleeper", "-m", "0", "-f", "--", try workload()])
    #expect(
      folded.lines.contains { $0.hasPrefix("kicker;") && $0.split(separator: " ").dropLast().joined(separator: " ").hasSuffix(";sleeper") },
      "\(folded.lines)")
    let none = try Swtrace.run(["wakeuptime", "--comm", "sleeper", "-m", "600000000", "--format", "json", "--", try workload()]).json()
    #expect(none.allSatisfy { $0["type"] as? String != "stack" })
    #expect(try summary(of: none).filtered >= 53)
  }
}
