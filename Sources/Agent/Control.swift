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
    /// Told that the settings may be others.
    var listeners: [AsyncStream<Void>.Continuation] = []
  }

  private struct Content {
    var configuration: Configuration
    var probes: [String: Probe]
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

  /// An element now, and another one after each change.
  package func changes(of probe: String) -> AsyncStream<Void> {
    let (stream, input) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    content.withLock { $0.probes[probe]?.listeners.append(input) }
    input.yield()
    return stream
  }

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
      let rate = probe.running?.frequency.map { " at \($0) Hz" } ?? probe.running?.threshold.map { " from \($0) us" } ?? ""
      return "\(name)\(rate): \(probe.events) events, \(probe.lost) lost"
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
          try? key.set(&new, key.value(content.configuration))
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
    for listener in content.probes[name]?.listeners ?? [] { listener.yield() }
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
    if let filter = change.filter {
      settings.filter = filter
      do { try Collector.check(settings) } catch { throw ControlError("\(error)") }
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
  /// For the log.
  fileprivate var values: [(name: String, text: String)] {
    [
      ("running", isEnabled ? "yes" : "no"), ("frequency", frequency.map { "\($0)" } ?? ""),
      ("threshold", threshold.map { "\($0)" } ?? ""), ("filter.comm", filter.comm), ("filter.cgroup", filter.cgroup),
      ("filter.user", filter.user),
    ]
  }
}
