package import AgentModel
internal import AgentServer
internal import Linux
package import Logging
internal import Synchronization

/// What can be changed while the agent runs, in one place: probes read it when a window ends, and each change is a line of the log.
package final class Control: Sendable {
  struct Probe {
    var settings: ProbeSettings
    /// How it measures now; nil while it does not.
    var running: ProbeSettings?
    /// Why it does not measure although it is to; with a failure it is tried again by itself.
    var hindrance: ProbeState.Hindrance?
    var retrial = Retrial()
    var events: UInt64 = 0
    var lost: UInt64 = 0
    /// When it began or last finished a window, on the monotonic clock, in nanoseconds.
    var progress: UInt64 = 0

    /// How it is to measure; nil when it is not to, may not, or could not.
    var wanted: ProbeSettings? { settings.isEnabled && hindrance == nil ? settings : nil }

    /// Why it does not measure, and when it is tried again.
    func hindrance(at now: UInt64) -> ProbeState.Hindrance? {
      guard let hindrance, hindrance.cause == .failure else { return hindrance }
      let seconds = (retrial.remaining(at: now) + 999_999_999) / 1_000_000_000
      return .init(.failure, "\(hindrance.reason); it is tried again \(seconds > 0 ? "in \(seconds) s" : "now")")
    }
  }

  struct Content {
    var configuration: Configuration
    var probes: [String: Probe]
    /// How often the rates are halved to keep the budget, and what is said of that and of memory.
    var halvings = 0
    var remarks: [BudgetRemark: String] = [:]
  }

  let content: Mutex<Content>
  let logger: Logger
  private let auditLogger: Logger
  /// The time in nanoseconds, which does not go back.
  let clock: @Sendable () -> UInt64

  /// - Parameter audit: is told of each change, whatever the log's level.
  package convenience init(_ configuration: Configuration, logger: Logger, audit: Logger) {
    self.init(configuration, logger: logger, audit: audit) { Clock.monotonic }
  }

  init(_ configuration: Configuration, logger: Logger, audit: Logger, clock: @escaping @Sendable () -> UInt64) {
    content = Mutex(Content(configuration: configuration, probes: configuration.probes.mapValues { Probe(settings: $0) }))
    self.logger = logger
    auditLogger = audit
    self.clock = clock
  }

  /// What holds now. Of the probes it says how they were to measure at the start; `self[probe]` says how they are to now.
  package var configuration: Configuration { content.withLock(\.configuration) }

  /// How a probe is to measure, if the budget allows it; nil for a name that is none.
  package subscript(probe: String) -> ProbeSettings? { content.withLock { $0.probes[probe]?.settings } }

  /// How a probe is to measure now; nil when it is not to, because it failed so or to keep the budget as well.
  func wanted(_ probe: String) -> ProbeSettings? { content.withLock { $0.probes[probe]?.wanted } }

  /// How a probe that does not measure is to begin now: also where it has failed so, and the pause since then is over.
  func due(_ probe: String) -> ProbeSettings? {
    content.withLock { content in
      guard let known = content.probes[probe], known.settings.isEnabled else { return nil }
      let isFailed = known.hindrance?.cause == .failure
      return isFailed && known.retrial.remaining(at: clock()) == 0 ? known.settings : known.wanted
    }
  }

  /// Whether a probe has failed, and has finished no window since.
  func isFailing(_ probe: String) -> Bool { content.withLock { $0.probes[probe]?.retrial.isFailing ?? false } }

  func isRunning(_ probe: String) -> Bool { content.withLock { $0.probes[probe]?.running != nil } }

  /// Notes how a probe measures from now on; nil when it has ended.
  package func note(_ probe: String, runs settings: ProbeSettings?) {
    content.withLock { content in
      content.probes[probe]?.running = settings
      if content.probes[probe]?.hindrance?.cause == .failure { content.probes[probe]?.hindrance = nil }
      content.probes[probe]?.progress = clock()
    }
  }

  /// Notes that a probe could not begin, or broke down: it is tried again by itself after a pause.
  package func note(_ probe: String, with settings: ProbeSettings, failed reason: String) {
    note(probe, runs: nil)
    let told = content.withLock { content in
      // Other settings, which came meanwhile, have not failed. What rests to keep the budget is tried when it goes on.
      guard content.probes[probe]?.settings == settings, content.probes[probe]?.hindrance == nil else { return reason }
      content.probes[probe]?.retrial.fail(at: clock())
      content.probes[probe]?.hindrance = .init(.failure, reason)
      return content.probes[probe]?.hindrance(at: clock())?.reason ?? reason
    }
    logger.error("the probe \(probe) does not measure: \(told)")
  }

  /// Notes what a probe lacks, which goes on.
  package func note(_ probe: String, lacks remark: String) { logger.warning("\(probe): \(remark)") }

  /// Notes what a probe has seen since the start, at the end of a window.
  package func note(_ probe: String, events: UInt64, lost: UInt64) {
    content.withLock { content in
      // The last window of one that has broken down may come after that.
      if content.probes[probe]?.running != nil { content.probes[probe]?.retrial.succeed() }
      content.probes[probe]?.events = events
      content.probes[probe]?.lost = lost
      content.probes[probe]?.progress = clock()
    }
  }

  /// Whether each probe that measures has finished a window lately; naming one may take as long as several.
  var makesProgress: Bool {
    let limit = 4 * UInt64(ProfileWindow.length) * 1_000_000_000
    return content.withLock { content in
      content.probes.values.allSatisfy { $0.running == nil || clock() < $0.progress + limit }
    }
  }

  /// What is measured, in a line.
  var summary: String {
    let running = content.withLock { $0.probes.filter { $0.value.running != nil }.sorted { $0.key < $1.key } }
    guard !running.isEmpty else { return "nothing is measured" }
    let profiles = running.filter { MetricKey(rawValue: $0.key) == nil }
    let others = running.count - profiles.count
    let parts = profiles.map { name, probe in
      "\(name)\(probe.running?.rate ?? ""): \(probe.events) events, \(probe.lost) lost"
    }
    return (parts + (others > 0 ? ["\(others) probe\(others > 1 ? "s" : "") of metrics"] : [])).joined(separator: "; ")
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
        let isOfProbe = content.probes.keys.contains { key.path.hasPrefix($0 + ".") || key.path == "metrics." + $0 }
        guard old != next, !isOfProbe else { continue }
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
      LogOutput.Level.shared.value = new.logLevel
      for (name, settings) in read.probes.sorted(by: { $0.key < $1.key }) { set(name, settings, in: &content, who) }
    }
  }

  func set(_ name: String, _ settings: ProbeSettings, in content: inout Content, _ who: String) {
    guard let old = content.probes[name]?.settings, old != settings else { return }
    for (old, new) in zip(old.values, settings.values) where old.text != new.text { audit("\(name).\(old.name)", old.text, new.text, who) }
    content.probes[name]?.settings = settings
    // What failed is tried in another way at once; who stops a probe and starts it again has it tried at once in any case.
    content.probes[name]?.retrial.ask()
    if !settings.isEnabled || content.probes[name]?.hindrance?.cause == .failure { content.probes[name]?.hindrance = nil }
  }

  func audit(_ what: String, _ old: String, _ new: String, _ who: String) {
    auditLogger.notice("\(what): \(quoted(old)) -> \(quoted(new)), by \(who)")
  }

  private func quoted(_ text: String) -> String { text.isEmpty ? "nothing" : escaped(text) }
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
      ("threshold", threshold.map { "\($0)" } ?? ""), ("interval", interval.map { Size.text(Int64($0)) } ?? ""), ("mode", mode ?? ""),
      ("filter.comm", filter.comm), ("filter.cgroup", filter.cgroup),
      ("filter.user", filter.user),
    ]
  }
}
