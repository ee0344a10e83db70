import Foundation
import Linux
import TestSupport
import Testing

/// What a thread did on processors between two times when it was blocked, as the kernel's own trace shows it.
struct Switches: Equatable {
  /// It left a processor, as the kernel counts it (/proc/PID/status). It came as often.
  ///
  /// On some machines the kernel shows no tracer some switches, now and then; so the trace may have fewer.
  var counted = 0
  /// It came to a processor: the end of a wait.
  var comings = 0
  /// It left after a coming: the end of a stretch on a processor.
  var voluntaryLeavings = 0
  var involuntaryLeavings = 0

  var leavings: Int { voluntaryLeavings + involuntaryLeavings }

  /// Events at most that may be hidden from a tool: none where the trace shows every switch.
  ///
  /// Else more than the trace lacks: where switches are hidden, BPF programs are not run for some wake-ups that it shows.
  var mostHidden: Int { counted == leavings ? 0 : counted / 4 }

  static func + (left: Switches, right: Switches) -> Switches {
    Switches(
      counted: left.counted + right.counted, comings: left.comings + right.comings,
      voluntaryLeavings: left.voluntaryLeavings + right.voluntaryLeavings,
      involuntaryLeavings: left.involuntaryLeavings + right.involuntaryLeavings)
  }
}

/// The kernel's trace of task switches.
///
/// A tool's counts are compared with the switch counters of /proc/PID/status, and what it says was hidden with what this lacks.
private struct SwitchTrace: ~Copyable {
  // All threads of a napping process are called so.
  private let trace: KernelTrace

  init() throws { trace = try KernelTrace(["sched/sched_switch"], filter: #"prev_comm ~ "nap*" || next_comm ~ "nap*""#) }

  /// Ends the trace.
  ///
  /// - Returns: what threads did that were off their processors when it began.
  consuming func finish(_ threads: [Int32]) throws -> [Int32: Switches] {
    var result = Dictionary(uniqueKeysWithValues: threads.map { ($0, Switches()) })
    // Where each thread is: nil until its first event.
    var isOn: [Int32: Bool] = [:]
    for line in try trace.finish() {
      func field(_ name: String) -> Substring? {
        line.range(of: " \(name)=", options: .backwards).map { line[$0.upperBound...].prefix { $0 != " " } }
      }
      guard let prev = field("prev_pid").flatMap({ Int32($0) }), let next = field("next_pid").flatMap({ Int32($0) }),
        let state = field("prev_state")
      else { throw RunError("not understood: \(line)") }
      if result[prev] != nil {
        if isOn[prev] == true {
          // R: it could have gone on; R+: it was preempted.
          if state.hasPrefix("R") { result[prev]?.involuntaryLeavings += 1 } else { result[prev]?.voluntaryLeavings += 1 }
        }
        isOn[prev] = false
      }
      if result[next] != nil {
        result[next]?.comings += 1
        isOn[next] = true
      }
    }
    return result
  }
}

/// A process whose threads sleep, compute and yield on one processor, so that each waits for the others; then all of them block.
///
/// What the kernel traces of it between two times when it is blocked is what a scheduler tool must have counted.
struct NappingProcess {
  let running: Running
  let naps: [Int]

  /// Starts it and waits until it blocks.
  ///
  /// - Parameter naps: of each thread; the first is the main one, the others start when `work()` says so.
  init(_ naps: [Int], in folder: TemporaryFolder) throws {
    let program = try compile(
      """
      #define _GNU_SOURCE
      #include <pthread.h>
      #include <sched.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <sys/prctl.h>
      #include <time.h>
      #include <unistd.h>
      static int left;
      static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
      static void nap(int count) {
        struct timespec time = { 0, 20000 };
        for (int i = 0; i < count; i++) {
          for (volatile int spin = 0; spin < 2000; spin++);
          nanosleep(&time, 0);
          if (i % 3 == 0) sched_yield();
        }
        pthread_mutex_lock(&lock);
        if (--left == 0) write(1, "done\\n", 5);
        pthread_mutex_unlock(&lock);
      }
      static void *thread(void *count) {
        prctl(PR_SET_NAME, "nap\\t\\x1b[1m");
        nap((long)count);
        for (;;) pause();
      }
      int main(int count, char **arguments) {
        char byte;
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(0, &set);
        sched_setaffinity(0, sizeof(set), &set);
        left = count - 1;
        write(1, "ready\\n", 6);
        read(0, &byte, 1);
        for (int i = 2; i < count; i++) {
          pthread_t handle;
          pthread_create(&handle, 0, thread, (void *)atol(arguments[i]));
        }
        nap(atoi(arguments[1]));
        read(0, &byte, 1);
        return 0;
      }
      """, in: folder, name: "napping")
    running = try Running([program] + naps.map(String.init), input: true)
    self.naps = naps
    _ = try running.wait(for: "ready")
    try Self.waitUntilBlocked(running.pid, thread: running.pid)
  }

  /// Lets the threads run until all have done their naps and are blocked again.
  ///
  /// - Returns: each thread's switches meanwhile.
  func work() throws -> [Int32: Switches] {
    let trace = try SwitchTrace()
    let before = try Self.leavings(running.pid, thread: running.pid)
    running.write("g")
    _ = try running.wait(for: "done")
    let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(running.pid)/task").compactMap { Int32($0) }
    guard threads.count == naps.count else { throw RunError("\(threads.count) threads") }
    for thread in threads { try Self.waitUntilBlocked(running.pid, thread: thread) }
    var result = try trace.finish(threads)
    for thread in threads {
      result[thread]?.counted = try Self.leavings(running.pid, thread: thread) - (thread == running.pid ? before : 0)
    }
    return result
  }

  func end() {
    running.closeInput()
    _ = running.finish()
  }

  private static func leavings(_ process: Int32, thread: Int32) throws -> Int {
    let status = try String(contentsOfFile: "/proc/\(process)/task/\(thread)/status", encoding: .utf8)
    func number(_ name: String) throws -> Int {
      guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("\(name):") }),
        let number = Int(line.split { !$0.isNumber }.last ?? "")
      else { throw RunError("no \(name) in \(status)") }
      return number
    }
    return try number("voluntary_ctxt_switches") + number("nonvoluntary_ctxt_switches")
  }

