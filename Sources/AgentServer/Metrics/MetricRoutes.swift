internal import AgentModel
internal import Hummingbird
internal import Profiles

/// Questions about the metrics of the machine.
extension Answers {
  private static let range = ["from", "to"]
  /// Of an answer, so that nobody asks for a million histograms by mistake.
  private static let cellLimit = 2_000_000

  func metricList(_ request: Request) async throws -> Response {
    let range = try Parameters(request, names: Self.range, now: clock.now()).range()
    return try await gate.run { [metricSource] in
      var metrics: [JSON] = []
      for metric in MetricCatalog.measured {
        let series = try await metricSource.series(MetricQuery(metric, in: range))
        metrics.append(
          .object(
            Self.members(metric) + [("series", .array(series.map { .object($0.all.map { ($0.name, .string($0.value)) }) }))]))
      }
      return Response(json: .object([("metrics", .array(metrics))]))
    }
  }

  func metricRange(_ request: Request) async throws -> Response {
    let parameters = try Parameters(request, names: ["metric", "match", "step", "by"] + Self.range, now: clock.now())
    let metric = try Self.metric(parameters)
    let range = try parameters.range()
    let step = try parameters.step(for: range)
    let query = MetricQuery(metric, try parameters["match"].map(SelectorParser.parse) ?? [], in: range)
    let label = parameters["by"]
    return try await gate.run { [metricSource] in
      let timeline = try await metricSource.timeline(query, step: step, by: label)
      let octaves = Octaves(timeline)
      let cells = timeline.rows.count * timeline.covered.count * (octaves.all.count + 5)
      guard cells <= Self.cellLimit else {
        throw Problem.bad("the answer has \(cells) numbers, more than \(Self.cellLimit): use a longer 'step' or another 'by'")
      }
      var members = [("metric", JSON.string(metric.name))] + Self.members(metric).dropFirst()
      members += [
        ("by", label.map { .string($0) } ?? .null), ("start", .integer(timeline.start)), ("step", .integer(timeline.step)),
        ("covered", .naturals(timeline.covered)), ("lost", .naturals(timeline.lost)),
      ]
      if metric.kind == .histogram { members.append(("bounds", .array(octaves.all.map { .number(seconds(octaves.bound($0))) }))) }
      members.append(("rows", .array(timeline.rows.map { Self.row($0, metric, octaves) })))
      return Response(json: .object(members))
    }
  }

  private static func metric(_ parameters: Parameters) throws(Problem) -> Metric {
    guard let name = parameters["metric"] else { throw .bad("'metric' is missing: /api/v1/metrics lists them") }
    guard let metric = MetricCatalog.measured(named: name) else {
      throw .bad("there is no metric '\(name)': there are \(MetricCatalog.measured.map(\.name).joined(separator: ", "))")
    }
    return metric
  }

  private static func members(_ metric: Metric) -> [(String, JSON)] {
    [
      ("name", .string(metric.name)), ("help", .string(metric.help)), ("kind", .string(metric.kind.rawValue)),
      ("unit", metric.unit.map { .string($0.rawValue) } ?? .null), ("labels", .strings(["host"] + metric.labels)),
    ]
  }

  private static func row(_ row: MetricTimeline.Row, _ metric: Metric, _ octaves: Octaves) -> JSON {
    var members: [(String, JSON)] = [("value", .string(row.value)), ("count", .naturals(row.steps.map(\.count)))]
    if metric.kind == .histogram {
      let histograms = row.steps.map { if case .histogram(let histogram) = $0 { histogram } else { Histogram() } }
      members.append(("sum", .array(histograms.map { .number(seconds(Double($0.sum))) })))
      for (name, fraction) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        members.append(
          (name, .array(histograms.map { $0.quantile(fraction, maximum: Double($0.maximum)).map { .number(seconds($0)) } ?? .null })))
      }
      members.append(("max", .array(histograms.map { $0.buckets.isEmpty ? .null : .number(seconds(Double($0.maximum))) })))
      members.append(("buckets", .array(histograms.map { .naturals(octaves.counts($0)) })))
    }
    return .object(members)
  }
}

/// Nanoseconds in seconds.
private func seconds(_ nanoseconds: Double) -> Double { nanoseconds / 1e9 }

/// The powers of two that an answer's values lie between.
private struct Octaves {
  /// n stands for 2^n up to 2^(n+1) - 1; 0 also for 0.
  let all: Range<Int>

  init(_ timeline: MetricTimeline) {
    var (low, high) = (Int.max, Int.min)
    for case .histogram(let histogram) in timeline.rows.flatMap(\.steps) {
      guard let first = histogram.buckets.first, let last = histogram.buckets.last else { continue }
      (low, high) = (min(low, Self.octave(first.low)), max(high, Self.octave(last.low)))
    }
    all = low <= high ? low..<high + 1 : 0..<0
  }

  private static func octave(_ value: UInt64) -> Int { value < 2 ? 0 : 63 - value.leadingZeroBitCount }

  /// The largest value of an octave, in nanoseconds.
  func bound(_ octave: Int) -> Double { Double(octave >= 63 ? UInt64.max : 1 << UInt64(octave + 1) - 1) }

  /// How many values lie in each.
  func counts(_ histogram: Histogram) -> [UInt64] {
    var counts = [UInt64](repeating: 0, count: all.count)
    for bucket in histogram.buckets { counts[Self.octave(bucket.low) - all.lowerBound] += bucket.count }
    return counts
  }
}
