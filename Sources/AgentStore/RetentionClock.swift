/// The time by which it is judged how old something is, from a clock that may be wrong.
///
/// It follows the clock as long as that goes on as time does. Where the clock has jumped ahead, or at the start is far ahead of what was
/// stored last, this goes on by itself until the clock has stayed there for a day: what is removed by its age is gone for ever, and a clock
/// that is wrong is mostly put right soon. Meanwhile more is kept than was asked for, as far as the size allows.
package struct RetentionClock: Sendable {
  /// When it agreed with the clock last: in seconds since 1970, and in nanoseconds of the monotonic clock.
  private var agreed: (time: Int64, at: UInt64)
  /// Since when the clock is ahead, in nanoseconds of the monotonic clock.
  private var aheadSince: UInt64?

  /// Seconds that the clock may be ahead: small corrections.
  private static let slack: Int64 = 600
  /// Nanoseconds after which a clock that is ahead is believed.
  private static let patience: UInt64 = 86_400_000_000_000

  /// - Parameters:
  ///   - newest: the newest that is stored, in seconds since 1970; nil for nothing.
  ///   - now: what the clock shows, in seconds since 1970.
  ///   - monotonic: in nanoseconds.
  package init(newest: Int64?, now: Int64, monotonic: UInt64) { agreed = (min(newest ?? now, now), monotonic) }

  /// The time in seconds since 1970, no later than what the clock shows.
  package mutating func time(now: Int64, monotonic: UInt64) -> Int64 {
    let own = agreed.time + Int64((monotonic - min(agreed.at, monotonic)) / 1_000_000_000)
    let since = aheadSince ?? monotonic
    if now > own + Self.slack, monotonic - min(since, monotonic) < Self.patience {
      aheadSince = since
      return own
    }
    (agreed, aheadSince) = ((now, monotonic), nil)
    return now
  }
}
