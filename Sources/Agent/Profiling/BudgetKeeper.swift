internal import AgentModel
internal import Linux

/// Looks at what the agent takes, and has it take less where that is too much.
struct BudgetKeeper {
  private(set) var governor = CostGovernor()
  private var jointRest = JointRest()
  private let control: Control
  private let costs: CostMeter

  init(_ control: Control, _ costs: CostMeter) {
    self.control = control
    self.costs = costs
  }

  /// Judges a window; what rests and what goes on is noted.
  ///
  /// - Parameter members: the probes of profiles that measure.
  mutating func judge(_ members: [ProfileMember]) {
    let (budget, paused) = (control.configuration.budget, control.paused)
    let window = takeWindow(members)
    let limits = CostGovernor.Limits(processor: budget.processor / 100, memory: UInt64(budget.memory))
    let decision = governor.judge(window, limits, pausedStill: paused)
    if let decision { control.note(decision, isWhole: costs.knowsPrograms) }
    let probes = members.map { $0.types.map(\.rawValue) }
    let stopped = Set(probes.joined().filter { control[$0]?.isEnabled == false })
    for change in jointRest.follow(decision?.change, probes: probes, stopped: stopped, pausedStill: paused) {
      var other = decision ?? CostGovernor.Decision(change: change, cause: .processor, share: window.share, memory: window.memory)
      other.change = change
      control.note(other, isWhole: costs.knowsPrograms)
    }
  }

  /// What the agent has cost since the last time.
  private func takeWindow(_ members: [ProfileMember]) -> CostGovernor.Window {
    let spent = costs.measure()
    var window = CostGovernor.Window(elapsed: spent.elapsed)
    (window.process, window.memory) = (spent.process, OwnCost.residentMemory)
    for member in members {
      let time = member.types.reduce(0) { $0 + (spent.byProbe[$1.rawValue] ?? 0) }
      // What has a frequency takes less with it.
      let hasFrequency = member.types.contains { member.settings[$0]?.frequency != nil }
      if hasFrequency { window.samples += time } else { window.events[member.types[0].rawValue] = time }
    }
    for key in MetricKey.allCases where control.isRunning(key.rawValue) {
      window.events[key.rawValue] = spent.byProbe[key.tool] ?? 0
      window.maps[key.rawValue] = costs.mapMemory(of: key.tool)
    }
    return window
  }
}
