/// When a probe that could not begin, or broke down, is tried again by itself: after a pause that doubles with each failure in a row.
///
/// Times are in nanoseconds, of a clock that does not go back.
struct Retrial: Sendable {
  /// Pauses after the first failure, and at most.
  static let pauses: ClosedRange<UInt64> = 10_000_000_000...640_000_000_000

  /// Whether it has failed, and has finished no window since.
  private(set) var isFailing = false
  private var pause: UInt64 = 0
  private var dueAt: UInt64 = 0

  mutating func fail(at now: UInt64) {
    isFailing = true
    pause = min(max(2 * pause, Self.pauses.lowerBound), Self.pauses.upperBound)
    dueAt = now + pause
  }

  /// Has it tried at once, because somebody asks for it; if it fails then, pauses begin anew.
  mutating func ask() { (pause, dueAt) = (0, 0) }

  /// Forgets what has failed: it has measured for a window.
  mutating func succeed() { self = Retrial() }

  /// How long it is until it is tried again; 0 when it is to be tried now.
  func remaining(at now: UInt64) -> UInt64 { dueAt - min(dueAt, now) }
}
