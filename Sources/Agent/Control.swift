package import AgentModel
package import AgentServer
internal import Linux
package import Logging
internal import Synchronization

/// What can be changed while the agent runs, in one place: probes read it when a window ends, and each change is a line of the log.
package final class Control: Sendable {
  private struct Probe {
    var settings: ProbeSettings
    /// How it measures now; nil while it does not.
    var running: ProbeSettings?
    var events: UInt64 = 0
    var lost: UInt64 = 0
    /// When it began or last finished a window, on the monotonic clock, in nanoseconds.
    var progress: UInt64 = 0
  }

  private struct Content {
    var configuration: Configuration
    var probes: [String: Probe]
    /// How often the rates are halved to keep the budget, and what the agent took when that changed last.
    var halvings = 0
    var share = 0.0
    /// Whether less is kept in memory, to keep the budget.
    var isLean = false
  }

  private let content: Mutex<Content>
  private let logger: Logger

  package init(_ configuration: Configuration, logger: Logger) {
    content = Mutex(Content(configuration: configuration, probes: configuration.probes.mapValues { Probe(settings: $0) }))
    self.logger = logger
  }

  /// What holds now. Of the probes it says how they were to measure at the start; `self[probe]` says how they are to now.
  package var configuration: Configuration { content.withLock(\.configuration) }

  /// How a probe is to measure; nil for a name that is none.
  package subscript(probe: String) -> ProbeSettings? { content.withLock { $0.probes[probe]?.settings } }

  /// Notes how a probe measures from now on; nil when it has ended.
  package func note(_ probe: String, runs settings: ProbeSettings?) {
    content.withLock { content in
      content.probes[probe]?.running = settings
      content.probes[probe]?.progress = Clock.monotonic
    }
  }

  /// Notes that a probe could not begin; it stays as it is until its settings change.
  package func note(_ probe: String, failed reason: String) {
    note(probe, runs: nil)
    logger.error("the probe \(probe) does not measure: \(reason)")
  }

  /// Notes what a probe lacks, which goes on.
  package func note(_ probe: String, lacks remark: String) { logger.warning("\(probe): \(remark)") }

  /// Notes that the rates of all profiles are other ones, to keep the budget.
  ///
  /// - Parameters:
  ///   - halvings: how often they are halved.
  ///   - share: what the agent took, in processors.
  package func note(halvings: Int, share: Double) {
    let before = content.withLock { content in
      defer { (content.halvings, content.share) = (halvings, share) }
      return content.halvings
    }
    let taken = "the agent took \(Self.percent(share)) of a processor, and may take \(Self.percent(configuration.budget.processor / 100))"
    logger.notice("rates are \(halvings > before ? "lowered" : "raised") to 1/\(1 << halvings) of what was asked for: \(taken)")
  }

  /// Notes that less is kept in memory, or as much as before, to keep the budget.
  ///
  /// - Parameter memory: what the agent takes, in bytes.
  package func note(lean: Bool, memory: UInt64) {
    content.withLock { $0.isLean = lean }
    let sizes = "the agent takes \(memory >> 20) MB, and may take \(configuration.budget.memory >> 20) MB"
    logger.notice("\(lean ? "less is kept in memory, so that names take longer" : "as much is kept in memory as before"): \(sizes)")
  }

  /// How often the rates are halved to keep the budget.
  package var halvings: Int { content.withLock(\.halvings) }

  /// What people should know of the budget.
  package var remarks: [String] {
    content.withLock { content in
      var remarks: [String] = []
      if content.halvings > 0 {
        remarks.append(
          "Rates are 1/\(1 << content.halvings) of what was asked for, because the agent took \(Self.percent(content.share)) of a processor."
        )
      }
      if content.isLean { remarks.append("Less is kept in memory to keep max_memory, so that names take longer.") }
      return remarks
    }
  }

  private static func percent(_ share: Double) -> String {
    let hundredths = Int((share * 10_000).rounded())
    return "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10) %"
  }

  /// Notes what a probe has seen since the start.
  package func note(_ probe: String, events: UInt64, lost: UInt64) {
    content.withLock { content in
      content.probes[probe]?.events = events
      content.probes[probe]?.lost = lost
      content.probes[probe]?.progress = Clock.monotonic
    }
  }

  /// Whether each probe that measures has finished a window lately; naming one may take as long as several.
  var makesProgress: Bool {
    let limit = 4 * UInt64(ProfileWindow.length) * 1_000_000_000
    return content.withLock { content in
      content.probes.values.allSatisfy { $0.running == nil || Clock.monotonic < $0.progress + limit }
    }
  }

  /// What is measured, in a line.
  var summary: String {
    let running = content.withLock { $0.probes.filter { $0.value.running != nil }.sorted { $0.key < $1.key } }
    guard !running.isEmpty else { return "nothing is measured" }
    return running.map { name, probe in
      return "\(name)\(probe.running?.rate ?? ""): \(probe.events) events, \(probe.lost) lost"
    }.joined(separator: "; ")
  }

  /// Changes to what a file says, all of it: what was changed by other ways since is as in the file again.
  ///
  /// What is read at the start only stays, and the log says that it would take a restart.
  package func reload(_ read: Configuration, by who: String) {
    content.withLock { content in
      var new = read
      for key in Configuration.keys {
        let (old, next) = (Configuration.line(key.value(content.configuration)), Configuration.line(key.value(new)))
        // Those of probes are compared with what holds now.
        guard old != next, !content.probes.keys.contains(where: { key.path.hasPrefix($0 + ".") }) else { continue }
        if key.needsRestart {
          logger.warning(
            "\(key.path) is read at the start only: it stays \(quoted(old)) until the agent is restarted, then \(quoted(next))")
          do { try key.set(&new, key.value(content.configuration)) } catch {
            logger.error("\(key.path) holds from now on, in part: \(error); restart the agent")
          }
        } else {
          audit(key.path, old, next, who)
        }
      }
      content.configuration = new
      LogOutput.setLevel(new.logLevel)
      for (name, settings) in read.probes.sorted(by: { $0.key < $1.key }) { set(name, settings, in: &content, who) }
    }
  }

  private func set(_ name: String, _ settings: ProbeSettings, in content: inout Content, _ who: String) {
    guard let old = content.probes[name]?.settings, old != settings else { return }
    for (old, new) in zip(old.values, settings.values) where old.text != new.text { audit("\(name).\(old.name)", old.text, new.text, who) }
    content.probes[name]?.settings = settings
  }

  private func audit(_ what: String, _ old: String, _ new: String, _ who: String) {
    logger.notice("\(what): \(quoted(old)) -> \(quoted(new)), by \(who)")
  }

  private func quoted(_ text: String) -> String { text.isEmpty ? "nothing" : escaped(text) }
}

