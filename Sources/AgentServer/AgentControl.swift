package import AgentModel

/// What may be changed while the agent runs. Each change is in the agent's log, with who made it.
package protocol AgentControl: Sendable {
  /// Sorted by name.
  func probes() async -> [ProbeState]
  /// Changes how a probe measures, from the end of its window on.
  ///
  /// - Returns: nil when no probe has the name.
  /// - Throws: for what it cannot be; nothing is changed then.
  func change(_ name: String, _ change: ProbeChange, by who: String) async throws(ControlError) -> ProbeState?
  func budget() async -> Budget
  func change(_ change: BudgetChange, by who: String) async throws(ControlError) -> Budget
}

/// Why something cannot be changed so, for a person.
package struct ControlError: Error, Hashable, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// How a probe is to measure, and what it does.
package struct ProbeState: Hashable, Sendable {
  /// Why a probe does not measure although it is to.
  package struct Hindrance: Hashable, Sendable {
    package enum Cause: String, Sendable {
      /// It could not begin, or broke down.
      case failure
      /// It is paused because the agent took more than it may.
      case budget
    }

    package var cause: Cause
    /// In one line, for a person.
    package var reason: String

    package init(_ cause: Cause, _ reason: String) {
      self.cause = cause
      self.reason = reason
    }
  }

  package var name: String
  /// What metrics of the agent call it.
  package var label: String
  package var settings: ProbeSettings
  package var isRunning: Bool
  /// Whether what it does is not yet what it is to do.
  package var isPending: Bool
  /// Since the start of the agent.
  package var events: UInt64
  package var lost: UInt64
  package var hindrance: Hindrance?

  package init(
    name: String, label: String, settings: ProbeSettings, isRunning: Bool, isPending: Bool, events: UInt64, lost: UInt64,
    hindrance: Hindrance? = nil
  ) {
    self.name = name
    self.label = label
    self.settings = settings
    self.isRunning = isRunning
    self.isPending = isPending
    self.events = events
    self.lost = lost
    self.hindrance = hindrance
  }
}

/// What of a probe's settings is to be another one; nil stays.
package struct ProbeChange: Hashable, Sendable {
  package var isRunning: Bool?
  package var frequency: UInt64?
  package var threshold: UInt64?
  package var interval: UInt64?
  package var mode: String?
  package var filter: ProbeSettings.Filter?

  package init(
    isRunning: Bool? = nil, frequency: UInt64? = nil, threshold: UInt64? = nil, interval: UInt64? = nil, mode: String? = nil,
    filter: ProbeSettings.Filter? = nil
  ) {
    self.isRunning = isRunning
    self.frequency = frequency
    self.threshold = threshold
    self.interval = interval
    self.mode = mode
    self.filter = filter
  }
}

/// What of the budget is to be another one; nil stays.
package struct BudgetChange: Hashable, Sendable {
  /// In percent of one processor.
  package var processor: Double?
  /// In bytes.
  package var memory: Int64?

  package init(processor: Double? = nil, memory: Int64? = nil) {
    self.processor = processor
    self.memory = memory
  }
}
