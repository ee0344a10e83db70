internal import BPF
internal import Linux

/// Keeps the number of waits that are taken near a rate, by the period that shorter ones stand for (wait.bpf.h).
final class WaitSampler {
  private let map: ProbeMap<UInt32, UInt64>
  /// Which of the periods.
  private let index: UInt32
  /// A second.
  var rate: UInt64
  private var period: Double
  private var last: (time: UInt64, count: UInt64)

  /// In nanoseconds: a thousandth is what the probe's arithmetic is off by at the lower bound; the upper one is what it can multiply by.
  private static let periods = 1e6...3.6e12
  /// Waits of less are a part of one, until something is known of this machine's.
  private static let first = 1e8
  /// In nanoseconds.
  private static let interval: UInt64 = 1_000_000_000

  /// - Parameters:
  ///   - index: which of the probe's periods it sets.
  ///   - rate: a second.
  init(_ probe: borrowing LoadedProbe, _ index: UInt32, rate: UInt64) throws(BPFError) {
    map = try probe.map("wait_period")
    self.index = index
    self.rate = rate
    period = Self.first
    last = (Clock.monotonic, 0)
    try map.set(index, UInt64(period))
  }

  /// Sets the period anew. Call it often.
  ///
  /// - Parameter count: of the waits that were taken since the beginning.
  func adjust(_ count: UInt64) throws(BPFError) {
    let now = Clock.monotonic
    let (elapsed, taken) = (now - last.time, Double(count - last.count))
    // A rush is not waited for.
    guard elapsed >= Self.interval || taken > 4 * Double(rate) else { return }
    last = (now, count)
    let factor = taken / (Double(rate) * Double(elapsed) / 1e9)
    // Small differences are chance.
    guard factor > 1.25 || factor < 0.8 else { return }
    period = min(max(period * min(max(factor, 0.5), 64), Self.periods.lowerBound), Self.periods.upperBound)
    try map.set(index, UInt64(period))
  }
}
