/// How one probe measures, as far as it can be changed while the agent runs.
package struct ProbeSettings: Hashable, Sendable {
  /// Which tasks are looked at; all that is given must hold, and an empty text means any.
  package struct Filter: Hashable, Sendable {
    /// The command name.
    package var comm = ""
    /// The path of a cgroup; those below it belong to it.
    package var cgroup = ""
    /// A user's name or number.
    package var user = ""

    package init() {}
  }

  package var isEnabled: Bool
  /// Samples a second on each processor, 1 to 999; nil where events are measured.
  package var frequency: UInt64?
  /// The shortest wait that counts, in microseconds; nil where there are none.
  package var threshold: UInt64?
  /// Bytes between samples, in the mean; nil where no allocations are measured.
  package var interval: UInt64?
  /// Which of its events count, as `major`; nil where there is no choice.
  package var mode: String?
  package var filter = Filter()

  package init(isEnabled: Bool, frequency: UInt64? = nil, threshold: UInt64? = nil, interval: UInt64? = nil, mode: String? = nil) {
    self.isEnabled = isEnabled
    self.frequency = frequency
    self.threshold = threshold
    self.interval = interval
    self.mode = mode
  }

  package static let frequencies: ClosedRange<UInt64> = 1...999
  package static let thresholds: ClosedRange<UInt64> = 1...10_000_000
  package static let intervals: ClosedRange<UInt64> = 1...1 << 30
}

/// What the agent may take from the machine before it lowers its rates and pauses probes.
package struct Budget: Hashable, Sendable {
  /// Of the agent and its programs, in percent of one processor.
  package var processor: Double
  /// Of the agent's process, in bytes.
  package var memory: Int64

  package init(processor: Double, memory: Int64) {
    self.processor = processor
    self.memory = memory
  }

  package static let processors: ClosedRange<Double> = 0.1...6400
  package static let memories: ClosedRange<Int64> = 64 << 20...1 << 50
}
