/// What each function's own share was in one profile and is in another.
package struct ProfileDifference: Sendable {
  package struct Row: Hashable, Sendable {
    package let function: String
    /// Empty when one of the profiles does not know modules.
    package let module: String
    /// Shares of all that was measured, from 0 to 1.
    package let before: Double
    package let after: Double
    /// Three standard errors of the difference; nil when nobody knows how many events were measured.
    package let noise: Double?

    package var change: Double { after - before }
    /// The size of the change without the last digits, so that equal ones are equal.
    fileprivate var rank: Double { (abs(change) * 1e9).rounded() }
    /// Whether chance alone would rarely give such a difference.
    package var isBeyondNoise: Bool { noise.map { abs(change) > $0 } ?? false }
  }

  /// The largest change first, either way.
  package let rows: [Row]
  /// Events in either profile, as far as known.
  package let events: (before: Double, after: Double)

  /// - Parameter hasCounts: whether the profiles' counts are of events. Samples always are.
  package init(_ before: Profile, _ after: Profile, hasCounts: Bool = true) {
    let knowsModules = [before, after].allSatisfy { $0.stacks.frames.contains { !$0.module.isEmpty } }
    let (first, second) = (Costs(before, modules: knowsModules), Costs(after, modules: knowsModules))
    let isCounted = hasCounts || before.unit == .samples
    // Times and sizes differ from event to event, which makes sums of them twice as uncertain as counts (as if distributed exponentially).
    let spread = before.unit == .samples ? 1.0 : 2.0
    events = (first.events, second.events)
    rows = Set(first.functions.keys).union(second.functions.keys).map { key in
      let (old, new) = (first.functions[key] ?? Cost(), second.functions[key] ?? Cost())
      var noise: Double?
      if isCounted, first.events > 0, second.events > 0 {
        let all = first.value / first.events + second.value / second.events
        let share = (old.value / first.value * first.events + new.value / second.value * second.events) / (first.events + second.events)
        // How much larger this function's events are than the mean of all: few large ones are less certain than many small ones.
        let own = (old.events + new.events) > 0 ? (old.value + new.value) / (old.events + new.events) : 0
        let size = before.unit == .samples || all == 0 ? 1 : own / (all / 2)
        let variance = spread * size * share * max(1 - share, 0) * (1 / first.events + 1 / second.events)
        noise = 3 * variance.squareRoot()
      }
      return Row(
        function: key.function, module: key.module, before: first.value > 0 ? old.value / first.value : 0,
        after: second.value > 0 ? new.value / second.value : 0, noise: noise)
    }.sorted {
      ($1.rank, $1.before, $0.function, $0.module) < ($0.rank, $0.before, $1.function, $1.module)
    }
  }
}

private struct Key: Hashable {
  let function: String
  let module: String
}

private struct Cost {
  var value = 0.0
  var events = 0.0
}

/// What each function cost itself.
private struct Costs {
  var functions: [Key: Cost] = [:]
  var value = 0.0
  var events = 0.0

  init(_ profile: Profile, modules: Bool) {
    var scale = 1.0
    for _ in 0..<profile.decimals { scale *= 10 }
    for sample in profile.samples {
      let key = Self.leaf(of: sample.stack, in: profile).map { Key(function: $0.function, module: modules ? $0.module : "") }
      let value = Double(sample.value) / scale
      let events = profile.unit == .samples ? value : Double(sample.count)
      functions[key ?? Key(function: "[no stack]", module: ""), default: Cost()].value += value
      functions[key ?? Key(function: "[no stack]", module: ""), default: Cost()].events += events
      self.value += value
      self.events += events
    }
  }

  private static func leaf(of stack: Stack.ID, in profile: Profile) -> Frame? {
    var rest = stack
    while let (frame, caller) = profile.stacks.top(of: rest) {
      if !profile.stacks[frame].isDelimiter { return profile.stacks[frame] }
      rest = caller
    }
    return nil
  }
}
