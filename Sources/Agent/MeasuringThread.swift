internal import Linux
internal import ServiceLifecycle

/// A thread of its own for what waits for the kernel.
enum MeasuringThread {
  /// Runs on a new thread until it returns, asking for its end at a graceful shutdown or a cancellation.
  static func run(_ name: String, until request: EndRequest, _ measure: @escaping @Sendable () throws -> Void) async throws {
    try await withGracefulShutdownHandler {
      try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
          do {
            try Threads.start("swtrace-\(name)", stack: 8 << 20) { ended.resume(with: Result { try measure() }) }
          } catch {
            ended.resume(throwing: error)
          }
        }
      } onCancel: {
        request.request()
      }
    } onGracefulShutdown: {
      request.request()
    }
  }
}
