package import Profiles

/// What is profiled all the time.
package enum ProfileType: String, Hashable, Sendable, CaseIterable {
  /// What the processors ran, in samples.
  case cpu
  /// What threads waited for, in nanoseconds.
  case offCPU = "off_cpu"
  /// Which locks of their programs threads waited for, in nanoseconds.
  case lock
  /// What programs asked their C library for, in bytes.
  case allocations

  package var unit: Profile.Unit {
    switch self {
    case .cpu: .samples
    case .offCPU, .lock: .nanoseconds
    case .allocations: .bytes
    }
  }

  /// What pprof files call the values; Go's names for what Go measures, too.
  package var measure: String {
    switch self {
    case .cpu, .offCPU: rawValue
    case .lock: "delay"
    case .allocations: "alloc_space"
    }
  }
}

/// What one profile measured in ten seconds, with names.
///
/// Complete in itself: nothing in it refers to the process that it was measured in or to another window.
package struct ProfileWindow: Sendable {
  /// The sum of what was measured at one stack.
  package struct Sample: Hashable, Sendable {
    /// In `stacks`.
    package var stack: Int
    /// In the unit of the type.
    package var value: UInt64

    package init(stack: Int, value: UInt64) {
      self.stack = stack
      self.value = value
    }
  }

  /// Samples that have their labels in common; each stack once.
  package struct Series: Sendable {
    package var labels: Labels
    package var samples: [Sample]

    package init(labels: Labels, samples: [Sample]) {
      self.labels = labels
      self.samples = samples
    }
  }

  /// How long a window is, in seconds; it begins at a multiple.
  package static let length: Int64 = 10

  package var type: ProfileType
  /// In seconds since 1970, a multiple of `length`.
  package var start: Int64
  /// For how much of it there was measuring, in nanoseconds.
  package var covered: UInt64
  /// Nanoseconds between samples; 0 where events are measured.
  package var period: UInt64
  /// Events that were lost, which are not in the samples.
  package var lost: UInt64
  /// Each once.
  package var frames: [Frame]
  /// Each once: numbers of frames, from the root to the leaf.
  package var stacks: [[UInt32]]
  /// Of different labels.
  package var series: [Series]

  package init(
    type: ProfileType, start: Int64, covered: UInt64, period: UInt64 = 0, lost: UInt64 = 0, frames: [Frame] = [], stacks: [[UInt32]] = [],
    series: [Series] = []
  ) {
    self.type = type
    self.start = start
    self.covered = covered
    self.period = period
    self.lost = lost
    self.frames = frames
    self.stacks = stacks
    self.series = series
  }
}
