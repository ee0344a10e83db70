internal import BPF
internal import CProbes
internal import Glibc
internal import Linux

/// Reads a probe's counters interval by interval, so that the numbers of an interval agree to the last event.
///
/// The probes fill one of two copies. Closing an interval switches them to the other and waits until those that still run have ended,
/// after which the closed copy does not change any more.
struct LossMeter {
  private let tallies: ProbeMap<UInt32, swtrace_tally>
  private let control: ProbeMap<UInt32, swtrace_control>
  private var known: [[UInt64]]
  private var interval: UInt32 = 0

  init(_ probe: borrowing LoadedProbe) throws(BPFError) {
    tallies = try probe.map("tallies")
    control = try probe.map(".data.control")
    known = [[], []].map { _ in [UInt64](repeating: 0, count: Int(SWTRACE_COUNTERS.rawValue)) }
  }

  /// The copy that the probes fill now: 0 or 1.
  var copy: UInt32 { interval & 1 }

  /// Ends the interval.
  ///
  /// - Returns: its counts, and the copy that belongs to it in maps that are kept twice.
  mutating func close() throws(BPFError) -> (LossReport, copy: UInt32) {
    let ended = copy
    interval += 1
    try control.set(0, swtrace_control(interval: interval, reserved: 0))
    KernelBarrier.waitForPrograms()
    return (settle(ended), ended)
  }

  /// The counts since the interval began; exact when no probe runs any more.
  mutating func settle() -> LossReport { settle(copy) }

  private mutating func settle(_ copy: UInt32) -> LossReport {
    // An event that is being decided is counted as seen only: where the kernel has no barrier this shows those that still run.
    // One that never ends must not hang the tool.
    let deadline = Clock.monotonic + 500_000_000
    while true {
      let counters = read(copy)
      let report = LossReport(counters: zip(counters, known[Int(copy)]).map { $0 &- $1 })
      if report.isExact || Clock.monotonic > deadline {
        known[Int(copy)] = counters
        return report
      }
      usleep(50)
    }
  }

  private func read(_ copy: UInt32) -> [UInt64] {
    var sums = [UInt64](repeating: 0, count: Int(SWTRACE_COUNTERS.rawValue))
    for tally in tallies.values(of: copy) {
      withUnsafeBytes(of: tally.counters) { bytes in
        for (index, value) in bytes.bindMemory(to: UInt64.self).enumerated() { sums[index] &+= value }
      }
    }
    return sums
  }
}
