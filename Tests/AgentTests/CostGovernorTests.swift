import AgentModel
import Testing

@testable import Agent

/// Windows of ten seconds, a budget of 2 % of a processor and 256 MB.
@Suite struct CostGovernorTests {
  /// An agent whose cost follows what the governor decides.
  private struct Machine {
    var governor = CostGovernor()
    /// In percent of a processor: what does not depend on the rates, what does at full rates, and the probes of metrics.
    var fixed = 0.3
    var profiles = 0.5
    var metrics = ["run_queue": 0.2, "tcp_rtt": 0.1]
    var memory: UInt64 = 100
    var limit = 2.0
    var paused: Set<String> = []
    /// What was decided, with the number of the window.
    var log: [(window: Int, change: CostGovernor.Change)] = []
    var window = 0
    /// In percent of a processor, of each window.
    var costs: [Double] = []
    /// What holds in this window: a decision comes into force at the end of the next one.
    private var (level, resting): (Int, Set<String>) = (0, [])

    mutating func run(_ windows: Int) {
      for _ in 0..<windows {
        var made = CostGovernor.Window(elapsed: 10_000_000_000)
        func time(_ percent: Double) -> UInt64 { UInt64(percent * 100_000_000) }
        made.process = time(fixed)
        made.samples = time(profiles / Double(1 << level))
        made.events = metrics.filter { !resting.contains($0.key) }.mapValues(time)
        made.maps = metrics.filter { !resting.contains($0.key) }.mapValues { time($0) }
        made.memory = memory << 20
        costs.append(Double(made.total) / 100_000_000)
        (level, resting) = (governor.level, paused)
        window += 1
        let decision = governor.judge(made, .init(processor: limit / 100, memory: 256 << 20), pausedStill: paused)
        guard let change = decision?.change else { continue }
        log.append((window, change))
        if case .pause(let name, _) = change { paused.insert(name) }
        if case .resume(let name) = change { paused.remove(name) }
      }
    }

    var changes: [CostGovernor.Change] { log.map(\.change) }
    var pauses: [String] { changes.compactMap { if case .pause(let name, _) = $0 { name } else { nil } } }
    var resumes: [String] { changes.compactMap { if case .resume(let name) = $0 { name } else { nil } } }
  }

  @Test func whatFitsIsLeftAlone() {
    var machine = Machine()
    machine.run(1000)
    #expect(machine.log.isEmpty && machine.costs.allSatisfy { abs($0 - 1.1) < 0.001 })
    // A window that costs more now and then is none.
    machine.profiles = 2
    machine.run(1)
    machine.profiles = 0.5
    machine.run(100)
    #expect(machine.log.isEmpty)
  }

  @Test func ratesAreLoweredBeforeTheLimitIsReached() {
    var machine = Machine()
    machine.profiles = 1.3
    machine.run(3)
    // 1.9 %: within the limit, but no more within its 90 %.
    #expect(machine.changes == [.level(1)] && machine.costs.max() ?? 9 < 2)
    machine.run(200)
    // 0.6 + 2 * 0.65 would be too much again.
    #expect(machine.changes == [.level(1)])
    machine.profiles = 0.5
    machine.run(20)
    #expect(machine.changes == [.level(1), .level(0)])
  }

  @Test func aJumpIsAnsweredAtOnce() {
    var machine = Machine()
    machine.run(20)
    machine.profiles = 40
    machine.run(1)
    #expect(machine.changes == [.level(1)])
    machine.run(15)
    #expect(machine.governor.level == 6 && machine.window == 36, "\(machine.log)")
  }

  /// Lower rates would only cost the profiles: the dearest probe of metrics rests, and the cheap ones go on.
  @Test func aProbeOfMetricsThatIsTooDearIsPaused() throws {
    var machine = Machine()
    machine.run(10)
    machine.metrics["run_queue"] = 3
    // At first it could be a peak, for which lower rates for a minute would do.
    machine.run(6)
    #expect(machine.changes == [.level(1), .pause("run_queue", share: 0.03)])
    machine.run(50)
    #expect(machine.changes.dropFirst(2) == [.level(0)] && machine.costs.suffix(49).allSatisfy { $0 < 1 })
  }

