internal import Hummingbird
internal import Synchronization

/// Lets a bounded number of questions through at once, each for a bounded time.
final class QueryGate: Sendable {
  private let limit: Int
  private let time: Duration
  private let running = Mutex(0)

  init(limit: Int, time: Duration) {
    self.limit = max(limit, 1)
    self.time = time
  }

  /// Asks, and gives up waiting when the time is over. The place stays taken until the work has really ended: what cannot be cancelled
  /// must not pile up.
  ///
  /// - Throws: `Problem` 429 when no place is free, 503 when the time was over; else what the work throws.
  func run<Answer: Sendable>(_ work: @escaping @Sendable () async throws -> Answer) async throws -> Answer {
    let isFree = running.withLock { running in
      if running >= limit { return false }
      running += 1
      return true
    }
    guard isFree else {
      throw Problem(.tooManyRequests, "\(limit) queries are being answered already: try again in a second", headers: [.retryAfter: "1"])
    }
    let (answers, continuation) = AsyncThrowingStream<Answer, any Error>.makeStream(bufferingPolicy: .bufferingOldest(1))
    let task = Task {
      let result: Result<Answer, any Error>
      do { result = .success(try await work()) } catch { result = .failure(error) }
      // First, so that who has the answer can ask again.
      running.withLock { $0 -= 1 }
      continuation.yield(with: result)
    }
    let time = time
    let timer = Task {
      try await Task.sleep(for: time)
      continuation.finish(
        throwing: Problem(
          .serviceUnavailable, "the query took longer than \(time): ask for a shorter range or fewer series", headers: [.retryAfter: "10"]))
    }
    defer {
      timer.cancel()
      task.cancel()
    }
    for try await answer in answers { return answer }
    throw CancellationError()
  }
}
