package import AgentModel
package import AgentServer
internal import Logging
internal import Synchronization

/// What the control interface lists and changes. Each change is one step: of two at the same time, none undoes the other.
extension Control: AgentControl {
  package func probes() async -> [ProbeState] {
    content.withLock { $0.probes.sorted { $0.key < $1.key }.map { standing($0.key, $0.value) } }
  }

  private func standing(_ name: String, _ probe: Probe) -> ProbeState {
    ProbeState(
      name: name, label: MetricKey(rawValue: name)?.tool ?? name, settings: probe.settings, isRunning: probe.running != nil,
      isPending: probe.running != probe.wanted, events: probe.events, lost: probe.lost,
      hindrance: probe.hindrance(at: clock()))
  }

  package func change(_ name: String, _ change: ProbeChange, by who: String) async throws(ControlError) -> ProbeState? {
    // It looks at processes and cgroups, for which nobody else should wait.
    if let filter = change.filter {
      var settings = ProbeSettings(isEnabled: true)
      settings.filter = filter
      do { try ProfileTools.check(settings) } catch { throw ControlError("\(error)") }
    }
    return try content.withLock { (content) throws(ControlError) in
      guard let probe = content.probes[name] else { return nil }
      set(name, try Self.changed(name, probe.settings, change), in: &content, who)
      return content.probes[name].map { standing(name, $0) }
    }
  }

  private static func changed(_ name: String, _ old: ProbeSettings, _ change: ProbeChange) throws(ControlError) -> ProbeSettings {
    var settings = old
    let metric = MetricKey(rawValue: name)
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
    if let mode = change.mode {
      guard let modes = metric?.modes, !modes.isEmpty else { throw ControlError("\(name) has no mode: send running to start or stop it") }
      guard modes.contains(mode) else {
        throw ControlError("mode is \(modes.joined(separator: " or ")), not '\(mode)'; send running to start or stop the probe")
      }
      settings.mode = mode
    }
    if let filter = change.filter {
      guard metric == nil else { throw ControlError("\(name) has no filter: it tells services or devices apart itself") }
      settings.filter = filter
    }
    return settings
  }

  package func budget() async -> Budget { configuration.budget }

  package func change(_ change: BudgetChange, by who: String) async throws(ControlError) -> Budget {
    if let processor = change.processor, !Budget.processors.contains(processor) {
      throw ControlError("max_cpu is 0.1 to 6400 percent, not \(processor)")
    }
    if let memory = change.memory, !Budget.memories.contains(memory) {
      throw ControlError("max_memory_bytes is \(Budget.memories.lowerBound) or more, not \(memory)")
    }
    return content.withLock { content in
      let old = content.configuration.budget
      let budget = Budget(processor: change.processor ?? old.processor, memory: change.memory ?? old.memory)
      if old.processor != budget.processor { audit("budget.max_cpu", "\(old.processor)", "\(budget.processor)", who) }
      if old.memory != budget.memory { audit("budget.max_memory", Size.text(old.memory), Size.text(budget.memory), who) }
      content.configuration.budget = budget
      return budget
    }
  }
}
