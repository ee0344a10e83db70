import TestSupport
import Testing

extension SwitchLiveTests {
  @Suite(.serialized) struct CpudistLiveTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Stretches on a processor are as many as the kernel counted leavings.
    @Test func everyLeavingEndsAStretch() throws {
      let process = try NappingProcess([997, 211], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let expected = switches.values.reduce(0) { $0 + $1.counted }
      // Nearly every nap is a leaving: some are over before their thread has left.
      #expect(expected > 997)
      run.check(expected, switches, mayHideMore: true)
      process.end()
    }

    @Test func voluntaryAndInvoluntaryAreKeptApart() throws {
      let process = try NappingProcess([211, 101], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "--reasons", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let all = switches.values.reduce(Switches(), +)
      run.check(all.counted, switches, mayHideMore: true)
      let counts = run.counts(named: "reason")
      let differences = [
        (counts["voluntary"] ?? 0) - all.voluntaryLeavings, (counts["involuntary"] ?? 0) - all.involuntaryLeavings,
      ]
      #expect(differences.allSatisfy { abs($0) <= all.mostHidden }, "\(counts), \(all)")
      process.end()
    }

    @Test func threadsHaveHistogramsAndNames() throws {
      let process = try NappingProcess([101, 53, 31], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "-L", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      run.check(switches.values.reduce(0) { $0 + $1.counted }, switches, mayHideMore: true)
      run.check(by: "tid", Dictionary(uniqueKeysWithValues: switches.map { (Int($0.key), $0.value.counted) }))
      // A thread's name at the time of its first stretch may be the one it was started with.
      #expect(Set(run.records.compactMap { $0["comm"] as? String }).isSubset(of: ["napping", "nap\\t\\x1b[1m"]))
      process.end()
    }

    /// Between leaving and coming back; the first coming of each thread has no beginning.
    @Test func timeOffTheProcessor() throws {
      let process = try NappingProcess([211, 53], in: folder)
      var switches: [Int32: Switches] = [:]
      let run = try HistogramRun(["cpudist", "-O", "-P", "-p", "\(process.running.pid)"]) { switches = try process.work() }
      let expected = switches.values.reduce(0) { $0 + $1.counted - 1 }
      run.check(expected, switches)
      run.check(by: "pid", [Int(process.running.pid): expected])
      process.end()
    }

    /// The filter tests the task that was measured: one thread of two on the same processor.
    @Test func threadAndCommandFiltersTestTheTaskThatRan() throws {
      let process = try NappingProcess([101, 53], in: folder)
      var switches: [Int32: Switches] = [:]
      let byThread = try HistogramRun(["cpudist", "--tid", "\(process.running.pid)"]) { switches = try process.work() }
      byThread.check(switches[process.running.pid]?.counted ?? -1, switches, mayHideMore: true)
      process.end()
      let named = try NappingProcess([103], in: folder)
      let byName = try HistogramRun(["cpudist", "--comm", "napping"]) { switches = try named.work() }
      byName.check(switches[named.running.pid]?.counted ?? -1, switches, mayHideMore: true)
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
