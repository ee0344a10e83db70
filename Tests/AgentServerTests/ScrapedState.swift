import AgentModel
import Profiles

@testable import AgentServer

/// What `Tests/Web/metrics.py` scrapes: waits of exactly 2^20 ns, 101 times; waits of 1000 ns doubled up to nine times, each 7 times; nothing.
struct ScrapedState: AgentState {
  func health() async -> Health { await FakeState().health() }
  func reasonNotReady() async -> String? { nil }

  private static func sample(_ service: String, _ values: [UInt64], times: UInt64) -> MetricFamily.Sample {
    var histogram = Histogram()
    for value in values {
      let bucket = Histogram.bucket(slot: Histogram.slot(of: value), count: times)
      histogram.add(Histogram(buckets: [bucket], sum: value * times, maximum: value))
    }
    return .init(ExposedHistogram(histogram, bounds: MetricCatalog.runQueueLatency.bounds ?? 0...0), labels: [("service", service)])
  }

  func metrics() async -> [MetricFamily] {
    let doubled = (0..<10).map { UInt64(1000) << UInt64($0) }
    return await FakeState().metrics() + [
      MetricFamily(
        MetricCatalog.runQueueLatency,
        [Self.sample("exact", [1 << 20], times: 101), Self.sample("doubled", doubled, times: 7), Self.sample("none", [], times: 0)]),
      MetricFamily(MetricCatalog.pageFaults, [.init(31, labels: [("service", FakeSource.hostile), ("kind", "minor")])]),
    ]
  }
}