  /// Until a thread has left its processor, `syscall` says "running".
  private static func waitUntilBlocked(_ process: Int32, thread: Int32) throws {
    while try String(contentsOfFile: "/proc/\(process)/task/\(thread)/syscall", encoding: .utf8).hasPrefix("running") { usleep(1000) }
  }
}

/// What a histogram tool printed for a process that worked while the tool ran.
struct HistogramRun {
  var records: [[String: Any]]
  var errors: String

  /// Runs the tool at intervals, from before the work until after it.
  init(_ arguments: [String], during work: () throws -> Void) throws {
    let tool = try Swtrace.start([arguments[0], "--interval", "50ms", "--stats", "--format", "csv"] + arguments.dropFirst())
    // The heading is written with the first interval: everything is attached.
    guard let heading = tool.readLine() else { throw RunError(tool.finish().errorText) }
    try work()
    tool.signal(2)
    let finished = tool.finish()
    errors = finished.errorText
    guard finished.status == 0 else { throw RunError(errors) }
    let keys = heading.split(separator: ",").map(String.init)
    records = finished.lines.map { line in
      let values = line.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) as Any? ?? String($0) }
      return Dictionary(uniqueKeysWithValues: zip(keys, values))
    }
  }

  /// The sum of all intervals by the value of a column; one sum under the key 0 without.
  func counts(by key: String? = nil) -> [Int: Int] {
    records.reduce(into: [:]) { counts, record in
      let value = key.map { record[$0] as? Int ?? -1 } ?? 0
      counts[value, default: 0] += record["count"] as? Int ?? 0
    }
  }

  func counts(named key: String) -> [String: Int] {
    records.reduce(into: [:]) { $0[$1[key] as? String ?? "", default: 0] += $1["count"] as? Int ?? 0 }
  }

  /// The four numbers of each report on standard error, the intervals' first and the whole run's last.
  var reports: [[Int]] {
    errors.split(separator: "\n").filter { $0.contains(": seen ") }.map { line in
      line.split(separator: ":")[1].split(separator: ",").prefix(4).map { part in
        Int(part.split(separator: " ").dropFirst().first ?? "") ?? -1
      }
    }
  }

  /// Whether every interval adds up, and all of them to the whole, which is `delivered` with nothing lost.
  func isExact(delivered: Int) -> Bool {
    guard let total = reports.last, total.count == 4, total[2] == delivered, total[3] == 0 else { return false }
    return reports.allSatisfy { $0[0] == $0[1] + $0[2] + $0[3] }
  }

  /// How many events the kernel hid, as the whole run's report has it; nil where something else was lost.
  var hidden: Int? {
    guard let total = reports.last, total.count == 4, let line = errors.split(separator: "\n").last(where: { $0.contains(": seen ") })
    else { return nil }
    return total[3] == 0 || line.contains("lost \(total[3]) (\(total[3]) hidden by the kernel)") ? total[3] : nil
  }

  /// Checks that what was counted and what the kernel hid are the kernel's own count, and that intervals and reports add up.
  ///
  /// - Parameters:
  ///   - total: the events, by the kernel's count of switches.
  ///   - mayHideMore: whether what was hidden may be of other tasks.
  func check(
    _ total: Int, _ switches: [Int32: Switches], mayHideMore: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let counted = counts()[0] ?? 0
    let all = switches.values.reduce(Switches(), +)
    let remark: Comment = "\(counted) counted, \(total) expected, \(all), \(reports.last ?? [])"
    #expect(reports.allSatisfy { $0[0] == $0[1] + $0[2] + $0[3] }, remark, sourceLocation: sourceLocation)
    #expect(reports.last?[2] == counted, remark, sourceLocation: sourceLocation)
    guard let hidden else {
      Issue.record("lost: \(errors)", sourceLocation: sourceLocation)
      return
    }
    if mayHideMore {
      #expect((counted...counted + hidden).contains(total), remark, sourceLocation: sourceLocation)
    } else {
      #expect(counted + hidden == total, remark, sourceLocation: sourceLocation)
    }
    #expect(total - counted <= all.mostHidden, remark, sourceLocation: sourceLocation)
  }

  /// Checks that no key has more than it should, and that only those are there.
  func check(by key: String, _ expected: [Int: Int], sourceLocation: SourceLocation = #_sourceLocation) {
    let counts = counts(by: key)
    #expect(counts.keys.sorted() == expected.keys.sorted(), sourceLocation: sourceLocation)
    #expect(counts.allSatisfy { $0.value <= expected[$0.key] ?? 0 }, "\(counts), \(expected)", sourceLocation: sourceLocation)
  }
}

/// Suites whose workloads would count in each other's: one after the other.
@Suite(.requiresBPF, .serialized) enum SwitchLiveTests {}
