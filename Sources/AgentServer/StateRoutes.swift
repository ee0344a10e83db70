internal import AgentModel
internal import Hummingbird

/// What the agent says of itself.
extension Answers {
  func health(_ request: Request) async throws -> Response {
    _ = try Parameters(request, names: [], now: 0)
    let health = await state.health()
    return try await gate.run { [source] in
      var extents: [(String, JSON)] = []
      for type in ProfileType.allCases {
        if let extent = try await source.extent(of: type) {
          extents.append((type.rawValue, .array([.integer(extent.lowerBound), .integer(extent.upperBound)])))
        }
      }
      return Response(json: Self.json(health, extents: extents))
    }
  }

  private static func json(_ health: Health, extents: [(String, JSON)]) -> JSON {
    .object([
      ("version", .string(health.version)), ("started_at", .integer(health.startedAt)),
      ("profiles", .array(health.profiles.map(json))),
      (
        "cost",
        .object([
          ("processor", .number(health.cost.processor)), ("programs", health.cost.programs.map(JSON.number) ?? .null),
          ("limit", .number(health.cost.limit)), ("memory_bytes", .natural(health.cost.memory)),
        ])
      ),
      (
        "store",
        .object([
          ("bytes", .natural(health.store.bytes)), ("limit_bytes", .natural(health.store.limit)),
          ("dropped_windows", .natural(health.store.droppedWindows)), ("extents", .object(extents)),
        ])
      ),
      ("remarks", .strings(health.remarks)),
    ])
  }

  private static func json(_ profile: Health.Measuring) -> JSON {
    .object([
      ("type", .string(profile.type.rawValue)), ("frequency_hertz", .number(profile.frequency)), ("events", .natural(profile.events)),
      ("lost", .natural(profile.lost)), ("whole_stacks", .natural(profile.wholeStacks)), ("cut_stacks", .natural(profile.cutStacks)),
      ("unnamed_frames", .natural(profile.unnamedFrames)), ("frames", .natural(profile.frames)),
    ])
  }

  /// Alive: it answers.
  func alive() -> Response { Response(text: "ok") }

  func ready() async -> Response {
    if let reason = await state.reasonNotReady() { return Problem(.serviceUnavailable, reason).response }
    return Response(text: "ok")
  }

  func metrics(_ request: Request) async -> Response {
    let format = MetricsWriter.Format(accept: request.headers[values: .accept].joined(separator: ","))
    return Response(MetricsWriter.write(await state.metrics(), as: format), type: format.contentType)
  }
}
