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

  private let stream: AsyncStream<ProfileWindow>
  private let input: AsyncStream<ProfileWindow>.Continuation
  private let targets: [any Target]
  private let logger: Logger
  private let counts = Mutex(Counts())

  /// More are as old as a target that is stuck for minutes.
  private static let limit = 64

  package init(_ targets: [any Target], logger: Logger) {
    self.targets = targets
    self.logger = logger
    (stream, input) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.limit))
  }

  package var current: Counts { counts.withLock { $0 } }

  /// Takes a window, or drops it when too many wait.
  package func add(_ window: ProfileWindow) {
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
    for await window in stream {
      for target in targets {
        do {
          try await target.receive(window)
          counts.withLock { $0.delivered += 1 }
        } catch {
          drop(window, "\(error)")
        }
      }
    }
    try await gracefulShutdown()
  }

  private func drop(_ window: ProfileWindow, _ reason: String) {
    counts.withLock { $0.dropped += 1 }
    logger.error("a window of \(window.type.rawValue) at \(window.start) was dropped: \(reason)")
  }
}
