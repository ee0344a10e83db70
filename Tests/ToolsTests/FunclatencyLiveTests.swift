import Linux
import TestSupport
import Testing

/// The histograms of a latency tool by function, with its summary checked, and the programs that ran.
private struct Measured {
  var counts: [String: Int] = [:]
  var summary: (seen: Int, filtered: Int, delivered: Int, lost: [String: Int])
  var unreturned = 0
  var programs: String
  var histograms: [[String: Any]]

  init(_ arguments: [String]) throws {
    let finished = try Swtrace.run(["funclatency", "--format", "json", "--stats"] + arguments)
    guard finished.status == 0 else { throw RunError(finished.errorText) }
    let records = try finished.json()
    summary = try TestSupport.summary(of: records)
    unreturned = (records.last?["remarks"] as? [String: Int])?["unreturned_calls"] ?? -1
    histograms = records.dropLast()
    for record in histograms {
      guard record["type"] as? String == "histogram", let count = record["count"] as? Int else { throw RunError("no histogram: \(record)") }
      counts[record["function"] as? String ?? "", default: 0] += count
    }
    programs = finished.errorText.split(separator: "\n").first { $0.contains(": programs: ") }.map(String.init) ?? ""
    guard counts.values.reduce(0, +) == summary.delivered else { throw RunError("\(counts) do not add up to \(summary)") }
    guard summary.lost.values.allSatisfy({ $0 == 0 }) else { throw RunError("lost: \(summary)") }
  }
}

@Suite(.requiresBPF, .serialized) struct FunclatencyLiveTests {
  private let folder: TemporaryFolder
  private let program: String

  init() throws {
    folder = try TemporaryFolder()
    program = try CalledProgram.path()
  }

  /// Every level of a recursion is a call of its own.
  @Test func recursionIsCountedAtEveryDepth() throws {
    let measured = try Measured(["\(program):nested", "--", program])
    #expect(measured.counts == ["": 7 * 13])
    #expect(measured.unreturned == 0)
    #expect(measured.programs.contains(" \(expectedUserProgram("entry")),"))
  }

  /// 15 of 31 calls are left by longjmp, out of two functions: they have no latency, and the others keep theirs.
  @Test func callsThatNeverReturnDisturbNoOther() throws {
    let measured = try Measured(["-F", "--max-calls", "4", "\(program):outer,\(program):leaves,\(program):shop_*", "--", program])
    #expect(measured.counts == ["outer": 16, "shop_one": 101, "shop_two": 53, "shop_three": 31, "shop_four": 43])
    // Each left two functions: seen when the frame is used again, or at the end of the thread.
    #expect(measured.unreturned == 15 + 15)
  }

  /// Calls that end with their thread or process leave the map: with room for 101, all that follow 211 and 307 of them are measured.
  @Test func callsThatEndWithTheirThreadLeaveTheMap() throws {
    let ending = try compile(
      """
      #define _GNU_SOURCE
      #include <pthread.h>
      #include <sched.h>
      #include <stdio.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <unistd.h>
      volatile int sink;
      __attribute__((noinline)) void returns(void) { sink++; }
      __attribute__((noinline)) void last(int is_process) { returns(); if (is_process) _exit(0); pthread_exit(0); }
      __attribute__((noinline)) void outer(int is_process) { last(is_process); sink++; }
      static int tid;
      static void *thread(void *nothing) { tid = syscall(SYS_gettid); outer(0); return 0; }
      int main(void) {
        for (int i = 0; i < 211; i++) {
          pthread_t t; char name[64];
          pthread_create(&t, 0, thread, 0);
          pthread_join(t, 0);
          sprintf(name, "/proc/self/task/%d", tid);
          while (!access(name, F_OK)) sched_yield();
        }
        for (int i = 0; i < 307; i++) { if (!fork()) outer(1); wait(0); }
        return 0;
      }
      """, in: folder, name: "ending")
    let measured = try Measured(["-F", "--max-calls", "101", "\(ending):outer,\(ending):last,\(ending):returns", "--", ending])
    #expect(measured.counts == ["returns": 211 + 307])
    #expect(measured.unreturned == 2 * (211 + 307))
    #expect(measured.summary.seen == 211 + 307)
  }

  /// The kernel observes 64 levels of returns; the map has room for 16384 calls in progress. Nothing disappears.
  @Test func whatIsTooDeepIsCounted() throws {
    let deep = try compile(
      """
      volatile int sink;
      __attribute__((noinline)) int nested(int depth) { sink++; return depth ? nested(depth - 1) + sink : sink; }
      int main(int count, char **arguments) { nested(count > 1 ? 16999 : 999); return 0; }
      """, in: folder, name: "deep", flags: ["-O1", "-fno-optimize-sibling-calls"])
    let measured = try Measured(["\(deep):nested", "--", deep])
    #expect(measured.counts == ["": 64])
    #expect(measured.unreturned == 1000 - 64)
    let finished = try Swtrace.run(["funclatency", "--format", "json", "\(deep):nested", "--", deep, "deeper"])
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.delivered == 64)
    #expect(counts.lost["map_full"] == 17000 - 16384)
    #expect((records.last?["remarks"] as? [String: Int])?["unreturned_calls"] == 16384 - 64)
    #expect(finished.errorText.contains("616 map full"))
  }

  @Test func functionsTogetherAreOneHistogram() throws {
    #expect(try Measured(["\(program):shop_*", "--", program]).counts == ["": 101 + 53 + 31 + 43])
  }

  @Test func aStaticProgramsFunctions() throws {
    let fixed = try CalledProgram.staticPath()
    #expect(try Measured(["-F", "\(fixed):nested", "--", fixed]).counts == ["nested": 91])
  }

  /// A call cannot be shorter than the sleep in it.
  @Test func latenciesAreThoseOfTheCalls() throws {
    let sleeper = try compile(
      """
      #include <unistd.h>
      __attribute__((noinline)) void slept(void) { usleep(20000); }
      int main(void) { for (int i = 0; i < 11; i++) slept(); return 0; }
      """, in: folder, name: "sleeper")
    let measured = try Measured(["\(sleeper):slept", "--", sleeper])
    #expect(measured.counts == ["": 11])
    let sum = try #require(measured.histograms.first?["sum_ns"] as? Int)
    #expect(sum >= 11 * 20_000_000)
  }

  @Test func kernelFunctions() throws {
    guard KernelFeatures.hasKprobes else { return try refusesKernelFunctions("funclatency") }
    let few = try Measured(["-F", "__x64_sys_getpgid,__x64_sys_getsid", "--", program])
    #expect(few.counts == ["__x64_sys_getpgid": 211, "__x64_sys_getsid": 17])
    #expect(few.programs.contains(" entry_fentry,"))
    let kprobes = try Measured(["-k", "__x64_sys_getpgid", "--", program])
    #expect(kprobes.counts == ["": 211])
    #expect(kprobes.programs.contains(" \(expectedKprobeProgram("entry", many: false)),"))
    let many = try Measured(["-F", "__x64_sys_get*", "--", program])
    #expect(many.counts["__x64_sys_getpgid"] == 211)
    #expect(many.counts["__x64_sys_getsid"] == 17)
    #expect(many.programs.contains(" \(expectedKprobeProgram("entry", many: true)),"))
  }

  @Test(arguments: ["t:sched:sched_switch", "u:c:libc:setjmp"])
  func momentsHaveNoLatency(_ target: String) throws {
    let finished = try Swtrace.run(["funclatency", target])
    #expect(finished.status == 64)
    #expect(finished.errorText.contains("'\(target)' is one moment and takes no time; funccount counts it"))
  }
}
