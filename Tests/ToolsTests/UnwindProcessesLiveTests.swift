import Foundation
import TestSupport
import Testing

/// Whose stacks are walked: programs that replace each other, and more code than there is room for.
@Suite(.serialized, .requiresBPF) struct UnwindProcessesLiveTests {
  private let folder: TemporaryFolder
  private let programs: WorkingProgram

  init() throws {
    folder = try TemporaryFolder()
    programs = WorkingProgram(folder: folder)
  }

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
    let one = try compile(source, in: folder, name: "one", flags: flags + ["-DSPIN=spin_one", "-DROOM=40"])
    let two = try compile(source, in: folder, name: "two", flags: flags + ["-DSPIN=spin_two", "-DROOM=4000"])
    let (stacks, report) = try programs.profile([one, two])
    programs.expectComplete(report, thousandths: 950)
    for name in ["spin_one", "spin_two"] {
      let chains = stacks.filter { $0.frames.contains(name) }
      let samples = chains.reduce(0) { $0 + $1.count }
      let right = chains.filter { $0.frames.contains("main") && $0.frames.firstIndex(of: "main")! + 1 == $0.frames.firstIndex(of: name) }
      #expect(samples >= 20)
      #expect(right.reduce(0) { $0 + $1.count } * 100 >= samples * 95)
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
    let program = try compile(source, in: folder, name: "sorter", flags: ["-O1", "-fomit-frame-pointer"])
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
    let running = try Running([program])
    defer {
      kill(running.pid, SIGKILL)
      _ = running.finish()
    }
    _ = try running.wait(for: "ready")
    let (stacks, report) = try programs.stacks(["-d", "2", "--unwind-memory", "2"])
    let own = stacks.filter { $0.frames.first == "sorter" }
    let whole = own.filter { $0.frames.contains("main") }
    #expect(own.reduce(0) { $0 + $1.count } >= 50)
    #expect(whole.reduce(0) { $0 + $1.count } * 3 >= own.reduce(0) { $0 + $1.count }, "\(report)")
    #expect((report["finished_from_copies"] ?? 0) * 10 >= report["total"] ?? 0, "\(report)")
  }
}
