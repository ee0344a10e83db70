/// Decides by how much the agent's rates are lowered, so that it costs no more than it may.
package struct CostGovernor: Sendable {
  /// How often the rates have been halved.
  package private(set) var level = 0
  /// Of the windows since the last change.
  private var windows: [(cost: Double, elapsed: Double)] = []

  /// Rates are halved that often at most; 1/64 of 19 Hz is a sample in three seconds.
  package static let maximumLevel = 6
  /// Windows that are looked at before rates are lowered: the first ones of a run cost more.
  private static let windowsBeforeLowering = 3
  /// Windows below half of the limit before rates are raised again.
  private static let windowsBeforeRaising = 6

  package init() {}

  /// Takes in what a window has cost.
  ///
  /// - Parameters:
  ///   - cost: processor time of the agent and its programs, in nanoseconds.
  ///   - elapsed: the window's length, in nanoseconds.
  ///   - limit: processors' worth of time: 0.01 is one hundredth of one.
  /// - Returns: the share of the windows that were looked at, when the level has changed.
  package mutating func judge(cost: UInt64, elapsed: UInt64, limit: Double) -> Double? {
    guard elapsed > 0 else { return nil }
    windows.append((Double(cost), Double(elapsed)))
    if windows.count > Self.windowsBeforeRaising { windows.removeFirst() }
    let share = windows.reduce(0) { $0 + $1.cost } / windows.reduce(0) { $0 + $1.elapsed }
    if windows.count >= Self.windowsBeforeLowering, share > limit, level < Self.maximumLevel {
      level += 1
    } else if windows.count >= Self.windowsBeforeRaising, share < limit / 2, level > 0 {
      level -= 1
    } else {
      return nil
    }
    windows = []
    return share
  }

  /// A rate at this level; it stays at least one.
  package func lowered(_ rate: UInt64) -> UInt64 { rate == 0 ? 0 : max(1, rate >> UInt64(level)) }
}
