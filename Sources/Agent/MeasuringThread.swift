internal import Foundation
internal import Linux
internal import ServiceLifecycle

/// A thread of its own for what waits for the kernel.
enum MeasuringThread {
  /// Runs on a new thread until it returns, asking for its end at a graceful shutdown or a cancellation.
  static func run(_ name: String, until request: EndRequest, _ measure: @escaping @Sendable () throws -> Void) async throws {
    try await withGracefulShutdownHandler {
      try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
          let thread = Thread { ended.resume(with: Result { try measure() }) }
          thread.name = "swtrace-\(name)"
          thread.stackSize = 8 << 20
          thread.start()
        }
      } onCancel: {
        request.request()
      }
    } onGracefulShutdown: {
      request.request()
    }
  }
}