  @Test func ratesComeFirstAsLongAsTheyHelp() {
    var machine = Machine()
    (machine.fixed, machine.profiles) = (1.2, 1)
    machine.metrics = ["run_queue": 0.7, "tcp_rtt": 0.1]
    machine.run(50)
    // 1.2 + 0.8 alone are above the target of 1.8.
    #expect(machine.changes.prefix(7) == [.level(1), .level(2), .level(3), .level(4), .level(5), .level(6)] + [machine.changes[6]])
    #expect(machine.pauses == ["run_queue"] && machine.paused == ["run_queue"])
  }

  /// Two minutes of a busy machine, and it is quiet again.
  @Test func itGoesOnWhenThereIsRoomForWhatItIsExpectedToCost() throws {
    var machine = Machine()
    machine.metrics["run_queue"] = 3
    machine.run(12)
    #expect(machine.pauses == ["run_queue"])
    machine.metrics["run_queue"] = 0.2
    machine.run(400)
    #expect(machine.resumes == ["run_queue"] && machine.pauses.count == 1)
    // Room is 1.8 - 0.9 = 0.9: 3 % is believed to be that after 105 windows.
    let (began, ended) = (machine.log[0].window, machine.log[1].window)
    #expect((105...108).contains(ended - began), "\(machine.log)")
  }

  /// One that stays too dear is tried more and more seldom, and what it takes meanwhile is little.
  @Test func itDoesNotFlap() {
    var machine = Machine()
    machine.metrics["run_queue"] = 8
    machine.run(8640)
    #expect(machine.pauses.count == machine.resumes.count + (machine.paused.isEmpty ? 0 : 1))
    #expect((2...8).contains(machine.pauses.count), "\(machine.log.map(\.window))")
    #expect(machine.costs.reduce(0, +) / 8640 < 1.8 && machine.costs.filter { $0 > 2 }.count < 40)
    let times = machine.log.filter { if case .pause = $0.change { true } else { false } }.map(\.window)
    #expect(zip(times.dropFirst(), times).map(-).reduce((true, 0)) { ($0.0 && $1 > $0.1, $1) }.0, "\(times)")
  }

  @Test func nothingIsPausedWithoutNeed() {
    var machine = Machine()
    (machine.fixed, machine.metrics) = (5, ["run_queue": 0.05])
    machine.run(500)
    // It would not help.
    #expect(machine.pauses == [] && machine.governor.level == 6)
    #expect(machine.changes.last == .exhausted && machine.changes.filter { $0 == .exhausted }.count == 1)
    machine.fixed = 0.1
    machine.run(100)
    #expect(machine.governor.level == 0)
  }

  @Test func memory() {
    var machine = Machine()
    machine.memory = 240
    machine.run(1)
    #expect(machine.changes == [.lean(true)] && machine.governor.isLean)
    machine.run(6)
    #expect(machine.changes == [.lean(true), .level(1)])
    machine.run(100)
    // The rates first, then the probe with the largest maps, then the next one.
    #expect(machine.changes == [.lean(true)] + (1...6).map { .level($0) } + machine.changes.suffix(3))
    #expect(machine.pauses == ["run_queue", "tcp_rtt"] && machine.changes.last == .exhausted)
    machine.memory = 200
    machine.run(100)
    #expect(machine.changes.last == .exhausted && machine.governor.isLean)
    machine.memory = 150
    machine.run(200)
    #expect(!machine.governor.isLean && machine.governor.level == 0 && machine.paused == [])
  }

  @Test func whoStartsAPausedProbeHasIt() {
    var machine = Machine()
    machine.metrics["run_queue"] = 3
    machine.run(3)
    #expect(machine.pauses == ["run_queue"])
    machine.paused = []
    machine.metrics["run_queue"] = 0.1
    machine.run(100)
    #expect(machine.log.count == 1)
  }

  @Test func ratesStayAtLeastOne() {
    var machine = Machine()
    machine.fixed = 50
    machine.run(100)
    #expect(machine.governor.lowered(19) == 1 && machine.governor.lowered(640) == 10 && machine.governor.lowered(0) == 0)
  }
}
