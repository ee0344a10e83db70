internal import GRDB

/// The time by which it is judged how old something is, from a clock that may be wrong.
///
/// It follows the clock as long as that goes on as time does. Where the clock has jumped ahead, also while the agent did not run, this goes
/// on by itself until the clock has stayed ahead for a day: what is removed by its age is gone for ever, and a clock that is wrong is mostly
/// put right soon. Meanwhile more is kept than was asked for, as far as the size allows.
///
/// Where it stands is in the store, as windows that were stored under a wrong clock do not tell what time it was.
package struct RetentionClock: Sendable {
  /// Where it stands; kept, so that the next run goes on from there.
  package struct Standing: Equatable, Sendable {
    /// In seconds since 1970.
    package var time: Int64
    /// For how long the clock has been ahead, in seconds, of those that the agent ran.
    package var ahead: Int64

    package init(time: Int64, ahead: Int64 = 0) {
      self.time = time
      self.ahead = ahead
    }
  }

  /// When it agreed with the clock last: in seconds since 1970, and in nanoseconds of the monotonic clock.
  private var agreed: (time: Int64, at: UInt64)
  /// Since when the clock is ahead in this run, on the monotonic clock, and for how long it was in the ones before; in nanoseconds.
  private var ahead: (since: UInt64, before: UInt64)?

  /// Seconds that the clock may be ahead: small corrections.
  private static let slack: Int64 = 600
  /// Seconds after which a clock that is ahead is believed.
  private static let patience: Int64 = 86400

  /// - Parameters:
  ///   - kept: where it stood last; nil for a store that is new.
  ///   - now: what the clock shows, in seconds since 1970.
  ///   - monotonic: in nanoseconds.
  package init(_ kept: Standing?, now: Int64, monotonic: UInt64) {
    agreed = (kept.map { max(0, min($0.time, now)) } ?? now, monotonic)
    if let kept, kept.ahead > 0 { ahead = (monotonic, UInt64(min(kept.ahead, Self.patience)) * 1_000_000_000) }
  }

  /// Looks at the clock.
  ///
  /// - Returns: where it stands then, no later than what the clock shows.
  package mutating func look(now: Int64, monotonic: UInt64) -> Standing {
    let own = agreed.time + Self.seconds(monotonic - min(agreed.at, monotonic))
    let ahead = ahead ?? (monotonic, 0)
    let waited = Self.seconds(ahead.before + monotonic - min(ahead.since, monotonic))
    if now > own + Self.slack, waited < Self.patience {
      self.ahead = ahead
      return Standing(time: own, ahead: waited)
    }
    (agreed, self.ahead) = ((now, monotonic), nil)
    return Standing(time: now)
  }

  private static func seconds(_ nanoseconds: UInt64) -> Int64 { Int64(nanoseconds / 1_000_000_000) }
}

extension Store {
  /// Where the clock of retention stood last; nil for a store that is new.
  package func retention() async throws -> RetentionClock.Standing? { try await read { try $0.retention() } }
}

extension Database {
  func retention() throws -> RetentionClock.Standing? {
    var standing: RetentionClock.Standing?
    try run("SELECT time, ahead FROM retention") { standing = .init(time: $0.integer(0), ahead: $0.integer(1)) }
    return standing
  }

  func keep(_ standing: RetentionClock.Standing) throws {
    try run("REPLACE INTO retention (id, time, ahead) VALUES (1, ?, ?)", [.integer(standing.time), .integer(standing.ahead)])
  }
}
