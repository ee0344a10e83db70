package import AgentModel
internal import Linux
internal import ServiceLifecycle
package import Tools

/// Measures the profiles, and hands over a window of each every ten seconds.
///
/// All on one thread: processes, the rules by which stacks are walked and names are the same for all.
package final class Collector: Service {
  /// What is known of how one profile has been measured since the agent began.
  package struct Standing: Sendable {
    package var type: ProfileType
    /// Nanoseconds between samples; 0 where events are measured.
    package var period: UInt64 = 0
    package var events: UInt64 = 0
    package var lost: UInt64 = 0
    package var quality = StackRun.Quality()
  }

  private let types: [ProfileType]
  private let control: Control
  private let costs: CostMeter
  private let unwindMemory: Int
  private let hand: @Sendable (ProfileWindow, Standing) -> Void
  private let ending: EndRequest

  /// - Parameters:
  ///   - control: says how to measure; a change holds from the end of the window on.
  ///   - costs: is told how long the programs run.
  ///   - unwindMemory: of the kernel, for the rules of code, in MB.
  ///   - hand: takes a window; called on the collector's thread, which it must not hold up.
  package init(
    _ types: [ProfileType] = ProfileType.allCases, control: Control, costs: CostMeter, unwindMemory: Int,
    hand: @escaping @Sendable (ProfileWindow, Standing) -> Void
  ) throws {
    self.types = types
    self.control = control
    self.costs = costs
    self.unwindMemory = unwindMemory
    self.hand = hand
    ending = try EndRequest()
  }

  /// Measures until a graceful shutdown; the last windows, which are shorter, are handed over before it returns.
  ///
  /// A profile that cannot begin is noted, and tried again.
  ///
  /// - Throws: when what profiles share cannot be had: memory, descriptors.
  package func run() async throws {
    try await MeasuringThread.run("profiles", until: ending) { [self] in
      let profiling = try Profiling(types, control, costs, unwindMemory: unwindMemory, until: ending, hand)
      while try profiling.turn() {}
      try profiling.end()
    }
  }
}
