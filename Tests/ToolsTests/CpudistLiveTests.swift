import TestSupport
import Testing

extension SwitchLiveTests {
  @Suite(.serialized) struct CpudistLiveTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Stretches on a processor are as many as the kernel traced leavings.
    @Test func everyLeavingEndsAStretch() throws {
      let process = try NappingProcess([997, 211], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let expected = switches.values.reduce(0) { $0 + $1.leavings }
      #expect(expected >= 997 + 211)
      #expect(run.counts() == [0: expected])
      #expect(run.isExact(delivered: expected), "\(run.reports.last ?? [])")
      process.end()
    }

    @Test func voluntaryAndInvoluntaryAreKeptApart() throws {
      let process = try NappingProcess([211, 101], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "--reasons", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let involuntary = switches.values.reduce(0) { $0 + $1.involuntaryLeavings }
      var expected = ["voluntary": switches.values.reduce(0) { $0 + $1.voluntaryLeavings }]
      if involuntary > 0 { expected["involuntary"] = involuntary }
      #expect(run.counts(named: "reason") == expected)
      process.end()
    }

    @Test func threadsHaveHistogramsAndNames() throws {
      let process = try NappingProcess([101, 53, 31], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "-L", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      #expect(run.counts(by: "tid") == Dictionary(uniqueKeysWithValues: switches.map { (Int($0.key), $0.value.leavings) }))
      // A thread's name at the time of its first stretch may be the one it was started with.
      #expect(Set(run.records.compactMap { $0["comm"] as? String }).isSubset(of: ["napping", "nap\\t\\x1b[1m"]))
      process.end()
    }

    /// Between leaving and coming back; the last leaving of each thread has no end.
    @Test func timeOffTheProcessor() throws {
      let process = try NappingProcess([211, 53], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "-O", "-P", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let expected = switches.values.reduce(0) { $0 + $1.returns }
      #expect(run.counts(by: "pid") == [Int(process.running.pid): expected])
      #expect(run.isExact(delivered: expected), "\(run.reports.last ?? [])")
      process.end()
    }

    /// The filter tests the task that was measured: one thread of two on the same processor.
    @Test func threadAndCommandFiltersTestTheTaskThatRan() throws {
      let process = try NappingProcess([101, 53], in: folder)
      var switches: [Int32: Switches] = [:]
      let byThread = try HistogramRun(["cpudist", "--tid", "\(process.running.pid)"]) { switches = try process.work() }
      #expect(byThread.counts() == [0: switches[process.running.pid]?.leavings ?? -1])
      process.end()
      let named = try NappingProcess([103], in: folder)
      let byName = try HistogramRun(["cpudist", "--comm", "napping"]) { switches = try named.work() }
      #expect(byName.counts() == [0: switches[named.running.pid]?.leavings ?? -1])
      named.end()
    }

    /// Idle times belong to nobody, and count only when asked for.
    @Test func idleIsIncludedOnlyOnRequest() throws {
      let process = try NappingProcess([53], in: folder)
      let run = try HistogramRun(["cpudist", "-L"]) { _ = try process.work() }
      #expect(!run.counts(by: "tid").keys.contains(0))
      process.end()
      // However busy the machine is, some processor is idle for a moment at last.
      let tool = try Swtrace.start(["cpudist", "-L", "-I", "--interval", "50ms"])
      #expect(try tool.wait(for: "tid = 0 ").hasPrefix("tid = 0 swapper/"))
      tool.signal(2)
      #expect(tool.finish().status == 0)
    }

    @Test func tableHasBCCsForm() throws {
      let finished = try Swtrace.run(["cpudist", "-T", "-m", "-P", "--", "true"])
      #expect(finished.status == 0)
      #expect(finished.lines.contains("     msecs               : count    distribution"))
      #expect(finished.lines.contains { $0.hasPrefix("pid = ") })
    }
  }
}
