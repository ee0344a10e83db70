import Foundation
import TestSupport
import Testing

/// Whose stacks are walked: programs that replace each other, and more code than there is room for.
@Suite(.serialized, .requiresBPF) struct UnwindProcessesLiveTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  /// Two programs at the same addresses with other frames take turns in one process: none is walked by the rules of the other.
  @Test func programsThatReplaceEachOther() throws {
    let source = """
      #include <stdio.h>
      #include <time.h>
      #include <unistd.h>
      __attribute__((noinline)) static void SPIN(int rounds) {
        volatile char room[ROOM];
        struct timespec start, now;
        clock_gettime(CLOCK_MONOTONIC, &start);
        do {
          for (int i = 0; i < rounds; i++) room[i % ROOM] = i;
          clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 25000000);
      }
      int main(int count, char **values) {
        if (count == 2) { puts("ready"); fflush(stdout); }
        SPIN(20000);
        char *next[] = { values[1], values[0], "again", 0 };
        execv(values[1], next);
        return 1;
      }
      """
    let flags = ["-O1", "-no-pie", "-fomit-frame-pointer"]
    let one = try programs.c("one", source, flags + ["-DSPIN=spin_one", "-DROOM=40"])
    let two = try programs.c("two", source, flags + ["-DSPIN=spin_two", "-DROOM=4000"])
    var sampled = try programs.profile([one, two], atLeast: 400)
    func samples(of program: String) -> Int { sampled.count { $0.contains("spin_\(program)") } }
    // Again where swtrace waited for a processor longer than a program lives, or one of them for most of its life, as beside many other tests.
    for _ in 0..<4 where !sampled.isComplete(thousandths: 950, atLeast: 100) || min(samples(of: "one"), samples(of: "two")) < 20 {
      sampled = try programs.profile([one, two], atLeast: 400)
    }
    sampled.expectComplete(thousandths: 950)
    for program in ["one", "two"] {
      let name = "spin_\(program)"
      let own = sampled.stacks.filter { $0.frames.contains(name) }
      let wrong = own.filter { frames, _ in
        frames.first != program || frames.firstIndex(of: "main").map { $0 + 1 != frames.firstIndex(of: name) } ?? true
      }
      let others = wrong.reduce(0) { $0 + $1.count }
      #expect(
        samples(of: program) >= 20 && others * 100 <= samples(of: program) * 5,
        "\(others) of \(samples(of: program)): \(wrong.map { "\($0.frames.joined(separator: ";")) \($0.count)" }) \(sampled.report)")
    }
  }

  /// With less memory than the rules of the code need, stacks are finished from copies: all the same, whichever fits.
  @Test func moreCodeThanThereIsRoomFor() throws {
    let source = """
      #include <stdio.h>
      #include <stdlib.h>
      volatile long sink;
      __attribute__((noinline)) static int below(int n) { for (int i = 0; i < 100; i++) sink += i * n; return n; }
      static int compare(const void *a, const void *b) { return below(*(const int *)a - *(const int *)b); }
      int main(void) {
        puts("ready");
        for (fflush(stdout);;) { int numbers[] = { 3, 1, 2, 5, 4 }; qsort(numbers, 5, sizeof(*numbers), compare); }
      }
      """
    let program = try programs.c("sorter", source, ["-O1", "-fomit-frame-pointer"])
    // Interpreters with libraries of 4 MB of code beside it, so that 2 MB of memory are too little.
    let others = try (0..<2).map { _ in
      let other = try Running(["perl", "-MPOSIX", "-e", "$| = 1; print qq(ready\\n); while (1) { $x = sin(rand()) . join(q(,), 1 .. 9) }"])
      _ = try other.wait(for: "ready")
      return other
    }
    defer {
      for other in others {
        kill(other.pid, SIGKILL)
        _ = other.finish()
      }
    }
    let sampled = try programs.during([program]) { _ in try programs.stacks(["-d", "2", "--unwind-memory", "2"]) }
    let own = sampled.count { $0.first == "sorter" }
    let whole = sampled.count { $0.first == "sorter" && $0.contains("main") }
    #expect(own >= 50 && whole * 3 >= own, "\(sampled.report)")
    #expect((sampled.report["finished_from_copies"] ?? 0) * 10 >= sampled.report["total"] ?? 0, "\(sampled.report)")
  }
}
