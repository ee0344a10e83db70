import AgentModel
import Profiles

/// Each metric of each window has a value for each sample of the profile: histograms 1,000 ns doubled up to 9 times, in turn. Counters are
/// the samples. Nothing of disks and of system calls.
extension SyntheticSource: MetricSource {
  private func isMeasured(_ metric: Metric) -> Bool { metric.labels.contains("service") }

  private func passing(_ query: MetricQuery) -> [Int] {
    guard isMeasured(query.metric) else { return [] }
    return Self.services.indices.filter { index in
      query.matchers.allSatisfy { $0.name != "service" || ($0.value == Self.services[index]) == ($0.comparison == .equal) }
    }
  }

  private func value(_ metric: Metric, _ count: UInt64) -> MetricValue {
    guard metric.kind == .histogram else { return .count(count) }
    var sum = Histogram()
    for index in 0..<count {
      let value = UInt64(1000) << (index % 10)
      sum.add(Histogram(buckets: [Histogram.bucket(slot: Histogram.slot(of: value), count: 1)], sum: value, maximum: value))
    }
    return .histogram(sum)
  }

  func series(_ query: MetricQuery) async throws -> [Labels] {
    passing(query).map { Labels([("service", Self.services[$0]), ("host", "h")]) }.sorted()
  }

  func timeline(_ query: MetricQuery, step: Int64, by label: String?) async throws -> MetricTimeline {
    let start = query.range.lowerBound / step * step
    let count = Int((query.range.upperBound - start + step - 1) / step)
    let nothing = [MetricValue](repeating: .nothing(query.metric.kind), count: count)
    let passing = passing(query)
    var timeline = MetricTimeline(
      start: start, step: step,
      rows: label == "service"
        ? passing.map { .init(value: Self.services[$0], steps: nothing) } : passing.isEmpty ? [] : [.init(value: "", steps: nothing)],
      covered: .init(repeating: 0, count: count), lost: .init(repeating: 0, count: count))
    guard isMeasured(query.metric) else { return timeline }
    for window in windows(start..<start + Int64(count) * step) {
      let at = Int((window - start) / step)
      let values = values(window)
      if values[0] > 0 { timeline.covered[at] += 10_000_000_000 }
      for (row, index) in passing.enumerated() {
        timeline.rows[label == "service" ? row : 0].steps[at].add(value(query.metric, values[index]))
      }
    }
    return timeline
  }
}
