internal import AgentModel
internal import Formats
internal import Hummingbird
internal import Profiles

/// What the routes answer from.
struct Answers: Sendable {
  let source: any ProfileSource
  let metricSource: any MetricSource
  let state: any AgentState
  let gate: QueryGate
  let clock: WallClock

  /// The forms of a profile.
  enum ProfileFormat: String, CaseIterable {
    /// As the page reads it.
    case json
    case folded
    case pprof
  }

  enum DifferenceFormat: String, CaseIterable {
    case json
    case folded
  }

  func series(_ request: Request) async throws -> Response {
    let query = try Parameters(request, names: Parameters.ofQuery, now: clock.now()).query()
    return try await gate.run { [source] in
      let series = try await source.series(query)
      return Response(json: .object([("series", .array(series.map { .object($0.all.map { ($0.name, .string($0.value)) }) }))]))
    }
  }

  func labels(_ request: Request) async throws -> Response {
    let query = try Parameters(request, names: Parameters.ofQuery, now: clock.now()).query()
    return try await gate.run { [source] in
      var values: [String: Set<String>] = [:]
      for label in try await source.series(query).flatMap(\.all) { values[label.name, default: []].insert(label.value) }
      let sorted = values.sorted { $0.key < $1.key }
      return Response(json: .object([("labels", .object(sorted.map { ($0.key, .strings($0.value.sorted())) }))]))
    }
  }

  func timeline(_ request: Request) async throws -> Response {
    let parameters = try Parameters(request, names: Parameters.ofQuery + ["step", "by"], now: clock.now())
    let query = try parameters.query()
    let step = try parameters.step(for: query.range)
    let label = parameters["by"] ?? "service"
    return try await gate.run { [source] in
      let timeline = try await source.timeline(query, step: step, by: label)
      return Response(
        json: .object([
          ("type", .string(query.type.rawValue)), ("unit", .string(query.type.unit.name)), ("by", .string(label)),
          ("start", .integer(timeline.start)), ("step", .integer(timeline.step)), ("covered", .naturals(timeline.covered)),
          ("lost", .naturals(timeline.lost)), ("period", .naturals(timeline.period)),
          ("rows", .array(timeline.rows.map { .object([("value", .string($0.value)), ("sums", .naturals($0.sums))]) })),
        ]))
    }
  }

  func profile(_ request: Request) async throws -> Response {
    let parameters = try Parameters(request, names: Parameters.ofQuery + ["format"], now: clock.now())
    let query = try parameters.query()
    let format = try parameters.choice("format", ProfileFormat.self, .json)
    return try await gate.run { [source] in
      let profile = try await source.profile(query)
      switch format {
      case .json: return Response(FlameGraph.json(profile), type: "application/json")
      case .folded: return Response(folded: profile)
      case .pprof: return Response(pprof: profile, query)
      }
    }
  }

  func difference(_ request: Request) async throws -> Response {
    let parameters = try Parameters(
      request, names: Parameters.ofQuery + ["before_match", "before_from", "before_to", "format"], now: clock.now())
    let query = try parameters.query()
    guard parameters["before_from"] != nil, parameters["before_to"] != nil else {
      throw Problem.bad("a difference has two ranges: give 'before_from' and 'before_to' besides 'from' and 'to'")
    }
    let earlier = try parameters.query(parameters["before_match"] == nil ? "match" : "before_match", "before_from", "before_to")
    let format = try parameters.choice("format", DifferenceFormat.self, .json)
    return try await gate.run { [source] in
      let before = try await source.profile(earlier)
      let after = try await source.profile(query)
      switch format {
      case .json: return Response(FlameGraph.json(after, since: before, hasCounts: query.type == .cpu), type: "application/json")
      case .folded:
        var bytes: [UInt8] = []
        DifferenceWriter.writeFolded(before, after, normalize: false, into: &bytes)
        return Response(bytes, type: "text/plain; charset=utf-8")
      }
    }
  }
}

extension Response {
  init(folded profile: Profile) {
    self.init(FoldedWriter.write(profile), type: "text/plain; charset=utf-8")
  }

  /// - Parameter period: nanoseconds between samples; 0 where the range may have had several.
  init(pprof profile: Profile, _ query: Query, period: UInt64 = 0) {
    var recording = Recording()
    recording.startedAt = Self.nanoseconds(query.range.lowerBound)
    recording.duration = Self.nanoseconds(Int64(query.range.count))
    recording.period = period
    recording.measure = query.type.measure
    // A window has the sum of each stack, not how many waits it was.
    recording.hasCounts = query.type == .cpu
    self.init(PprofWriter.write(profile, recording), type: "application/octet-stream")
  }

  /// The most there can be for times that a person mistyped.
  private static func nanoseconds(_ seconds: Int64) -> UInt64 {
    let (product, overflow) = UInt64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : product
  }
}
