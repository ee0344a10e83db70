import TestSupport
import Testing

/// Stacks while code is replaced all the time: all events are accounted for, most stacks whole, and none is wrong.
///
/// Not in the virtual machines: emulated, swtrace learns of the code too late for most stacks.
@Suite(.serialized, .requiresBPF) struct UnwindReplacedCodeTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  private static let withoutFramePointers = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"]

  /// A program that starts itself again three hundred times, after some milliseconds each time.
  @Test func programsThatStartThemselvesAgain() throws {
    let program = try programs.c(
      "again",
      """
      #include <stdio.h>
      #include <stdlib.h>
      #include <time.h>
      #include <unistd.h>
      volatile long sink;
      static double used(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
      __attribute__((noinline)) static void leaf(void) { for (int i = 0; i < 10000; i++) sink += i; }
      __attribute__((noinline)) static void middle(int n) { if (n) middle(n - 1); else leaf(); sink++; }
      int main(int count, char **values) {
        int left = atoi(values[1]);
        double until = used() + 0.003;
        while (used() < until) middle(5);
        if (!left) { puts("the last"); return 0; }
        char text[20], *next[] = { values[0], text, 0 };
        sprintf(text, "%d", left - 1);
        execv(values[0], next);
        return 1;
      }
      """, Self.withoutFramePointers)
    var sampled = try programs.stacks(["--", program, "299"])
    // Again where swtrace waited for a processor longer than a program lives, as it does beside many other tests.
    for _ in 0..<2 where !sampled.isComplete(thousandths: 900, atLeast: 150) { sampled = try programs.stacks(["--", program, "299"]) }
    sampled.expectComplete(thousandths: 900, atLeast: 150)
    let working = sampled.count { $0.last == "leaf" }
    let whole = sampled.count { $0.contains("_start") && $0.suffix(8) == ["main"] + [String](repeating: "middle", count: 6) + ["leaf"] }
    #expect(working >= 100 && whole * 10 >= working * 9, "\(whole) of \(working)")
  }

  /// Two libraries as large as each other, with frames of other sizes, take turns in one place: no stack is walked by the rules of the
  /// other, nor named by its symbols; what the probes walked before they knew is cut there.
  @Test func librariesThatReplaceEachOther() throws {
    let source = "int NAME(void (*next)(int), int n) { volatile char room[ROOM]; room[n % 16] = n; next(n); return room[n % 16]; }"
    let flags = ["-O2", "-fomit-frame-pointer", "-fno-stack-protector", "-shared", "-fPIC"]
    let libraries = [
      try programs.c("one.so", source, flags + ["-DNAME=work_one", "-DROOM=40"]),
      try programs.c("two.so", source, flags + ["-DNAME=work_two", "-DROOM=600"]),
    ]
    let program = try programs.c(
      "turns",
      """
      #include <dlfcn.h>
      #include <stdio.h>
      #include <time.h>
      #define OWN __attribute__((noinline)) static
      volatile long sink;
      static double used(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
      OWN void leaf_one(int n) { for (int i = 0; i < n; i++) sink += i; }
      OWN void leaf_two(int n) { for (int i = 0; i < n; i++) sink += i; }
      OWN void *use(const char *file, const char *name, void (*leaf)(int)) {
        void *library = dlopen(file, RTLD_NOW);
        int (*work)(void (*)(int), int) = dlsym(library, name);
        for (double until = used() + 0.1; used() < until;) sink += work(leaf, 100000);
        dlclose(library);
        return work;
      }
      int main(int count, char **values) {
        for (int n = 0;; n++) {
          void *one = use(values[1], "work_one", leaf_one), *two = use(values[2], "work_two", leaf_two);
          if (one != two) return 1;
          if (!n) puts("ready"), fflush(stdout);
        }
      }
      """, Self.withoutFramePointers + ["-fno-inline", "-fno-ipa-icf", "-ldl"])
    let sampled = try programs.profile([program] + libraries, atLeast: 1000)
    for name in ["one", "two"] {
      let calls = sampled.count { $0.last == "leaf_\(name)" }
      let whole = sampled.count { $0.contains("_start") && $0.suffix(4) == ["main", "use", "work_\(name)", "leaf_\(name)"] }
      let cut = sampled.count { $0.count == 3 && $0.suffix(2) == ["work_\(name)", "leaf_\(name)"] }
      #expect(whole >= 100 && whole + cut == calls, "\(whole) and \(cut) of \(calls)")
    }
  }
}
