internal import AgentModel
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
    let queue = WindowQueue([], logger: logger)
    var collectors: [Collector] = []
    let profilings: [Collector.Profiling?] = [
      configuration.cpuFrequency > 0 ? .cpu(frequency: configuration.cpuFrequency) : nil,
      configuration.offCPUThreshold.map { .offCPU(threshold: $0) },
    ]
    let wanted = profilings.compactMap(\.self)
    for profiling in wanted {
      collectors.append(
        try Collector(profiling, host: configuration.host, unwindMemory: configuration.unwindMemory / wanted.count) { queue.add($0) })
    }
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: queue), .init(service: Collectors(collectors, queue))],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
  }
}

/// All collectors; with the last of them ends what the queue takes.
struct Collectors: Service {
  private let collectors: [Collector]
  private let queue: WindowQueue

  init(_ collectors: [Collector], _ queue: WindowQueue) {
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
