internal import Linux
internal import Symbolication

/// Labels of processes, read again after a while, which grows: a process may be moved to another cgroup, most often soon after its start.
struct LabelCache {
  private struct Entry {
    var labels: ProcessLabels
    var incarnation: TracedProcesses.Incarnation?
    var readAt: UInt64
    /// Nanoseconds until it is read again.
    var lifetime: UInt64
  }

  private var entries: [UInt32: Entry] = [:]
  /// In nanoseconds.
  private static let lifetimes: ClosedRange<UInt64> = 15_000_000_000...480_000_000_000

  /// - Parameter incarnation: another one for another program, and for another process of the number.
  mutating func labels(of process: UInt32, _ incarnation: TracedProcesses.Incarnation?) -> ProcessLabels {
    let now = Clock.monotonic
    var lifetime = Self.lifetimes.lowerBound
    if let known = entries[process], known.incarnation == incarnation {
      if now - known.readAt < known.lifetime { return known.labels }
      lifetime = min(2 * known.lifetime, Self.lifetimes.upperBound)
    }
    let labels = ProcessLabels(of: ProcessID(process))
    entries[process] = Entry(labels: labels, incarnation: incarnation, readAt: now, lifetime: lifetime)
    return labels
  }

  mutating func forgetOld() {
    let now = Clock.monotonic
    entries = entries.filter { now - $0.value.readAt < 2 * $0.value.lifetime }
  }
}
