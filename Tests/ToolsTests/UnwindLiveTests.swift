import ArgumentParser
import BPF
import CProbes
import Foundation
import TestSupport
import Testing

@testable import Tools

/// User stacks of code without frame pointers, from programs that are made for it.
@Suite(.serialized, .requiresBPF) struct UnwindLiveTests {
  private static let shared = Result { try WorkingPrograms() }
  private let programs: WorkingPrograms

  init() throws { programs = try Self.shared.get() }

  private static let chain = """
    #include <alloca.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    volatile long sink;
    __attribute__((noinline)) static void bottom(char *b) { for (int i = 0; i < 20000; i++) sink += b[i & 31] * i; }
    __attribute__((noinline)) static int down(int n, char *b) { if (!n) { bottom(b); return 1; } return down(n - 1, b) + 1; }
    __attribute__((noinline)) static int room(int n) { char *p = alloca(n * 16 + 64); memset(p, n, 64); return down(40, p) + p[3]; }
    static int compare(const void *a, const void *b) { sink += room(3); return *(int *)a - *(int *)b; }
    int main(void) {
      puts("ready");
      for (fflush(stdout);;) { int v[4] = { 3, 1, 2, 0 }; qsort(v, 4, sizeof(*v), compare); }
    }
    """

  /// Recursion, memory on the stack, a callback from a library: the whole chain from the first function on, exactly.
  @Test func wholeChainsOfCodeWithoutFramePointers() throws {
    let program = try programs.c("chain", Self.chain, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline"])
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let samples = sampled.count { $0.last == "bottom" }
    let exact = sampled.count { frames in
      frames.contains("main") && frames.contains { $0.hasPrefix("qsort") } && frames.contains("compare")
        && frames.suffix(43) == ["room"] + [String](repeating: "down", count: 41) + ["bottom"]
    }
    #expect(samples >= 100 && exact * 1000 >= samples * 995, "\(exact) of \(samples)")
  }

  /// What frame pointers find of the same program, so that the test above shows something.
  @Test func framePointersFindLess() throws {
    let program = try programs.c("chain", Self.chain, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline"])
    let sampled = try programs.profile([program], ["--unwind", "fp"])
    #expect(sampled.report.isEmpty)
    #expect(sampled.count() >= 100 && sampled.count { $0.contains("main") && $0.last == "bottom" } == 0)
  }

  @Test func handlersOfSignalsAndWhatTheyInterrupted() throws {
    let program = try programs.c(
      "signals",
      """
      #include <signal.h>
      #include <stdio.h>
      #include <sys/time.h>
      volatile long sink;
      __attribute__((noinline)) static void inside(void) { for (int i = 0; i < 1000000; i++) sink += i; }
      static void handler(int number) { inside(); sink++; }
      __attribute__((noinline)) static void interrupted(void) { for (int i = 0; i < 1000; i++) sink += i; }
      static struct itimerval often = { { 0, 3000 }, { 0, 3000 } };
      __attribute__((noinline)) static void caller(void) {
        // On a slow machine the handler takes all the time from here on: where it begins first is where it stays.
        setitimer(ITIMER_PROF, &often, 0);
        for (;;) { interrupted(); if (sink == -1) return; }
      }
      static char room[1 << 16];
      int main(void) {
        stack_t other = { .ss_sp = room, .ss_size = sizeof(room) };
        struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
        sigaltstack(&other, 0);
        sigaction(SIGPROF, &action, 0);
        puts("ready");
        fflush(stdout);
        caller();
        return sink;
      }
      """, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let handled = sampled.stacks.filter { $0.frames.contains("inside") }
    #expect(handled.reduce(0) { $0 + $1.count } >= 20)
    for stack in handled where stack.count > 1 {
      #expect(stack.frames.contains("main") && stack.frames.contains("caller") && stack.frames.contains("handler"), "\(stack)")
    }
  }

  /// The kernel is running; the registers of the system call lead on.
  @Test func systemCallsAreReachedThroughTheirCallers() throws {
    let program = try programs.c(
      "calls",
      """
      #include <fcntl.h>
      #include <stdio.h>
      #include <unistd.h>
      static char buffer[1 << 20];
      volatile long sink;
      __attribute__((noinline)) static void reading(int file) { sink += pread(file, buffer, sizeof(buffer), 0); sink++; }
      __attribute__((noinline)) static void reader(int file) { reading(file); sink++; }
      int main(void) { int file = open("/dev/zero", O_RDONLY); puts("ready"); for (fflush(stdout);;) reader(file); }
      """, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let found = sampled.count { $0.contains("main") && $0.contains("reader") && $0.contains("reading") }
    #expect(found * 10 >= sampled.count() * 9, "\(found) of \(sampled.count())")
  }

  /// Frames that are larger than a page, a stack that is aligned anew, and recursion that goes too deep.
  @Test func largeAndDeepStacks() throws {
    let program = try programs.c(
      "deep",
      """
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      volatile long sink;
      __attribute__((noinline)) static void bottom(void) { for (int i = 0; i < 20000; i++) sink += i; }
      __attribute__((noinline)) static int large(int n) { char page[4096]; memset(page, n, sizeof(page)); if (n) sink += large(n - 1); else bottom(); return page[n]; }
      __attribute__((noinline)) static int aligned(int n) { char wide[n + 64] __attribute__((aligned(64))); memset(wide, n, sizeof(wide)); sink += large(40); return wide[3]; }
      __attribute__((noinline)) static int deep(int n) { if (n) return deep(n - 1) + 1; bottom(); return 1; }
      int main(int count, char **values) {
        puts("ready");
        for (fflush(stdout);;) if (count > 1) sink += deep(atoi(values[1])); else sink += aligned(5);
      }
      """, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let bottoms = sampled.stacks.filter { $0.frames.last == "bottom" && $0.count > 1 }
    #expect(!bottoms.isEmpty)
    for stack in bottoms {
      #expect(stack.frames.suffix(44) == ["main", "aligned"] + [String](repeating: "large", count: 41) + ["bottom"], "\(stack)")
    }
    let cut = try programs.profile([program, "400"], ["--endings"])
    #expect((cut.report["too_deep"] ?? 0) * 2 > cut.report["total"] ?? 0, "\(cut.report)")
    #expect(cut.stacks.contains { $0.frames.contains("[ends deeper than 255 frames]") })
  }

  /// While an exception is caught, its handler's frame replaces that of the function that looks for it: such samples, some in a
  /// thousand of this program's, have no whole stack.
  @Test func exceptionsOfCPlusPlus() throws {
    let program = try programs.c(
      "throwing.cpp",
      """
      #include <cstdio>
      #include <map>
      #include <stdexcept>
      #include <string>
      volatile long sink;
      __attribute__((noinline)) void thrower(int n) { if (n % 8 == 0) throw std::runtime_error("round"); sink = sink + n; }
      __attribute__((noinline)) void catcher(int n) {
        std::map<std::string, int> names;
        for (int i = 0; i < 20; i++) names[std::to_string(i * n)] = i;
        try { thrower(n); } catch (const std::exception &error) { sink = sink + error.what()[0] + names.size(); }
      }
      int main() { puts("ready"); fflush(stdout); for (int n = 0;; n++) catcher(n); }
      """, ["-O2", "-fomit-frame-pointer"])
    let sampled = try programs.profile([program])
    sampled.expectComplete(thousandths: 975)
    #expect(
      sampled.stacks.contains {
        $0.frames.contains("main") && $0.frames.contains { $0.contains("catcher") } && $0.frames.contains { $0.hasPrefix("_Unwind_") }
      })
  }

  /// Programs of 3 ms: nearly all samples lead to their first function or to that of their loader.
  @Test func processesThatLiveForMilliseconds() throws {
    let program = try programs.c(
      "short",
      """
      #include <time.h>
      volatile long sink;
      static double used(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
      __attribute__((noinline)) static void leaf(void) { for (int i = 0; i < 10000; i++) sink += i; }
      __attribute__((noinline)) static void middle(int n) { leaf(); if (n) middle(n - 1); sink++; }
      int main(void) { while (used() < 0.003) middle(5); return 0; }
      """, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
    let arguments = ["--comm", "short", "--", "/bin/sh", "-c", "i=0; while [ $i -lt 100 ]; do \(program); i=$((i+1)); done"]
    var sampled = try programs.stacks(arguments)
    // While swtrace gets no processor the ring fills up, and samples come without copies of their stacks.
    for _ in 0..<2 where !sampled.isComplete(thousandths: 950, atLeast: 100) { sampled = try programs.stacks(arguments) }
    sampled.expectComplete(thousandths: 950)
  }

  /// Waits, and who ends them, of code without frame pointers.
  @Test func waitsHaveWholeStacksToo() throws {
    let program = try programs.c(
      "dozing",
      """
      #include <time.h>
      volatile long sink;
      __attribute__((noinline)) static void nap(void) { struct timespec t = { 0, 3000000 }; nanosleep(&t, 0); sink++; }
      __attribute__((noinline)) static void tired(void) { nap(); sink++; }
      int main(void) { for (int i = 0; i < 43; i++) tired(); return 0; }
      """, ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
    let finished = try Swtrace.run(["offcputime", "-U", "-m", "2000", "-f", "--", program])
    #expect(finished.status == 0)
    let naps = finished.lines.filter { $0.contains(";main;tired;nap;") }
    #expect(!naps.isEmpty && naps.allSatisfy { $0.contains(";_start;") }, "\(finished.outputText)")
  }

  /// Where the ring has no room for a copy of a stack, the event comes without it, and with what frame pointers lead to.
  @Test func whatHasNoRoomForACopyIsWalkedByFramePointers() throws {
    let program = try programs.c(
      "roomy",
      """
      #include <stdio.h>
      volatile long sink;
      __attribute__((noinline)) static void inner(void) { for (puts("ready"), fflush(stdout);;) sink++; }
      __attribute__((noinline)) static void outer(int n) { if (n) outer(n - 1); else inner(); sink++; }
      int main(void) { outer(40); return 0; }
      """, ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"])
    let running = try Running([program])
    defer {
      kill(running.pid, SIGKILL)
      _ = running.finish()
    }
    _ = try running.wait(for: "ready")
    let process = UInt32(running.pid)
    var profile = try ProfileTool.parse([])
    try profile.validate()
    var attachment = try Attachment.attempt(
      .named("profile"), hooks: profile.hooks,
      configure: { (probe, _) throws(BPFError) in
        var filter = swtrace_filter()
        filter.pid = process
        try probe.configure(".rodata.filter", filter)
        // The smallest: not a whole copy's.
        try probe.resize("events", to: Int(getpagesize()))
      },
      attach: { (probe, programs, links) throws(BPFError) in try profile.attach(probe, programs, &links) })
    var meter = try LossMeter(attachment.probe)
    var reader = try attachment.probe.ringBuffer("events")
    var events = 0
    for _ in 0..<60_000 where events < 100 {
      usleep(1000)
      _ = reader.drain { record in
        let event = record.unsafeLoadUnaligned(as: swtrace_stack_event.self)
        // 43 functions of the program, and who called it: there frame pointers may end.
        #expect(event.user_frames >= 44 && event.guessed == event.user_frames - 1, "\(event)")
        #expect(StackEnding(rawValue: event.ending).text == "of a process not known yet")
        #expect(record.byteCount == MemoryLayout<swtrace_stack_event>.size + Int(max(event.kernel_frames, 0) + event.user_frames) * 8)
        let first = MemoryLayout<swtrace_stack_event>.size + Int(max(event.kernel_frames, 0)) * 8
        let addresses = (0..<43).map { record.unsafeLoadUnaligned(fromByteOffset: first + $0 * 8, as: UInt64.self) }
        // `inner`, the last call of `outer`, 40 others, `main`.
        #expect(Set(addresses[2..<42]).count == 1 && Set(addresses).count == 4)
        events += 1
      }
    }
    #expect(events >= 100)
    attachment.links.detach()
    _ = reader.drain { _ in events += 1 }
    let (report, _) = try meter.close()
    #expect(report.isExact)
    #expect(report.delivered == UInt64(events))
    let lost = report.lost[.ring] ?? 0
    #expect(report.seen == report.delivered + report.filtered + lost)
  }
}
