package import AgentModel
package import Logging
internal import ServiceLifecycle
internal import Synchronization

/// Carries finished windows from the collectors to the targets, one after the other, and never holds up a collector.
package final class WindowQueue: Service {
  /// What became of windows.
  package struct Counts: Sendable {
    package var delivered: UInt64 = 0
    /// Those that no target got, because the queue was full or it refused.
    package var dropped: UInt64 = 0
  }

  private enum Finished: Sendable {
    case profile(ProfileWindow)
    case metrics(MetricWindow)

    func deliver(to target: any Target) async throws {
      switch self {
      case .profile(let window): try await target.receive(window)
      case .metrics(let window): try await target.receive(window)
      }
    }

    func prepared(_ prepare: (ProfileWindow) -> ProfileWindow) -> Finished {
      switch self {
      case .profile(let window): .profile(prepare(window))
      // Prepared where it was made: what a scrape shows has to be, too.
      case .metrics: self
      }
    }

    var what: String {
      switch self {
      case .profile(let window): "a window of \(window.type.rawValue) at \(window.start)"
      case .metrics(let window): "a window of metrics at \(window.start)"
      }
    }
  }

  private let stream: AsyncStream<Finished>
  private let input: AsyncStream<Finished>.Continuation
  private let targets: [any Target]
  private let prepare: @Sendable (ProfileWindow) -> ProfileWindow
  private let logger: Logger
  private let counts = Mutex(Counts())

  /// More are as old as a target that is stuck for minutes.
  private static let limit = 64

  /// - Parameter prepare: makes of a window of a profile what the targets get.
  package init(
    _ targets: [any Target], logger: Logger, prepare: @escaping @Sendable (ProfileWindow) -> ProfileWindow = { $0 }
  ) {
    self.targets = targets
    self.prepare = prepare
    self.logger = logger
    (stream, input) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.limit))
  }

  package var current: Counts { counts.withLock { $0 } }

  /// Takes a window, or drops it when too many wait.
  package func add(_ window: ProfileWindow) { add(.profile(window)) }
  package func add(_ window: MetricWindow) { add(.metrics(window)) }

  private func add(_ window: Finished) {
    switch input.yield(window) {
    case .enqueued: break
    case .dropped: drop(window, "\(Self.limit) windows wait already; the store or another target is too slow")
    case .terminated: drop(window, "the agent is ending")
    @unknown default: drop(window, "the queue did not take it")
    }
  }

  /// No window comes any more: what waits is delivered, and `run` returns.
  package func finish() { input.finish() }

  /// Delivers until `finish`; returns when it is its turn to shut down.
  package func run() async throws {
    for await given in stream {
      let window = given.prepared(prepare)
      for target in targets {
        do {
          try await window.deliver(to: target)
          counts.withLock { $0.delivered += 1 }
        } catch {
          drop(window, "\(error)")
        }
      }
    }
    try await gracefulShutdown()
  }

  private func drop(_ window: Finished, _ reason: String) {
    counts.withLock { $0.dropped += 1 }
    logger.error("\(window.what) was dropped: \(reason)")
  }
}
