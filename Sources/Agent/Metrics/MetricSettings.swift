/// Which metrics of the machine are measured.
package struct MetricSettings: Equatable, Sendable {
  package enum Faults: String, CaseIterable, Sendable { case all, major, off }
  package enum Syscalls: String, CaseIterable, Sendable { case latency, errors, off }

  package var runQueue = true
  package var blockIO = true
  package var connects = true
  package var roundTrips = true
  package var retransmits = true
  package var oomKills = true
  package var faults = Faults.major
  package var syscalls = Syscalls.off
  /// Series of one metric, beyond which the rest is one.
  package var largestSeries = 200

  package init() {}
}
