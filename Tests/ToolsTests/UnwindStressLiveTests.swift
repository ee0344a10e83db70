import Foundation
import TestSupport
import Testing

/// Stacks of processes that make it hard: all events are accounted for, and most stacks whole.
@Suite(.serialized, .requiresBPF) struct UnwindStressLiveTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  private static let isEmulated = ProcessInfo.processInfo.environment["SWTRACE_KERNELS"] != nil
  private static let withoutFramePointers = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"]

  /// One page of code mapped at ten thousand places, called at each in turn, from the last on; or at a thousand, all made while it is
  /// traced.
  ///
  /// Emulated processors map three hundred before it is traced, which are more than one page of the probes has room for, too.
  @Test(arguments: isEmulated ? [false] : [false, true]) func thousandsOfMappings(_ areMadeMeanwhile: Bool) throws {
    let count = Self.isEmulated ? 300 : areMadeMeanwhile ? 1000 : 10_000
    let program = try programs.c(
      "mappings",
      """
      #include <fcntl.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <sys/mman.h>
      #define PAGE 4096
      #define OWN __attribute__((noinline, aligned(PAGE))) static
      extern char __executable_start[];
      volatile long sink;
      OWN void leaf(int n) { for (int i = 0; i < 20000; i++) sink += i * n; }
      OWN int through(void (*next)(int), int n) { volatile char room[200]; room[n % 200] = n; next(n); return room[n % 100]; }
      OWN int drive(char *places, int n) {
        int (*there)(void (*)(int), int) = (void *)(places + n * 2L * PAGE);
        return there(leaf, n) + 1;
      }
      int main(int count, char **values) {
        int number = atoi(values[1]), rounds = atoi(values[2]), self = open("/proc/self/exe", O_RDONLY);
        // Between them memory that is no code, so that they stay apart.
        char *places = mmap(0, number * 2L * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (long i = 0; i < number; i++) {
          void *place = places + i * 2 * PAGE;
          off_t offset = (char *)through - __executable_start;
          if (mmap(place, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, self, offset) == MAP_FAILED) return 1;
        }
        puts("ready");
        fflush(stdout);
        for (int n = number - 1; rounds; n = (n + 7919) % number, rounds--) sink += drive(places, n);
        return 0;
      }
      """, Self.withoutFramePointers)
    let sampled =
      if areMadeMeanwhile {
        try programs.stacks(["--", program, "\(count)", "20000"])
      } else {
        try programs.profile([program, "\(count)", "-1"])
      }
    // How soon new code is known depends on what else the machine does.
    sampled.expectComplete(thousandths: areMadeMeanwhile ? 500 : 995)
    let calls = sampled.count { $0.last == "leaf" }
    let whole = sampled.count { $0.suffix(4) == ["main", "drive", "through", "leaf"] && $0.contains("_start") }
    #expect(calls >= 100 && whole * 100 >= calls * (areMadeMeanwhile ? 50 : 99), "\(whole) of \(calls)")
  }

  /// A program that ends long before the rules of its library are made: it is held until then, with a copy of its stack, and whole.
  @Test func endsBeforeItsRulesAreMade() throws {
    // One function of 2 MiB whose rules change at every byte.
    var rows: [UInt8] = [0x41, 0x0e, 0x10, 0x41, 0x0e, 0x08]
    for _ in 0..<20 { rows += rows }
    _ = try programs.folder.file("rows", rows)
    let library = try programs.folder.file(
      "large.s",
      """
        .text
        .globl work
        .type work, @function
      work:
        .cfi_startproc
        subq $72, %rsp
        .cfi_def_cfa_offset 80
        movq %rdi, %rdx
        movl %esi, %edi
        call *%rdx
        addq $72, %rsp
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc
        .size work, . - work
      rows:
        .skip \(2 << 20), 0x90
        .section .eh_frame, "a", @progbits
      common:
        .long 2f - 1f
      1:
        .long 0
        .byte 1
        .string "zR"
        .byte 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1
        .balign 8
      2:
        .long 4f - 3f
      3:
        .long 3b - common
        .long rows - .
        .long \(2 << 20)
        .byte 0
        .incbin "\(programs.folder.file("rows"))"
        .balign 8
      4:
        .section .note.GNU-stack, "", @progbits

      """)
    try mustRun(["cc", "-shared", "-o", programs.folder.file("liblarge.so"), library])
    let program = try programs.c(
      "brief",
      """
      #include <time.h>
      volatile long sink;
      int work(int (*function)(int), int n);
      static double used(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
      __attribute__((noinline)) static int leaf(int n) { for (int i = 0; i < n; i++) sink += i; return n; }
      int main(void) {
        /* On a slow machine the time may pass with little done. */
        double until = used() + 0.02;
        for (int n = 0; n < 100 || used() < until; n++) sink += work(leaf, 20000);
        return 0;
      }
      """, Self.withoutFramePointers + ["-Wl,--no-as-needed", programs.folder.file("liblarge.so")])
    // A brief program that gets no processor may be there still when the rules are: of such a run all holds but the last.
    var (copied, total, runs) = (0, 1, 0)
    repeat {
      let sampled = try programs.stacks(["--comm", "brief", "--", program])
      // On an emulated processor the loader takes most of the time, and has functions without rules.
      sampled.expectComplete(thousandths: 900, atLeast: 5)
      let calls = sampled.count { $0.last == "leaf" }
      let whole = sampled.count { $0.suffix(3) == ["main", "work", "leaf"] && $0.contains("_start") }
      #expect(calls >= 3 && whole == calls, "\(whole) of \(calls)")
      (copied, total, runs) = (sampled.report["finished_from_copies"] ?? 0, sampled.report["total"] ?? 0, runs + 1)
    } while copied * 2 < total && runs < 10
    // Some stacks do not lead through the library.
    #expect(copied * 2 >= total, "\(copied) of \(total) in run \(runs)")
  }
}
