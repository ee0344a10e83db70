import AgentModel
import AgentServer
import Synchronization
import Testing

@testable import Agent

private let second: UInt64 = 1_000_000_000

@Suite struct RetrialTests {
  @Test func pausesDoubleUntilTheLongest() {
    var retrial = Retrial()
    #expect(!retrial.isFailing && retrial.remaining(at: 0) == 0)
    var now = 7 * second
    for pause in [10, 20, 40, 80, 160, 320, 640, 640, 640].map({ $0 * second }) {
      retrial.fail(at: now)
      #expect(retrial.isFailing && retrial.remaining(at: now) == pause)
      #expect(retrial.remaining(at: now + pause - 1) == 1 && retrial.remaining(at: now + pause) == 0)
      now += pause + 3
      #expect(retrial.remaining(at: now) == 0)
    }
  }

  @Test func whoAsksHasItTriedAtOnce() {
    var retrial = Retrial()
    for _ in 0..<3 { retrial.fail(at: 0) }
    retrial.ask()
    #expect(retrial.remaining(at: 1) == 0 && retrial.isFailing)
    retrial.fail(at: second)
    #expect(retrial.remaining(at: second) == 10 * second)
  }

  @Test func successForgets() {
    var retrial = Retrial()
    for _ in 0..<5 { retrial.fail(at: 0) }
    retrial.succeed()
    #expect(!retrial.isFailing && retrial.remaining(at: 0) == 0)
    retrial.fail(at: second)
    #expect(retrial.remaining(at: second) == 10 * second)
  }
}

/// A clock that stands still unless it is moved.
private final class Time: Sendable {
  private let content = Mutex<UInt64>(1000 * second)
  var now: UInt64 {
    get { content.withLock(\.self) }
    set { content.withLock { $0 = newValue } }
  }
}

/// What holds of probes of metrics holds of profiles: Control decides when both are tried.
@Suite struct RetrialOfProbesTests {
  private let lines = Lines()
  private let time = Time()

  private func control() -> Control { Control(Configuration(), logger: lines.logger, audit: lines.logger) { [time] in time.now } }

  private func reason(_ control: Control, _ name: String) async -> String? {
    await control.probes().first { $0.name == name }?.hindrance?.reason
  }

  /// Fails, as its collector would, where it is to begin.
  private func tryInVain(_ control: Control, _ name: String) throws {
    control.note(name, with: try #require(control.due(name)), failed: "no room")
  }

  @Test(arguments: ["cpu", "run_queue"]) func whatFailedIsTriedAfterAPause(_ name: String) async throws {
    let control = control()
    for pause in [10, 20, 40, 80, 160, 320, 640, 640] as [UInt64] {
      try tryInVain(control, name)
      let state = try #require(await control.probes().first { $0.name == name })
      #expect(state.hindrance == .init(.failure, "no room; it is tried again in \(pause) s") && !state.isPending && !state.isRunning)
      #expect(lines.all.last == "error: the probe \(name) does not measure: no room; it is tried again in \(pause) s")
      // What is told is how long it is from now.
      time.now += 3 * second + 1
      #expect(await reason(control, name) == "no room; it is tried again in \(pause - 3) s")
      time.now += (pause - 3) * second - 2
      #expect(await reason(control, name) == "no room; it is tried again in 1 s" && control.due(name) == nil)
      time.now += 1
      #expect(await reason(control, name) == "no room; it is tried again now")
      #expect(control.due(name) == control[name] && control.wanted(name) == nil)
    }
    #expect(lines.all.count == 8)
  }

  @Test(arguments: ["cpu", "page_faults"]) func otherSettingsAreTriedAtOnce(_ name: String) async throws {
    let control = control()
    for _ in 0..<3 {
      try tryInVain(control, name)
      time.now += 640 * second
    }
    try tryInVain(control, name)
    #expect(control.due(name) == nil && control.isFailing(name))
    _ = try await control.change(name, name == "cpu" ? ProbeChange(frequency: 97) : ProbeChange(mode: "all"), by: "me")
    #expect(control.due(name) == control[name] && control.isFailing(name))
    #expect(await reason(control, name) == nil)
    // They are not what has failed before.
    try tryInVain(control, name)
    #expect(await reason(control, name) == "no room; it is tried again in 10 s")
    // What is said again changes nothing.
    _ = try await control.change(name, name == "cpu" ? ProbeChange(frequency: 97) : ProbeChange(mode: "all"), by: "me")
    #expect(control.due(name) == nil)
  }

  @Test(arguments: ["off_cpu", "syscalls"]) func whoStopsAndStartsHasItTriedAtOnce(_ name: String) async throws {
    let control = control()
    try tryInVain(control, name)
    time.now += 10 * second
    try tryInVain(control, name)
    _ = try await control.change(name, ProbeChange(isRunning: false), by: "me")
    #expect(control.due(name) == nil)
    #expect(await reason(control, name) == nil)
    time.now += 1000 * second
    #expect(control.due(name) == nil)
    _ = try await control.change(name, ProbeChange(isRunning: true), by: "me")
    try tryInVain(control, name)
    #expect(await reason(control, name) == "no room; it is tried again in 10 s")
  }

  /// What begins and breaks down before it has measured for a window has failed once more.
  @Test func successIsAWindow() async throws {
    let control = control()
    let settings = try #require(control.due("cpu"))
    try tryInVain(control, "cpu")
    time.now += 10 * second
    control.note("cpu", runs: settings)
    #expect(await reason(control, "cpu") == nil && control.isFailing("cpu") && control.isRunning("cpu"))
    control.note("cpu", with: settings, failed: "gone")
    // Its last window comes afterwards.
    control.note("cpu", events: 7, lost: 0)
    #expect(await reason(control, "cpu") == "gone; it is tried again in 20 s" && control.isFailing("cpu"))
    time.now += 20 * second
    control.note("cpu", runs: settings)
    control.note("cpu", events: 9, lost: 0)
    #expect(!control.isFailing("cpu"))
    control.note("cpu", with: settings, failed: "gone")
    #expect(await reason(control, "cpu") == "gone; it is tried again in 10 s")
  }

  /// What rests to keep the budget is not tried before it goes on.
  @Test func theBudgetComesFirst() async throws {
    let control = control()
    let settings = try #require(control.due("run_queue"))
    func note(_ change: CostGovernor.Change) {
      control.note(.init(change: change, cause: .processor, share: 0.03, memory: 0), isWhole: true)
    }
    control.note("run_queue", runs: settings)
    note(.pause("run_queue", share: 0.02))
    control.note("run_queue", with: settings, failed: "gone")
    #expect(lines.all.last == "error: the probe run_queue does not measure: gone")
    time.now += 1000 * second
    #expect(control.due("run_queue") == nil && control.paused == ["run_queue"])
    note(.resume("run_queue"))
    #expect(control.due("run_queue") == settings)
  }
}
