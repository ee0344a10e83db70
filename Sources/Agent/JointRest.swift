/// Has the profiles of one probe rest together, and go on together: it takes as much for one of them as for all.
///
/// The governor knows such a probe by the first of its profiles only.
struct JointRest: Sendable {
  /// Who rests because of the profile that the governor has paused.
  private var others: [String: Set<String>] = [:]

  /// Takes in what the governor has decided about a window; call it for each.
  ///
  /// - Parameters:
  ///   - probes: the profiles of each probe that measures, the one that the governor knows first.
  ///   - stopped: those that somebody has stopped, which do not rest.
  ///   - pausedStill: what rests to keep the budget, as the governor was told before it decided. What is missing measures again because
  ///     somebody said so.
  /// - Returns: what is to change as well.
  mutating func follow(
    _ change: CostGovernor.Change?, probes: [[String]], stopped: Set<String>, pausedStill: Set<String>
  ) -> [CostGovernor.Change] {
    var changes: [CostGovernor.Change] = []
    var paused = pausedStill
    for name in others.keys { others[name]?.formIntersection(pausedStill) }
    if case .pause(let name, let share) = change {
      paused.insert(name)
      let joining = Set(probes.first { $0.first == name }?.dropFirst() ?? []).subtracting(stopped).subtracting(pausedStill)
      others[name, default: []].formUnion(joining)
      changes += joining.sorted().map { .pause($0, share: share) }
    }
    if case .resume(let name) = change { paused.remove(name) }
    for (name, resting) in others.sorted(by: { $0.key < $1.key }) where !paused.contains(name) {
      others[name] = nil
      changes += resting.sorted().map { .resume($0) }
    }
    return changes
  }
}
