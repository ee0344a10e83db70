import Foundation
import TestSupport

/// How often a thread left its processor, as the kernel counts it.
struct Switches: Equatable {
  var voluntary: Int
  var involuntary: Int
  var all: Int { voluntary + involuntary }

  static func - (left: Switches, right: Switches) -> Switches {
    Switches(voluntary: left.voluntary - right.voluntary, involuntary: left.involuntary - right.involuntary)
  }
}

/// A process whose threads sleep, compute and yield on one processor, so that each waits for the others; then all of them block.
///
/// While it is blocked its threads' switch counters stand still: their differences are what a scheduler tool must have counted.
struct NappingProcess {
  let running: Running
  let naps: [Int]
  private let before: Switches

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
        prctl(PR_SET_NAME, "nap\\n\\x1b[1m");
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
    before = try Self.blockedSwitches(running.pid, thread: running.pid)
  }

  /// Lets the threads run until all have done their naps and are blocked again.
  ///
  /// - Returns: each thread's switches meanwhile.
  func work() throws -> [Int32: Switches] {
    running.write("g")
    _ = try running.wait(for: "done")
    var counts: [Int32: Switches] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(running.pid)/task") {
      guard let thread = Int32(name) else { continue }
      let switches = try Self.blockedSwitches(running.pid, thread: thread)
      counts[thread] = thread == running.pid ? switches - before : switches
    }
    guard counts.count == naps.count else { throw RunError("\(counts.count) threads") }
    return counts
  }

  func end() {
    running.closeInput()
    _ = running.finish()
  }

  /// A thread's counters, once it has left its processor: until then `syscall` says "running".
  private static func blockedSwitches(_ process: Int32, thread: Int32) throws -> Switches {
    while try String(contentsOfFile: "/proc/\(process)/task/\(thread)/syscall", encoding: .utf8).hasPrefix("running") { usleep(1000) }
    let status = try String(contentsOfFile: "/proc/\(process)/task/\(thread)/status", encoding: .utf8)
    func value(_ key: String) throws -> Int {
      guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("\(key):") }),
        let number = Int(line.dropFirst(key.count + 1).filter(\.isNumber))
      else { throw RunError("no \(key) in \(status)") }
      return number
    }
    return Switches(voluntary: try value("voluntary_ctxt_switches"), involuntary: try value("nonvoluntary_ctxt_switches"))
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
}
