internal import BPF
internal import CProbes
internal import Linux

/// Keeps the number of waits that are taken near a rate, by the period that shorter ones stand for (wait.bpf.h).
final class WaitSampler {
  private let control: ProbeControl
  /// Which of the probe's settings it is.
  private let place: PartialKeyPath<swtrace_tally>
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
  ///   - place: which of the probe's settings it is.
  ///   - rate: a second.
  init(_ probe: borrowing LoadedProbe, _ place: PartialKeyPath<swtrace_tally>, rate: UInt64) throws(BPFError) {
    control = try ProbeControl(probe)
    self.place = place
    self.rate = rate
    period = Self.first
    last = (Clock.monotonic, 0)
    try control.set(UInt64(period), at: place)
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
    try control.set(UInt64(period), at: place)
  }
}
