import BPF
import CProbes
import Formats
import Foundation
import Linux
import Profiles
import TestSupport
import Testing

@testable import Tools

extension SwitchLiveTests {
  @Suite(.serialized) struct RunqlatLiveTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Every coming to a processor ends a wait.
    @Test func everyWaitIsCounted() throws {
      let process = try NappingProcess([997, 211], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["runqlat", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let expected = switches.values.reduce(0) { $0 + $1.counted }
      // Nearly every nap is a leaving: some are over before their thread has left.
      #expect(expected > 997)
      run.check(expected, switches)
      process.end()
    }

    /// A timer wakes the tasks, in a context that is in no cgroup of interest: the filter must look at the tasks.
    @Test func cgroupIsThatOfTheWaitingTask() throws {
      guard let root = ControlGroup.root else { throw RunError("no cgroup v2 is mounted") }
      let group = "\(root)/swtrace-test-\(getpid())"
      let inner = "\(group)/inner"
      try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
      let process = try NappingProcess([499], in: folder)
      defer {
        process.end()
        rmdir(inner)
        rmdir(group)
      }
      try "\(process.running.pid)".write(toFile: "\(inner)/cgroup.procs", atomically: false, encoding: .utf8)
      var switches: [Int32: Switches] = [:]
      // The group above counts too, named by its path in the hierarchy.
      let run = try HistogramRun(["runqlat", "-c", "/swtrace-test-\(getpid())"]) { switches = try process.work() }
      run.check(switches[process.running.pid]?.counted ?? -1, switches)
    }

    @Test func keysAreCgroups() throws {
      guard let root = ControlGroup.root else { throw RunError("no cgroup v2 is mounted") }
      let name = "/swtrace-test-\(getpid())-key"
      mkdir(root + name, 0o755)
      let process = try NappingProcess([101], in: folder)
      defer {
        process.end()
        rmdir(root + name)
      }
      try "\(process.running.pid)".write(toFile: "\(root)\(name)/cgroup.procs", atomically: false, encoding: .utf8)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["runqlat", "--cgroups", "-c", name]) { switches = try process.work() }
      let expected = switches[process.running.pid]?.counted ?? -1
      run.check(expected, switches)
      run.check(by: "cgroup_id", [Int(try ControlGroup(name).id): expected])
      #expect(Set(run.records.compactMap { $0["cgroup"] as? String }) == [name])
    }

    @Test func keysAreProcessesThreadsAndNamespaces() throws {
      var process = try NappingProcess([101, 53, 31], in: folder)
      var switches: [Int32: Switches] = [:]
      var run = try HistogramRun(["runqlat", "-L", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      run.check(switches.values.reduce(0) { $0 + $1.counted }, switches)
      run.check(by: "tid", Dictionary(uniqueKeysWithValues: switches.map { (Int($0.key), $0.value.counted) }))
      #expect(Set(run.records.compactMap { $0["comm"] as? String }).isSubset(of: ["napping", "nap\\t\\x1b[1m"]))
      process.end()

      process = try NappingProcess([101, 53], in: folder)
      run = try HistogramRun(["runqlat", "-P", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      var expected = switches.values.reduce(0) { $0 + $1.counted }
      run.check(expected, switches)
      run.check(by: "pid", [Int(process.running.pid): expected])
      process.end()

      process = try NappingProcess([101], in: folder)
      run = try HistogramRun(["runqlat", "--pidnss", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let link = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process.running.pid)/ns/pid")
      let namespace = try #require(Int(link.filter(\.isNumber)))
      expected = switches.values.reduce(0) { $0 + $1.counted }
      run.check(expected, switches)
      run.check(by: "pid_namespace", [namespace: expected])
      process.end()
    }

    /// Each of two tools sees everything, as if it were alone.
    @Test func toolsRunSideBySide() throws {
      let process = try NappingProcess([211], in: folder)
      var switches: [Int32: Switches] = [:]
      var inner: HistogramRun?
      let outer = try HistogramRun(["runqlat", "-p", "\(process.running.pid)"]) {
        inner = try HistogramRun(["runqlat", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      }
      let expected = switches.values.reduce(0) { $0 + $1.counted }
      outer.check(expected, switches)
      try #require(inner).check(expected, switches)
      process.end()
    }

    /// Two processes that answer each other through pipes on one processor: each of their turns is a wait.
    @Test func pingPongThroughPipes() throws {
      let rounds = 1009
      let program = try compile(
        """
        #define _GNU_SOURCE
        #include <sched.h>
        #include <stdlib.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(int count, char **arguments) {
          int rounds = atoi(arguments[1]), there[2], back[2];
          char byte = 0;
          cpu_set_t set;
          CPU_ZERO(&set);
          CPU_SET(0, &set);
          sched_setaffinity(0, sizeof(set), &set);
          if (pipe(there) || pipe(back)) return 1;
          if (!fork()) {
            for (int i = 0; i < rounds; i++) if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
            _exit(0);
          }
          for (int i = 0; i < rounds; i++) if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 1;
          wait(0);
          return 0;
        }
        """, in: folder)
      let finished = try Swtrace.run(["runqlat", "--propagate-exit", "--format", "json", "--", program, "\(rounds)"])
      #expect(finished.status == 0)
      let counts = try summary(of: try finished.json())
      #expect(counts.lost.filter { $0.key != "hidden" && $0.value > 0 } == [:])
      // Each round makes each of them wait for the other once; preemption may add waits, but nothing takes one away.
      #expect(counts.delivered + (counts.lost["hidden"] ?? 0) >= 2 * rounds)
      #expect(counts.delivered == (try finished.json()).dropLast().reduce(0) { $0 + ($1["count"] as? Int ?? 0) })
    }

    /// The waits of a thread are those that the scheduler has added up, to the nanosecond.
    @Test func sumsAreTheSchedulers() throws {
      try #require(KernelFeatures.keepsWaitsForProcessors)
      // Where a thread is preempted on its way to sleep the scheduler notes nothing: such ones cannot be compared.
      for _ in 0..<20 { if try compareSums() > 0 { return } }
      Issue.record("no thread's waits are those that the scheduler counts, twenty times")
    }

    /// - Returns: how many threads could be compared.
    private func compareSums() throws -> Int {
      let process = try NappingProcess([499, 97], in: folder)
      let pid = process.running.pid
      func accounts() throws -> [Int: (delay: Int, comings: Int)] {
        let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").compactMap { Int($0) }
        return try Dictionary(
          uniqueKeysWithValues: tasks.map { tid in
            let numbers = try String(contentsOfFile: "/proc/\(pid)/task/\(tid)/schedstat", encoding: .utf8).split { " \n".contains($0) }
            return (tid, (try #require(Int(numbers[1])), try #require(Int(numbers[2]))))
          })
      }
      let before = try accounts()
      var attachment = try attach(Runqlat.hooksOfAccount, process, room: 1024)
      var reader = try HistogramReader(attachment.probe, unit: .microseconds, keyed: true)
      _ = try process.work()
      let after = try accounts()
      attachment.links.detach()
      let histograms = try reader.take(copy: 0)
      var compared = 0
      for (tid, account) in after {
        let (delay, comings) = (account.delay - (before[tid]?.delay ?? 0), account.comings - (before[tid]?.comings ?? 0))
        let mine = try #require(histograms.first { $0.key == UInt64(tid) }).histogram
        // What is hidden from programs the scheduler does note.
        guard mine.count == comings else { continue }
        compared += 1
        #expect(mine.sum == delay, "\(tid): \(mine.sum) in \(mine.count) waits, \(delay) in \(comings)")
      }
      process.end()
      return compared
    }

    /// Each way to see waits counts each, also where threads have no place of their own, and with room for two threads, where nearly every one is lost, each loss.
    @Test(arguments: [Runqlat.hooksOfAccount, Runqlat.hooksOfWakeups], [2, 1024]) func fullMapLosesNothingInSilence(
      _ hooks: [Hook], _ room: Int
    ) throws {
      let process = try NappingProcess([211, 101, 53], in: folder)
      var attachment = try attach(hooks, process, room: room)
      var meter = try LossMeter(attachment.probe)
      let switches = try process.work()
      attachment.links.detach()
      let (report, _) = try meter.close()
      #expect(report.isExact)
      #expect(((report.lost[.mapFull] ?? 0) > 0) == (room == 2))
      #expect(report.delivered > 0)
      #expect(report.delivered + report.totalLost >= UInt64(switches.values.reduce(0) { $0 + $1.comings }))
      process.end()
    }

    /// The probe by itself, with a histogram for each thread of a process, and so many places for threads.
    private func attach(_ hooks: [Hook], _ process: NappingProcess, room: Int) throws -> BPF.Attachment {
      try BPF.Attachment.attempt(
        .named("runqlat"), hooks: hooks.filter { $0.fact != HiddenEvents.hook.fact },
        configure: { (probe, _) throws(BPFError) in
          var filter = swtrace_filter()
          filter.pid = UInt32(process.running.pid)
          try probe.configure(".rodata.filter", filter)
          try probe.configure(".rodata.config", runqlat_config(key: RUNQLAT_THREAD.rawValue, reserved: 0))
          try probe.configure(".rodata.histogram", swtrace_histogram_config(unit: 1000, keyed: 1, reserved: (0, 0, 0, 0, 0, 0, 0)))
          try probe.resize("histogram_cells", to: 1024)
          // With two places nearly all threads share one with another.
          try Starts.resize(&probe, to: room, places: 2)
        },
        attach: { (probe, programs, _) throws(BPFError) in
          if programs.contains("enter_tasks") { _ = try probe.iterate("enter_tasks") }
          return []
        })
    }
  }
}
