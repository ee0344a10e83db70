import AgentModel
import AgentServer
import Testing

@testable import Agent

/// One probe measures off_cpu and lock; the governor knows it as off_cpu.
@Suite struct JointRestTests {
  /// Windows of an agent: what the governor decides is noted, and so is what follows.
  private struct Agent {
    let control: Control
    var rest = JointRest()
    /// The profiles of each probe that measures.
    var probes = [["cpu"], ["off_cpu", "lock"]]

    init() {
      var configuration = Configuration()
      (configuration.offCPUThreshold, configuration.lockThreshold) = (1000, 100)
      control = Control(configuration, logger: Lines().logger, audit: Lines().logger)
    }

    /// - Returns: what changes besides.
    mutating func window(_ change: CostGovernor.Change? = nil) -> [CostGovernor.Change] {
      let paused = control.paused
      func note(_ change: CostGovernor.Change) {
        control.note(.init(change: change, cause: .processor, share: 0.03, memory: 0), isWhole: true)
      }
      if let change { note(change) }
      let stopped = Set(probes.joined().filter { control[$0]?.isEnabled == false })
      let more = rest.follow(change, probes: probes, stopped: stopped, pausedStill: paused)
      for change in more { note(change) }
      return more
    }

    func turn(_ name: String, on: Bool) async throws { _ = try await control.change(name, ProbeChange(isRunning: on), by: "me") }
    func restart(_ name: String) async throws { for on in [false, true] { try await turn(name, on: on) } }
  }

  @Test func whatOneProbeMeasuresRestsAndGoesOnTogether() {
    var agent = Agent()
    #expect(agent.window() == [] && agent.window(.level(1)) == [])
    #expect(agent.window(.pause("off_cpu", share: 0.02)) == [.pause("lock", share: 0.02)])
    #expect(agent.control.paused == ["off_cpu", "lock"])
    agent.probes = [["cpu"]]
    #expect(agent.window() == [] && agent.window(.level(0)) == [] && agent.window(.pause("run_queue", share: 0.01)) == [])
    #expect(agent.window(.resume("run_queue")) == [] && agent.control.paused == ["off_cpu", "lock"])
    #expect(agent.window(.resume("off_cpu")) == [.resume("lock")])
    #expect(agent.control.paused == [] && agent.window() == [])
  }

  @Test func whoHasOneGoOnHasBothGoOn() async throws {
    var agent = Agent()
    _ = agent.window(.pause("off_cpu", share: 0.02))
    agent.probes = [["cpu"]]
    try await agent.restart("off_cpu")
    #expect(agent.control.paused == ["lock"])
    #expect(agent.window() == [.resume("lock")])
    #expect(agent.control.paused == [] && agent.window() == [])
    // Who stops it for good lets the other one measure by itself.
    agent.probes = [["cpu"], ["off_cpu", "lock"]]
    _ = agent.window(.pause("off_cpu", share: 0.02))
    try await agent.turn("off_cpu", on: false)
    #expect(agent.window() == [.resume("lock")])
  }

  @Test func whatIsStoppedDoesNotRest() async throws {
    var agent = Agent()
    // It is measured until the end of the window.
    try await agent.turn("lock", on: false)
    #expect(agent.window(.pause("off_cpu", share: 0.02)) == [])
    #expect(agent.control.paused == ["off_cpu"])
    // By itself, it is started at once.
    try await agent.turn("lock", on: true)
    #expect(agent.control.due("lock") == agent.control["lock"])
    agent.probes = [["cpu"], ["lock"]]
    #expect(agent.window() == [] && agent.window(.resume("off_cpu")) == [])
  }

  /// The other one measures by itself because somebody said so, is too dear, and rests because of that.
  @Test func whatWasTakenOutRestsByItself() async throws {
    var agent = Agent()
    _ = agent.window(.pause("off_cpu", share: 0.02))
    try await agent.restart("lock")
    agent.probes = [["cpu"], ["lock"]]
    // In the same window.
    #expect(agent.window(.pause("lock", share: 0.04)) == [] && agent.control.paused == ["off_cpu", "lock"])
    agent.probes = [["cpu"]]
    #expect(agent.window(.resume("off_cpu")) == [])
    #expect(agent.control.paused == ["lock"])
    #expect(agent.window(.resume("lock")) == [] && agent.control.paused == [])
  }

  /// Started again by somebody, it is paused again before the other one goes on: that one still rests with it.
  @Test func aPauseThatFollowsAPause() async throws {
    var agent = Agent()
    _ = agent.window(.pause("off_cpu", share: 0.02))
    try await agent.restart("off_cpu")
    agent.probes = [["cpu"], ["off_cpu"]]
    #expect(agent.window(.pause("off_cpu", share: 0.05)) == [])
    #expect(agent.control.paused == ["off_cpu", "lock"])
    agent.probes = [["cpu"]]
    #expect(agent.window() == [] && agent.window(.resume("off_cpu")) == [.resume("lock")])
    #expect(agent.control.paused == [])
    // And once more, after it has gone on.
    agent.probes = [["cpu"], ["off_cpu", "lock"]]
    #expect(agent.window(.pause("off_cpu", share: 0.02)) == [.pause("lock", share: 0.02)])
    #expect(agent.window(.resume("off_cpu")) == [.resume("lock")])
  }

  /// A profile that the governor does not know by its name does not take the first one with it.
  @Test func onlyTheFirstOneLeads() {
    var agent = Agent()
    #expect(agent.window(.pause("lock", share: 0.02)) == [] && agent.control.paused == ["lock"])
    #expect(agent.window(.pause("cpu", share: 0.02)) == [] && agent.window(.pause("none", share: 0.02)) == [])
  }
}
