internal import AgentModel
internal import Glibc
internal import Hummingbird
internal import ServiceLifecycle

/// The time of day, and waiting for it.
struct WallClock: Sendable {
  /// Seconds since 1970.
  var now: @Sendable () -> Int64 = { Int64(time(nil)) }
  var sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
}

extension Answers {
  /// `/debug/pprof/profile?seconds=N`, as `go tool pprof` and scrapers ask a Go program: what is collected from now on.
  ///
  /// Windows are not cut: the answer has those that the time lies in, and its start and duration are theirs. It comes when the last of them
  /// was kept, or a window's length after the end with what there is then. A client that leaves, and a stop of the agent, end the waiting.
  func profileNow(_ request: Request) async throws -> Response {
    let parameters = try Parameters(request, names: ["seconds"], now: clock.now())
    let seconds = try parameters.integer("seconds", in: 1...300) ?? 30
    let length = ProfileWindow.length
    let start = clock.now()
    let end = start + seconds
    let range = start / length * length..<(end + length - 1) / length * length
    guard request.method != .head else { return Response(status: .ok, headers: [.contentType: "application/octet-stream"]) }
    return try await request.body.consumeWithCancellationOnInboundClose { _ in
      try await cancelWhenGracefulShutdown {
        try await clock.sleep(.seconds(seconds))
        while clock.now() < range.upperBound + length, try await source.extent(of: .cpu)?.upperBound ?? 0 < range.upperBound {
          try await clock.sleep(.seconds(1))
        }
        let query = Query(.cpu, in: range)
        return try await gate.run {
          Response(pprof: try await source.profile(query), query, period: await state.period(of: .cpu))
        }
      }
    }
  }
}

extension AgentState {
  /// Nanoseconds between samples as it is now; 0 where events are measured.
  fileprivate func period(of type: ProfileType) async -> UInt64 {
    let frequency = await health().profiles.first { $0.type == type }?.frequency ?? 0
    return frequency > 0 ? UInt64((1e9 / frequency).rounded()) : 0
  }
}
