import Foundation
import Linux
import TestSupport
import Testing

/// Names of processes that change or end while they are watched; waits are counted exactly, so every name is checked.
@Suite(.requiresBPF, .serialized) struct ProcessNamesLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A program that waits some times in a function of that name, then becomes another program.
  ///
  /// Not for any address: two programs have their functions in the same places.
  private func program(_ name: String, waits: Int, then next: String = "") throws -> String {
    try compile(
      """
      #include <sys/resource.h>
      #include <sys/syscall.h>
      #include <time.h>
      #include <unistd.h>
      volatile long sink;
      \(sleepInline)
      \(napUntilLeft)
      __attribute__((noinline)) void \(name)_waits(void) { struct timespec time = { 0, 15000000 }; sleep_for(&time); sink++; }
      int main(void) {
        for (int i = 0; i < \(waits); i++) nap_until_left(\(name)_waits);
        if (*"\(next)") return execl("\(next)", "\(next)", (char *)0);
        return 0;
      }
      """, in: folder, name: name, compiler: "clang",
      flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-no-pie", "-mno-omit-leaf-frame-pointer"])
  }

  /// How many waits had each function as their innermost one of user code; `unfinished` are those whose end the kernel did not show.
  private func waits(_ arguments: [String]) throws -> (counts: [String: Int], unfinished: Int) {
    let records = try Swtrace.run(["offcputime", "-m", "0", "--format", "json", "--state", "1", "--"] + arguments).json()
    _ = try summary(of: records)
    let counts = records.filter { $0["type"] as? String == "stack" }.reduce(into: [String: Int]()) { result, stack in
      let frames = (stack["frames"] as? [[String: Any]] ?? []).filter { $0["kernel"] as? Bool == false }
      if let name = frames.first?["function"] as? String { result[name, default: 0] += stack["count"] as? Int ?? 0 }
    }
    return (counts.filter { $0.key.hasSuffix("_waits") }, (records.last?["remarks"] as? [String: Int])?["unfinished"] ?? 0)
  }

  @Test func aProcessThatBecomesAnotherProgramHasTheNamesOfBoth() throws {
    let last = try program("third", waits: 7)
    let middle = try program("second", waits: 5, then: last)
    let first = try program("first", waits: 3, then: middle)
    let (counts, unfinished) = try waits([first])
    for (name, count) in ["first_waits": 3, "second_waits": 5, "third_waits": 7] {
      #expect((count - unfinished...count).contains(counts[name] ?? 0), "\(counts), \(unfinished) unfinished")
    }
    #expect(counts.values.reduce(unfinished, +) >= 15 && counts.count == 3)
    let shell = try waits(["sh", "-c", "exec \(last)"])
    #expect((7 - shell.unfinished...7).contains(shell.counts["third_waits"] ?? 0) && shell.counts.count == 1, "\(shell)")
  }

  /// Each lives for a few milliseconds.
  @Test func processesThatAreGoneHaveTheirNames() throws {
    let path = try program("brief", waits: 2)
    let (counts, unfinished) = try waits(["bash", "-c", "for i in $(seq 53); do \(path); done"])
    #expect((106 - unfinished...106).contains(counts["brief_waits"] ?? 0) && counts.count == 1, "\(counts), \(unfinished) unfinished")
  }

  /// The first thread ends, and the process goes on; and a child of a process that has not been seen before.
  @Test func threadsWithoutTheirFirstAndChildrenOfTheUnseenHaveNames() throws {
    let path = try compile(
      """
      #include <pthread.h>
      #include <stdlib.h>
      #include <sys/resource.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <time.h>
      #include <unistd.h>
      volatile long sink;
      \(napUntilLeft)
      __attribute__((noinline)) void thread_waits(void) { struct timespec time = { 0, 15000000 }; nanosleep(&time, 0); sink++; }
      static void *body(void *unused) { for (int i = 0; i < 11; i++) nap_until_left(thread_waits); exit(0); }
      int main(int count, char **arguments) {
        pthread_t thread;
        pthread_create(&thread, 0, body, 0);
        pthread_exit(0);
      }
      """, in: folder, name: "leaderless", compiler: "clang", flags: ["-O1", "-fno-omit-frame-pointer", "-no-pie", "-static"])
    let records = try Swtrace.run(["offcputime", "-m", "0", "--format", "json", "--state", "1", "--", path]).json()
    let stacks = records.filter { $0["type"] as? String == "stack" }
    let named = stacks.filter {
      ($0["frames"] as? [[String: Any]] ?? []).contains {
        $0["function"] as? String == "body" || $0["function"] as? String == "thread_waits"
      }
    }
    let unfinished = (records.last?["remarks"] as? [String: Int])?["unfinished"] ?? 0
    #expect((11 - unfinished...11).contains(named.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }), "\(stacks)")
  }
}
