internal import AgentModel
internal import AgentServer
internal import Logging
internal import Synchronization

/// Of what people are told while it lasts.
enum BudgetRemark: Hashable, Comparable { case rates, memory, exhausted }

/// What is given up to keep the budget.
extension Control {
  /// Notes what the governor has decided; probes follow from the end of the window on.
  ///
  /// - Parameter isWhole: whether what the agent's programs took in the kernel is in its share.
  func note(_ decision: CostGovernor.Decision, isWhole: Bool) {
    let budget = configuration.budget
    let rest = isWhole ? "" : ", its programs in the kernel not counted"
    let taken: String
    switch decision.cause {
    case .processor:
      taken = "the agent took \(Self.percent(decision.share)) of a processor\(rest), and may take \(Self.percent(budget.processor / 100))"
    case .memory: taken = "the agent takes \(decision.memory >> 20) MB, and may take \(budget.memory >> 20) MB"
    }
    switch decision.change {
    case .lean(let isLean):
      remark(.memory, isLean ? "Less is kept in memory to keep max_memory, so that names take longer." : nil)
      logger.notice("\(isLean ? "less is kept in memory, so that names take longer" : "as much is kept in memory as before"): \(taken)")
    case .level(let halvings):
      let before = content.withLock { content in
        defer { content.halvings = halvings }
        return content.halvings
      }
      remark(.rates, halvings > 0 ? "Rates are 1/\(1 << halvings) of what was asked for: \(taken)." : nil)
      logger.notice("rates are \(halvings > before ? "lowered" : "raised") to 1/\(1 << halvings) of what was asked for: \(taken)")
    case .pause(let name, let share):
      let reason = "paused to keep the budget: \(taken), of which this probe's programs took \(Self.percent(share)) of a processor"
      content.withLock { $0.probes[name]?.hindrance = .init(.budget, reason) }
      logger.warning("\(name) is \(reason); it goes on when there is room, or with a larger budget")
    case .resume(let name):
      content.withLock { if $0.probes[name]?.hindrance?.cause == .budget { $0.probes[name]?.hindrance = nil } }
      logger.notice("\(name) goes on: \(taken)")
    case .exhausted:
      remark(.exhausted, "The agent takes more than it may, and nothing is left to give up: \(taken).")
      logger.warning("nothing is left to give up: \(taken); raise the budget or stop a probe")
    }
    if decision.change != .exhausted { remark(.exhausted, nil) }
  }

  private func remark(_ subject: BudgetRemark, _ text: String?) { content.withLock { $0.remarks[subject] = text } }

  /// How often the rates are halved to keep the budget.
  package var halvings: Int { content.withLock(\.halvings) }

  /// Probes that rest to keep the budget.
  var paused: Set<String> { content.withLock { Set($0.probes.filter { $0.value.hindrance?.cause == .budget }.keys) } }

  /// What people should know of the budget.
  package var remarks: [String] {
    content.withLock { content in
      content.remarks.sorted { $0.key < $1.key }.map(\.value)
        + content.probes.sorted { $0.key < $1.key }.compactMap { name, probe in
          probe.hindrance?.cause == .budget ? "\(name) is \(probe.hindrance?.reason ?? "paused")." : nil
        }
    }
  }

  private static func percent(_ share: Double) -> String {
    let hundredths = Int((share * 10_000).rounded())
    return "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10) %"
  }
}
