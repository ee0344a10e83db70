import Foundation
import TestSupport
import Testing

@Suite(.requiresBPF, .serialized) struct ExitsnoopLiveTests {
  private let folder: TemporaryFolder

  /// Compiled once for all tests: in a virtual machine that takes longer than most of them.
  private static let shared = Result { try TemporaryFolder() }
  private static let program = Result { try build() }

  init() throws { folder = try Self.shared.get() }

  private func workload() throws -> String { try Self.program.get() }

  private static func build() throws -> String {
    // Static values are never released: the folder is removed when the tests end.
    atexit { if let path = try? ExitsnoopLiveTests.shared.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <pthread.h>
      #include <signal.h>
      #include <stdlib.h>
      #include <sys/resource.h>
      #include <sys/wait.h>
      #include <unistd.h>
      static pthread_t first;
      static void *stay(void *nothing) { pthread_join(first, 0); usleep(300000); exit(21); }
      static void *end(void *gate) { pthread_barrier_wait(gate); _exit(33); }
      int main(void) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        for (int i = 0; i < 11; i++) { if (!fork()) _exit(7); wait(0); }
        for (int i = 0; i < 5; i++) { int pid = fork(); if (!pid) for (;;) pause(); kill(pid, SIGKILL); wait(0); }
        for (int i = 0; i < 3; i++) { if (!fork()) { raise(SIGUSR1); _exit(0); } wait(0); }
        for (int i = 0; i < 2; i++) { if (!fork()) _exit(0); wait(0); }
        if (!fork()) { pthread_t t; first = pthread_self(); pthread_create(&t, 0, stay, 0); pthread_exit(0); }
        wait(0);
        for (int i = 0; i < 13; i++) {
          if (!fork()) {
            pthread_barrier_t gate; pthread_t t;
            pthread_barrier_init(&gate, 0, 9);
            for (int j = 0; j < 8; j++) pthread_create(&t, 0, end, &gate);
            pthread_barrier_wait(&gate);
            _exit(33);
          }
          wait(0);
        }
        return 3;
      }
      """, in: shared.get())
  }

  @Test func everyProcessEndsOnceWithItsReason() throws {
    let finished = try Swtrace.run(["exitsnoop", "--format", "json", "--propagate-exit", "--", try workload()])
    #expect(finished.status == 3)
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.delivered == records.count - 1 && counts.lost.filter { $0.value > 0 } == [:])
    let events = Array(records.dropLast())
    func count(_ reason: String) -> Int { events.count { $0["reason"] as? String == reason } }
    #expect(count("code 7") == 11)
    #expect(count("signal 9 (KILL)") == 5)
    #expect(count("signal 10 (USR1)") == 3)
    #expect(count("0") == 2)
    #expect(count("code 33") == 13)
    #expect(count("code 3") == 1)
    #expect(events.count == 36)
    #expect(Set(events.compactMap { $0["pid"] as? Int }).count == events.count)
    // The first thread left at once, another stayed: its end is the process's.
    let late = try #require(events.first { $0["exit_code"] as? Int == 21 })
    #expect(try #require(late["age_ns"] as? Int) >= 300_000_000)
    #expect(late["pid"] as? Int == late["tid"] as? Int)
  }

  /// A thread that was asked for is reported when it ends, whether it is the first of its process or another; without -T too.
  @Test(arguments: [[], ["-T"]], [true, false]) func theThreadThatEndsIsTested(options: [String], isFirst: Bool) throws {
    let program = """
      import sys, threading
      end = threading.Event()
      threads = [threading.Thread(target=end.wait) for _ in range(3)]
      for thread in threads: thread.start()
      print(threads[1].native_id, flush=True)
      sys.stdin.read()
      end.set()
      for thread in threads: thread.join()
      """
    var (pid, thread) = (0 as pid_t, "")
    let finished = try Swtrace.repeatWhileBusy {
      let threaded = try Running(["python3", "-c", program], input: true)
      let other = try #require(threaded.readLine())
      pid = threaded.pid
      thread = isFirst ? "\(pid)" : other
      let tool = try Swtrace.start(["exitsnoop", "--tid", thread] + options)
      // The heading is written when everything is attached.
      _ = try tool.wait(for: "PCOMM")
      threaded.closeInput()
      #expect(threaded.finish().status == 0)
      tool.signal(2)
      return tool.finish()
    }
    let lines = finished.lines.map { $0.split(separator: " ").map(String.init) }
    #expect(lines.count == 1, "\(finished.errorText)")
    #expect(lines.first?[1] == "\(pid)")
    #expect(lines.first?[3] == thread)
  }

  @Test func optionsSelect() throws {
    let workload = try workload()
    let failed = try Swtrace.run(["exitsnoop", "--format", "json", "-x", "--", workload]).json()
    let counts = try summary(of: failed)
    // Other processes of the machine are seen too, and filtered.
    #expect(counts.filtered >= 2 && counts.delivered == 34 && failed.count == 35)
    let threads = try Swtrace.run(["exitsnoop", "--format", "json", "-T", "--", workload]).json()
    #expect(threads.count == 36 + 105 + 1)
    let table = try Swtrace.run(["exitsnoop", "-t", "--", workload])
    #expect(table.lines.first == "TIME(s)  PCOMM            PID     PPID    TID     AGE(s)  EXIT_CODE")
    #expect(table.lines.count == 37)
  }
}
