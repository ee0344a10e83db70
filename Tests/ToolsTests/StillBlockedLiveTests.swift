import Foundation
import Linux
import TestSupport
import Testing

/// Waits that are on when the trace ends.
@Suite(.requiresBPF, .serialized) struct StillBlockedLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Ends when a child of it waits for good: 7 threads for a futex, 5 for a pipe, and its first one for a signal.
  /// With an argument it prints the child's id.
  private func workload() throws -> String {
    try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <linux/futex.h>
      #include <pthread.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <sys/mman.h>
      #include <sys/prctl.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      #define THREADS 13
      struct shared { volatile int word, tids[THREADS]; } *shared;
      static int ends[2];
      volatile int sink;
      \(waitsInSystemCall)
      /* The C library's functions have no frame pointers, which hides who calls them. */
      __attribute__((noinline)) void wait_for_word(void) { sink += syscall(SYS_futex, &shared->word, FUTEX_WAIT, 0, 0, 0, 0); sink++; }
      __attribute__((noinline)) void wait_for_byte(void) { char byte; sink += read(ends[0], &byte, 1); sink++; }
      __attribute__((noinline)) void wait_for_signal(void) { unsigned long none = 0; sink += syscall(SYS_rt_sigsuspend, &none, 8); sink++; }
      __attribute__((noinline)) void at_signal(void) { wait_for_signal(); sink++; }
      __attribute__((noinline)) void at_futex(void) { wait_for_word(); sink++; }
      __attribute__((noinline)) void at_pipe(void) { wait_for_byte(); sink++; }
      static void *thread(void *number) {
        shared->tids[(long)number] = syscall(SYS_gettid);
        for (;;) if ((long)number <= 7) at_futex(); else at_pipe();
      }
      int main(int count, char **arguments) {
        shared = mmap(0, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (pipe(ends)) return 1;
        int child = fork();
        if (!child) {
          pthread_t made;
          prctl(PR_SET_NAME, "stuck");
          for (int fd = 0; fd < 3; fd++) close(fd);
          for (long i = 1; i < THREADS; i++) pthread_create(&made, 0, thread, (void *)i);
          shared->tids[0] = getpid();
          for (;;) at_signal();
        }
        for (int i = 0; i < THREADS; i++)
          while (!shared->tids[i] || !is_in(i == 0 ? SYS_rt_sigsuspend : i <= 7 ? SYS_futex : SYS_read, shared->tids[i])) usleep(100);
        if (count > 1) printf("%d\\n", child);
        return 0;
      }
      """, in: folder, name: "blockers", compiler: "clang",
      flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"])
  }

  private func functions(_ record: [String: Any]) -> [String] {
    (record["frames"] as? [[String: Any]] ?? []).compactMap { $0["function"] as? String }
  }

  /// How many of the waker's part of a stack, if there is one, and the waiter's have no frame of the kernel, in which both are.
  private func partsWithoutKernel(_ record: [String: Any]) -> Int {
    let frames = record["frames"] as? [[String: Any]] ?? []
    let parts = frames.split(omittingEmptySubsequences: false) { $0["function"] as? String == "--" }
    return parts.count { part in !part.contains { $0["kernel"] as? Bool == true } }
  }

  /// All 13 are there, each as often as it should be, with where it waits.
  private func check(_ records: [[String: Any]]) throws {
    let blocked = records.filter { functions($0).first == "[still blocked]" }
    #expect(blocked.allSatisfy { $0["comm"] as? String == "stuck" })
    func count(_ function: String, _ kernel: String) -> Int {
      blocked.filter { stack in functions(stack).contains(function) && functions(stack).contains { $0.contains(kernel) } }
        .reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
    }
    #expect(count("at_futex", "futex_wait") == 7, "\(blocked)")
    #expect(count("at_pipe", "pipe_read") == 5, "\(blocked)")
    #expect(count("at_signal", "sigsuspend") == 1, "\(blocked)")
    #expect((records.last?["remarks"] as? [String: Int])?["still_blocked"] == 13)
    let stacks = records.filter { $0["type"] as? String == "stack" }
    // Those above have theirs. The kernel gives none of a wait that ends while its task's processor is taken from a virtual machine.
    let missing = stacks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) * partsWithoutKernel($1) }
    #expect((records.last?["remarks"] as? [String: Int])?["missing_kernel_stack"] == missing)
    #expect(stacks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == (try summary(of: records).delivered))
    // Each has waited for no longer than the trace was.
    let duration = try #require(records.last?["duration_ns"] as? Int)
    for stack in blocked {
      let (value, count) = (stack["value"] as? Int ?? 0, stack["count"] as? Int ?? 0)
      #expect(value > 0 && value <= count * duration, "\(value) in \(count) waits, trace \(duration)")
    }
  }

  @Test(arguments: ["offcputime", "offwaketime"]) func everyTaskThatStillWaitsIsReported(_ tool: String) throws {
    let within = try Swtrace.run([tool, "--comm", "stuck", "-m", "0", "--format", "json", "--", try workload()])
    let records = try within.json()
    let process = try #require(records.first { functions($0).contains("at_futex") }?["pid"] as? Int, "\(within.errorText)")
    defer { kill(Int32(process), SIGKILL) }
    try check(records)
    #expect(within.errorText.contains("13 still blocked at the end, for "))
    // The same tasks, which now are blocked all the time.
    try check(Swtrace.run([tool, "-p", "\(process)", "--duration", "200ms", "--format", "json"]).json())
  }

  @Test func onlyWhatWasAskedForIsReported() throws {
    let process = try #require(Int32(try mustRun([try workload(), "print"]).split(separator: "\n").last ?? ""))
    defer { kill(process, SIGKILL) }
    let trace = ["offcputime", "-p", "\(process)", "--duration", "200ms", "--format", "json"]
    // Too short and too long ones are seen; no kernel threads, none in that state, none whole.
    for limits in [["-m", "600000000"], ["-m", "0", "-M", "1"], ["-k"], ["--state", "2"], ["--whole-waits-only"]] {
      let none = try Swtrace.run(trace + limits).json()
      let counts = try summary(of: none)
      #expect(counts.delivered == 0, "\(limits)")
      if limits[0] == "-m" { #expect(counts.filtered >= 13, "\(limits)") }
      #expect((none.last?["remarks"] as? [String: Int])?["still_blocked"] == 0, "\(limits)")
    }
  }

  /// Its frame pointer leads to memory that nobody supplies: reading that would take as long as the process likes.
  @Test func memoryThatOthersSupplyIsNotWaitedFor() throws {
    let path = try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <linux/userfaultfd.h>
      #include <sys/ioctl.h>
      #include <sys/mman.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      int main(void) {
        int faults = syscall(SYS_userfaultfd, O_CLOEXEC);
        char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), byte;
        struct uffdio_api api = {.api = UFFD_API};
        struct uffdio_register where = {.range = {(unsigned long)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
        if (faults < 0 || ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &where)) return 1;
        if (write(1, "here\\n", 5) != 5) return 1;
        register long result asm("rax") = SYS_read;
        asm volatile("push %%rbp; mov %[page], %%rbp; syscall; pop %%rbp"
          : "+r"(result) : [page] "r"(page), "D"(0l), "S"(&byte), "d"(1l) : "rcx", "r11", "memory");
        return 0;
      }
      """, in: folder, name: "supplied", compiler: "clang", flags: ["-O1", "-mno-red-zone"])
    let process = try Running([path], input: true)
    defer {
      process.closeInput()
      _ = process.finish()
    }
    _ = try process.wait(for: "here")
    while ProcFile.read("/proc/\(process.pid)/syscall")?.hasPrefix("0 ") != true {
      try #require(!process.hasEnded)
      sched_yield()
    }
    let trace = ["offcputime", "-p", "\(process.pid)", "-m", "0", "--unwind", "fp", "--duration", "200ms", "--format", "json"]
    let records = try Swtrace.run(trace).json()
    let blocked = records.filter { functions($0).first == "[still blocked]" || functions($0).last == "[still blocked]" }
    #expect(blocked.count == 1 && (records.last?["remarks"] as? [String: Int])?["still_blocked"] == 1, "\(records)")
  }

  /// One wait that has begun before the trace and ends in it, and one that begins in it.
  @Test func aWaitFromBeforeTheTraceCounts() throws {
    let path = try compile(
      """
      #include <unistd.h>
      volatile int sink;
      /* The C library's functions have no frame pointers, which hides who calls them. */
      __attribute__((noinline)) int take(void) { char byte; int got = read(0, &byte, 1); sink++; return got; }
      __attribute__((noinline)) int doze(void) { int got = take(); sink++; return got; }
      int main(void) {
        do sink += write(1, "here\\n", 5); while (doze() == 1);
        return 0;
      }
      """, in: folder, name: "dozer", compiler: "clang", flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"])
    let dozer = try Running([path], input: true)
    defer {
      dozer.closeInput()
      _ = dozer.finish()
    }
    /// The kernel shows the system call of a task that is off the processors only.
    func waitUntilItDozes() throws {
      _ = try dozer.wait(for: "here")
      while ProcFile.read("/proc/\(dozer.pid)/syscall")?.first?.isNumber != true {
        try #require(!dozer.hasEnded)
        sched_yield()
      }
    }
    try waitUntilItDozes()
    let trace = try Swtrace.start(["offcputime", "-p", "\(dozer.pid)", "-m", "0", "--format", "json"])
    // What it waits with is made when everything is attached.
    func waitsForEvents() throws -> Bool {
      let folder = "/proc/\(trace.pid)/fd"
      return try FileManager.default.contentsOfDirectory(atPath: folder).contains {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)"))?.contains("eventpoll") == true
      }
    }
    while try !waitsForEvents(), !trace.hasEnded { sched_yield() }
    dozer.write("x")
    try waitUntilItDozes()
    trace.signal(SIGINT)
    let records = try trace.finish().json()
    _ = try summary(of: records)
    let dozes = records.filter { functions($0).contains("doze") }
    func count(_ isBlocked: Bool) -> Int {
      dozes.filter { (functions($0).first == "[still blocked]") == isBlocked }.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
    }
    #expect(count(false) == 1, "\(records)")
    #expect(count(true) == 1, "\(records)")
  }
}
