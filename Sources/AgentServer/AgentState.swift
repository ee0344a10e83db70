package import AgentModel

/// What the server tells of the agent besides the profiles.
package protocol AgentState: Sendable {
  /// For people and the page.
  func health() async -> Health
  /// For monitoring: each family once.
  func metrics() async -> [MetricFamily]
  /// Why the agent does not measure or keep what it should yet; nil when it is ready.
  func reasonNotReady() async -> String?
}

/// How the agent is doing.
package struct Health: Sendable {
  package var version: String
  /// In seconds since 1970.
  package var startedAt: Int64
  package var profiles: [Measuring]
  package var cost: Cost
  package var store: Store
  /// What a person should know, one sentence each, the newest last: reduced frequency, a store that was begun anew.
  package var remarks: [String]

  package init(version: String, startedAt: Int64, profiles: [Measuring], cost: Cost, store: Store, remarks: [String] = []) {
    self.version = version
    self.startedAt = startedAt
    self.profiles = profiles
    self.cost = cost
    self.store = store
    self.remarks = remarks
  }

  /// How one type of profile is measured. All counts are since the start.
  package struct Measuring: Sendable {
    package var type: ProfileType
    /// Samples a second on each processor; 0 where events are measured.
    package var frequency: Double
    /// Samples or events.
    package var events: UInt64
    /// Events that are not in the profiles.
    package var lost: UInt64
    /// Stacks that reach their thread's first function.
    package var wholeStacks: UInt64
    /// Stacks that end before it.
    package var cutStacks: UInt64
    /// Frames without a name, and all frames.
    package var unnamedFrames: UInt64
    package var frames: UInt64

    package init(
      type: ProfileType, frequency: Double, events: UInt64, lost: UInt64, wholeStacks: UInt64, cutStacks: UInt64, unnamedFrames: UInt64,
      frames: UInt64
    ) {
      self.type = type
      self.frequency = frequency
      self.events = events
      self.lost = lost
      self.wholeStacks = wholeStacks
      self.cutStacks = cutStacks
      self.unnamedFrames = unnamedFrames
      self.frames = frames
    }
  }

  /// What the agent takes from the machine, of the last window.
  package struct Cost: Sendable {
    /// Processors' worth of time of the agent's own process: 0.01 is one hundredth of one processor.
    package var processor: Double
    /// The same of its programs in the kernel; nil where the kernel does not tell.
    package var programs: Double?
    /// Above which the frequency is lowered.
    package var limit: Double
    /// Resident bytes.
    package var memory: UInt64

    package init(processor: Double, programs: Double?, limit: Double, memory: UInt64) {
      self.processor = processor
      self.programs = programs
      self.limit = limit
      self.memory = memory
    }
  }

  /// What is kept.
  package struct Store: Sendable {
    /// Of the file.
    package var bytes: UInt64
    /// 0 for none.
    package var limit: UInt64
    /// That were not taken in.
    package var droppedWindows: UInt64

    package init(bytes: UInt64, limit: UInt64, droppedWindows: UInt64) {
      self.bytes = bytes
      self.limit = limit
      self.droppedWindows = droppedWindows
    }
  }
}
