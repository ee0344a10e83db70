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
  private let control: ProbeControl
  private var known: [[UInt64]]
  private var interval: UInt64 = 0

  init(_ probe: borrowing LoadedProbe) throws(BPFError) {
    tallies = try probe.map("tallies")
    control = try ProbeControl(probe)
    known = [[], []].map { _ in [UInt64](repeating: 0, count: Int(SWTRACE_COUNTERS.rawValue)) }
  }

  /// The copy that the probes fill now: 0 or 1.
  var copy: UInt32 { UInt32(interval & 1) }

  /// Ends the interval.
  ///
  /// - Returns: its counts, and the copy that belongs to it in maps that are kept twice.
  mutating func close() throws(BPFError) -> (LossReport, copy: UInt32) {
    let ended = copy
    interval += 1
    try control.set(interval, at: \.interval)
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
    for processor in 0..<UInt32(tallies.capacity) {
      guard let tally = tallies[processor] else { continue }
      for index in sums.indices { sums[index] &+= tally.count(index, copy: Int(copy)) }
    }
    return sums
  }
}

extension swtrace_tally {
  /// What a counter has in a copy.
  fileprivate func count(_ counter: Int, copy: Int) -> UInt64 {
    withUnsafeBytes(of: counters) { $0.loadUnaligned(fromByteOffset: (2 * counter + copy) * MemoryLayout<UInt64>.size, as: UInt64.self) }
  }
}

/// What user space tells a probe while it runs: it stands beside the counters of each processor, so it is written through their memory. A
/// system call would set the counters, too.
struct ProbeControl {
  private let memory: MappedArray
  private let processors: Int

  init(_ probe: borrowing LoadedProbe) throws(BPFError) {
    let tallies: ProbeMap<UInt32, swtrace_tally> = try probe.map("tallies")
    processors = tallies.capacity
    memory = try MappedArray(
      sharing: probe.descriptor("tallies"), size: processors * MemoryLayout<swtrace_tally>.stride, name: "tallies")
  }

  /// Sets one of its numbers for all processors, one after the other.
  func set(_ value: UInt64, at number: PartialKeyPath<swtrace_tally>) throws(BPFError) {
    guard let place = MemoryLayout<swtrace_tally>.offset(of: number) else { preconditionFailure("no stored number") }
    for processor in 0..<processors { try memory.store(value, at: processor * MemoryLayout<swtrace_tally>.stride + place) }
  }
}
