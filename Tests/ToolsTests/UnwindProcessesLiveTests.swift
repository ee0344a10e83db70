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

  /// With less memory than the rules of a program need, its stacks are finished from copies, as completely as those that the probes finish.
  @Test func moreCodeThanThereIsRoomFor() throws {
    // 600,000 rows of 4 bytes, more than 2 MB.
    let source = """
      #include <stdio.h>
      #include <stdlib.h>
      #ifdef LARGE
      __asm__(".text; .cfi_startproc; .rept 300000; nop; .cfi_adjust_cfa_offset 8; nop; .cfi_adjust_cfa_offset -8; .endr; .cfi_endproc");
      #endif
      volatile long sink;
      __attribute__((noinline)) static int below(int n) { for (int i = 0; i < 100; i++) sink += i * n; return n; }
      static int compare(const void *a, const void *b) { return below(*(const int *)a - *(const int *)b); }
      int main(void) {
        puts("ready");
        for (fflush(stdout);;) { int numbers[] = { 3, 1, 2, 5, 4 }; qsort(numbers, 5, sizeof(*numbers), compare); }
      }
      """
    let flags = ["-O1", "-fomit-frame-pointer"]
    let small = try programs.c("small", source, flags)
    let large = try programs.c("large", source, flags + ["-DLARGE"])
    // While swtrace gets no processor its ring fills up, and samples come without copies; they say so. Others are waited for.
    let withoutCopy = ["[ends of a process not known yet]", "[ends before their rules were made]"]
    var (samples, whole) = (["small": 0, "large": 0], ["small": 0, "large": 0])
    var (finished, reports) = (0, [[String: Int]]())
    try programs.during([small]) { _ in
      try programs.during([large]) { _ in
        for _ in 0..<30 where samples.values.contains(where: { $0 < 50 }) {
          let sampled = try programs.stacks(["-d", "2", "--unwind-memory", "2", "--endings"])
          for (frames, count) in sampled.stacks where !frames.contains(where: withoutCopy.contains) {
            samples[frames[0]]? += count
            if frames.contains("main") { whole[frames[0]]? += count }
          }
          finished += sampled.report["finished_from_copies"] ?? 0
          reports.append(sampled.report)
        }
      }
    }
    for (program, count) in samples {
      #expect(count >= 50 && (whole[program] ?? 0) * 20 >= count * 19, "\(program): \(whole) of \(samples), \(reports)")
    }
    // None of its stacks can be finished by the probes.
    #expect(finished >= whole["large"] ?? 0, "\(whole) of \(samples), \(reports)")
  }
}
