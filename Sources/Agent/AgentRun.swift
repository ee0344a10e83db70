internal import AgentModel
internal import AgentServer
internal import AgentStore
internal import BPF
internal import Glibc
internal import Linux
internal import Logging
internal import ServiceLifecycle
internal import Tools
internal import UnixSignals

/// One run of the agent: its parts, and the order in which they begin and end.
struct AgentRun: Sendable {
  private let source: ConfigurationSource
  private let configuration: Configuration
  private let control: Control
  private let notice: ServiceNotice
  private let logger: Logger
  private let statistics: RunTimeService
  private let server: AgentServer.Configuration

  /// Prepares what needs privileges that are not kept, and gives them up; call it while there is one thread.
  ///
  /// - Parameter source: read now, and again with each SIGHUP.
  init(_ source: ConfigurationSource) throws {
    self.source = source
    try Needs.checkNamespace()
    if let missing = Privileges.current.missing { throw ToolError("swtrace-agent \(missing)") }
    // What is kept says what the machine does: it is not for everybody.
    umask(0o077)
    configuration = try source.read()
    try configuration.makeStoreFolder()
    // The token's and the certificate's files may be such that only root can read them.
    server = try configuration.serverSettings()
    LogOutput.Level.shared.value = configuration.logLevel
    LoggingSystem.bootstrap { LogOutput(label: $0) }
    logger = Logger(label: "swtrace-agent")
    if let warning = server.warning { logger.warning("\(warning)") }
    control = Control(configuration, logger: logger, audit: Logger(label: LogOutput.audit))
    notice = ServiceNotice(environment: source.environment)
    statistics = RunTimeService(logger: logger)
    LockedMemory.lift()
    try Needs.keep(for: configuration, logger)
  }

  /// Runs until SIGTERM or SIGINT. The collectors end first, then what they handed over is delivered.
  func run() async throws {
    let store = try Store(path: configuration.storePath, options: configuration.storeOptions, now: Self.now)
    let clock = RetentionClock(try await store.retention(), now: Self.now, monotonic: Clock.monotonic)
    let queue = WindowQueue([store], logger: logger) { [control] window in
      let rules = control.configuration
      return window.prepared(rules.relabelling, rules.redaction)
    }
    let costs = CostMeter(knowsPrograms: statistics.isMeasuring)
    let metrics = try MetricCollector(control: control, costs: costs) { queue.add($0) }
    let standing = AgentStanding(store, queue, metrics, control, costs)
    let server = try Server(self.server, source: store, state: standing, control: control, logger: logger)
    let collector = try Collector(control: control, costs: costs, unwindMemory: configuration.unwindMemory) { window, collector in
      standing.note(collector)
      queue.add(window)
    }
    let group = ServiceGroup(
      configuration: .init(
        services: [
          // Whatever fails, the windows that wait are stored.
          .init(service: queue), .init(service: statistics),
          .init(service: Upkeep(store, control, clock, logger: logger), failureTerminationBehavior: .gracefullyShutdownGroup),
          .init(
            service: Reload(source: source, control: control, certificate: self.server.certificate, notice: notice, logger: logger)),
          .init(service: server, failureTerminationBehavior: .gracefullyShutdownGroup),
          .init(service: Collectors([collector, metrics], queue), failureTerminationBehavior: .gracefullyShutdownGroup),
          // The last is the first to hear of the end.
          .init(service: Notices(notice, control, standing)),
        ],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    let scheme = self.server.certificate == nil ? "http" : "https"
    logger.notice(
      "the page is at \(scheme)://\(configuration.address):\(configuration.port)/, the store is \(escaped(configuration.storePath))")
    try await group.run()
  }

  /// In seconds since 1970.
  static var now: Int64 { Int64(Clock.realtime / 1_000_000_000) }
}

extension Configuration {
  /// How much the store keeps.
  var storeOptions: Store.Options {
    var options = Store.Options()
    options.windowAge = keepWindows
    options.hourAge = keepHours
    options.largestFile = maximumSize
    return options
  }
}

/// Merges and removes what is old, once a minute.
struct Upkeep: Service {
  private let store: Store
  private let control: Control
  private let clock: RetentionClock
  private let logger: Logger

  /// - Parameters:
  ///   - control: says how much is kept.
  ///   - clock: says how old it is.
  init(_ store: Store, _ control: Control, _ clock: RetentionClock, logger: Logger) {
    self.store = store
    self.control = control
    self.clock = clock
    self.logger = logger
  }

  func run() async throws {
    try? await cancelWhenGracefulShutdown {
      var clock = clock
      while true {
        try await Task.sleep(for: .seconds(60))
        store.keep(control.configuration.storeOptions)
        let now = AgentRun.now
        let retention = clock.look(now: now, monotonic: Clock.monotonic)
        do { try await store.maintain(now: now, retention: retention) } catch is CancellationError {
          throw CancellationError()
        } catch {
          logger.error("the store was not looked after: \(error)")
        }
      }
    }
  }
}

/// Has the kernel measure how long the programs run, so that the agent knows its own cost; where it may not, that part is not known.
final class RunTimeService: Service {
  // A member: a local value could be gone as soon as nothing reads it.
  private let statistics: RunTimeStatistics?
  /// Whether the kernel measures: for the agent, or because somebody has switched it on for all.
  let isMeasuring: Bool

  init(logger: Logger) {
    do {
      statistics = try RunTimeStatistics()
      isMeasuring = true
    } catch {
      statistics = nil
      isMeasuring = ProcFile.read("/proc/sys/kernel/bpf_stats_enabled")?.first == "1"
      if !isMeasuring {
        logger.warning("\(error); the agent's cost is told without that of its programs. CAP_SYS_ADMIN at the start would allow it.")
      }
    }
  }

  func run() async throws { try? await gracefulShutdown() }
}

/// All collectors; with the last of them ends what the queue takes.
struct Collectors: Service {
  private let collectors: [any Service]
  private let queue: WindowQueue

  init(_ collectors: [any Service], _ queue: WindowQueue) {
    self.collectors = collectors
    self.queue = queue
  }

  func run() async throws {
    defer { queue.finish() }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for collector in collectors { tasks.addTask { try await collector.run() } }
      // One that fails ends the others; waiting for all would wait for them for ever.
      for try await _ in tasks {}
    }
  }
}