extension Control: AgentControl {
  package func probes() async -> [ProbeState] {
    content.withLock { $0.probes.sorted { $0.key < $1.key }.map { Self.standing($0.key, $0.value) } }
  }

  private static func standing(_ name: String, _ probe: Probe) -> ProbeState {
    ProbeState(
      name: name, settings: probe.settings, isRunning: probe.running != nil,
      isPending: probe.running != (probe.settings.isEnabled ? probe.settings : nil), events: probe.events, lost: probe.lost)
  }

  package func change(_ name: String, _ change: ProbeChange, by who: String) async throws(ControlError) -> ProbeState? {
    guard var settings = self[name] else { return nil }
    settings.isEnabled = change.isRunning ?? settings.isEnabled
    if let frequency = change.frequency {
      guard settings.frequency != nil else { throw ControlError("\(name) has no frequency: it measures events") }
      guard ProbeSettings.frequencies.contains(frequency) else { throw ControlError("frequency is 1 to 999, not \(frequency)") }
      settings.frequency = frequency
    }
    if let threshold = change.threshold {
      guard settings.threshold != nil else { throw ControlError("\(name) has no threshold: it does not measure waits") }
      guard ProbeSettings.thresholds.contains(threshold) else {
        throw ControlError("threshold is 1 to 10000000 microseconds, not \(threshold)")
      }
      settings.threshold = threshold
    }
    if let interval = change.interval {
      guard settings.interval != nil else { throw ControlError("\(name) has no interval: it does not measure allocations") }
      guard ProbeSettings.intervals.contains(interval) else { throw ControlError("interval is 1 to 1073741824 bytes, not \(interval)") }
      settings.interval = interval
    }
    if let filter = change.filter {
      settings.filter = filter
      do { try Profiling.check(settings) } catch { throw ControlError("\(error)") }
    }
    return content.withLock { content in
      set(name, settings, in: &content, who)
      return content.probes[name].map { Self.standing(name, $0) }
    }
  }

  package func budget() async -> Budget { configuration.budget }

  package func change(_ change: BudgetChange, by who: String) async throws(ControlError) -> Budget {
    var budget = configuration.budget
    if let processor = change.processor {
      guard Budget.processors.contains(processor) else { throw ControlError("max_cpu is 0.1 to 6400 percent, not \(processor)") }
      budget.processor = processor
    }
    if let memory = change.memory {
      guard Budget.memories.contains(memory) else {
        throw ControlError("max_memory_bytes is \(Budget.memories.lowerBound) or more, not \(memory)")
      }
      budget.memory = memory
    }
    content.withLock { content in
      let old = content.configuration.budget
      if old.processor != budget.processor { audit("budget.max_cpu", "\(old.processor)", "\(budget.processor)", who) }
      if old.memory != budget.memory { audit("budget.max_memory", Size.text(old.memory), Size.text(budget.memory), who) }
      content.configuration.budget = budget
    }
    return budget
  }
}

extension ProbeSettings {
  /// In words, with a space before them.
  fileprivate var rate: String {
    if let frequency { return " at \(frequency) Hz" }
    if let threshold { return " from \(threshold) us" }
    if let interval { return " for each \(Size.text(Int64(interval)))" }
    return ""
  }

  /// For the log.
  fileprivate var values: [(name: String, text: String)] {
    [
      ("running", isEnabled ? "yes" : "no"), ("frequency", frequency.map { "\($0)" } ?? ""),
      ("threshold", threshold.map { "\($0)" } ?? ""), ("interval", interval.map { Size.text(Int64($0)) } ?? ""),
      ("filter.comm", filter.comm), ("filter.cgroup", filter.cgroup),
      ("filter.user", filter.user),
    ]
  }
}
