internal import AgentModel
internal import AgentServer
internal import AgentStore
internal import BPF
internal import Foundation
internal import Linux
internal import Logging
internal import ServiceLifecycle
internal import Tools
internal import UnixSignals

/// One run of the agent: its parts, and the order in which they begin and end.
struct AgentRun {
  private let configuration: Configuration
  private let logger: Logger

  init(_ configuration: Configuration) {
    self.configuration = configuration
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    logger = Logger(label: "swtrace-agent")
  }

  /// Runs until SIGTERM or SIGINT. The collectors end first, then what they handed over is delivered.
  func run() async throws {
    if let missing = Privileges.current.missing { throw ToolError("swtrace-agent \(missing)") }
    let store = try openStore()
    let queue = WindowQueue([store], logger: logger)
    let metrics = try MetricCollector(configuration.metrics, host: configuration.host, logger: logger) { queue.add($0) }
    let standing = AgentStanding(store, queue, metrics, limit: UInt64(configuration.maximumSize))
    let server = try makeServer(store, standing)
    var collectors: [Collector] = []
    let profilings: [Collector.Profiling?] = [
      configuration.cpuFrequency > 0 ? .cpu(frequency: configuration.cpuFrequency) : nil,
      configuration.offCPUThreshold.map { .offCPU(threshold: $0) },
    ]
    let wanted = profilings.compactMap(\.self)
    for profiling in wanted {
      collectors.append(
        try Collector(profiling, host: configuration.host, unwindMemory: configuration.unwindMemory / wanted.count) { window, collector in
          standing.note(collector)
          queue.add(window)
        })
    }
    let group = ServiceGroup(
      configuration: .init(
        services: [
          // Whatever fails, the windows that wait are stored.
          .init(service: queue), .init(service: RunTimeService(logger: logger)),
          .init(service: Upkeep(store, logger: logger), failureTerminationBehavior: .gracefullyShutdownGroup),
          .init(service: server, failureTerminationBehavior: .gracefullyShutdownGroup),
          .init(service: Collectors(collectors + [metrics], queue), failureTerminationBehavior: .gracefullyShutdownGroup),
        ],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    logger.notice("the page is at http://\(configuration.address):\(configuration.port)/, the store is \(configuration.storePath)")
    try await group.run()
  }

  private func openStore() throws -> Store {
    let path = URL(fileURLWithPath: configuration.storePath)
    try FileManager.default.createDirectory(
      at: path.deletingLastPathComponent(), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o750])
    var options = Store.Options()
    options.windowAge = configuration.keepWindows
    options.hourAge = configuration.keepHours
    options.largestFile = configuration.maximumSize
    return try Store(path: path.path, options: options, now: Int64(Date().timeIntervalSince1970))
  }

  private func makeServer(_ store: Store, _ standing: AgentStanding) throws -> Server {
    var token: String?
    if let file = configuration.tokenFile {
      guard let text = try? String(contentsOfFile: file, encoding: .utf8), let line = text.split(separator: "\n").first else {
        throw ToolError("the token file \(file) cannot be read or is empty; write a line of random letters into it")
      }
      token = String(line)
    }
    let settings = AgentServer.Configuration(
      address: configuration.address, port: configuration.port, hosts: Set(["localhost", "127.0.0.1", "[::1]"] + configuration.names),
      token: token)
    return try Server(settings, source: store, state: standing, logger: logger)
  }
}

/// Merges and removes what is old, once a minute.
struct Upkeep: Service {
  private let store: Store
  private let logger: Logger

  init(_ store: Store, logger: Logger) {
    self.store = store
    self.logger = logger
  }

  func run() async throws {
    try? await cancelWhenGracefulShutdown {
      while true {
        try await Task.sleep(for: .seconds(60))
        do { try await store.maintain(now: Int64(Date().timeIntervalSince1970)) } catch is CancellationError {
          throw CancellationError()
        } catch {
          logger.error("the store was not looked after: \(error)")
        }
      }
    }
  }
}

/// Has the kernel measure how long the programs run, so that the agent knows its own cost; where it may not, that part counts as nothing.
final class RunTimeService: Service {
  // A member: a local value could be gone as soon as nothing reads it.
  private let statistics: RunTimeStatistics?

  init(logger: Logger) {
    do { statistics = try RunTimeStatistics() } catch {
      statistics = nil
      logger.warning("\(error); the agent's cost is told without that of its programs. CAP_SYS_ADMIN would allow it.")
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
      try await tasks.waitForAll()
    }
  }
}
