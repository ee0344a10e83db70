import AgentModel
import Profiles
import TestSupport
import Testing

@testable import AgentStore

/// A histogram of values in nanoseconds.
func histogram(_ values: [UInt64]) -> Histogram {
  values.reduce(into: Histogram(sum: 0, maximum: 0)) { sum, value in
    sum.add(Histogram(buckets: [Histogram.bucket(slot: Histogram.slot(of: value), count: 1)], sum: value, maximum: value))
  }
}

@Suite struct MetricStoreTests {
  let folder: TemporaryFolder
  private let latency = MetricCatalog.runQueueLatency
  private let faults = MetricCatalog.pageFaults

  init() throws { folder = try TemporaryFolder() }

  private func labels(_ service: String) -> Labels { Labels([("host", "one"), ("service", service)]) }

  private func window(
    _ start: Int64, latencies: [String: [UInt64]] = [:], faults: [String: UInt64] = [:], lost: UInt64 = 0
  ) -> MetricWindow {
    MetricWindow(
      start: start,
      metrics: [
        .init(
          name: latency.name, covered: 10_000_000_000, lost: lost,
          series: latencies.map { .init(labels: labels($0), value: .histogram(histogram($1))) }),
        .init(
          name: self.faults.name, covered: 9_000_000_000, series: faults.map { .init(labels: labels($0), value: .count($1)) }),
      ])
  }

  /// Keeps windows for a day, hours for four.
  private var options: Store.Options {
    var options = Store.Options()
    options.windowAge = 86400
    options.hourAge = 4 * 86400
    return options
  }

  @Test func whatComesInGoesOut() async throws {
    let store = try Store(in: folder)
    try await store.receive(window(1000, latencies: ["web": [0, 1, 1 << 20, .max], "db": [5]], faults: ["web": 7], lost: 3))
    try await store.receive(window(1010, latencies: ["web": [1 << 20]], faults: ["web": 11, "db": 0]))
    // The same start again: it adds.
    try await store.receive(window(1000, latencies: ["db": [5, 6]], lost: 4))
    let query = MetricQuery(latency, in: 1000..<1020)
    #expect(try await store.series(query) == [labels("db"), labels("web")])
    let byService = try await store.timeline(query, step: 10, by: "service")
    #expect(byService.start == 1000 && byService.step == 10)
    #expect(byService.covered == [20_000_000_000, 10_000_000_000] && byService.lost == [7, 0])
    #expect(
      byService.rows == [
        .init(value: "web", steps: [.histogram(histogram([0, 1, 1 << 20, .max])), .histogram(histogram([1 << 20]))]),
        .init(value: "db", steps: [.histogram(histogram([5, 5, 6])), .histogram(Histogram())]),
      ])
    let all = try await store.timeline(MetricQuery(latency, [Matcher("service", .equal, "db")], in: 1000..<1020), step: 20, by: nil)
    #expect(all.rows == [.init(value: "", steps: [.histogram(histogram([5, 5, 6]))])] && all.covered == [30_000_000_000])
    let faulted = try await store.timeline(MetricQuery(faults, in: 1000..<1020), step: 10, by: nil)
    #expect(faulted.rows == [.init(value: "", steps: [.count(7), .count(11)])] && faulted.lost == [0, 0])
    // Nothing of a counter that did not count, and nothing outside.
    #expect(try await store.series(MetricQuery(faults, in: 1000..<1020)) == [labels("web")])
    #expect(try await store.series(MetricQuery(latency, in: 1020..<2000)) == [])
    #expect(try await store.timeline(MetricQuery(MetricCatalog.oomKills, in: 1000..<1020), step: 10, by: nil).covered == [0, 0])
  }

  @Test func windowsBecomeMinutesAndHours() async throws {
    let store = try Store(in: folder, options: options)
    for index in 0..<361 as Range<Int64> {
      try await store.receive(window(index * 10, latencies: ["web": [UInt64(index)]], faults: ["web": 2], lost: 1))
    }
    let query = MetricQuery(latency, in: 0..<3600)
    let hour = MetricValue.histogram(histogram((0..<360).map { $0 }))
    #expect(try await store.timeline(query, step: 3600, by: nil).rows == [.init(value: "", steps: [hour])])

    try await store.maintain(now: 3610)
    #expect(try await store.count("metric_block WHERE resolution = 10") == 2)
    #expect(try await store.count("metric_block WHERE resolution = 300") == 24)
    #expect(try await store.timeline(query, step: 3600, by: nil).rows == [.init(value: "", steps: [hour])])
    // Minutes are all that is left.
    let minutes = try await store.timeline(MetricQuery(latency, in: 290..<370), step: 10, by: nil)
    #expect(minutes.start == 240 && minutes.step == 60 && minutes.lost == [6, 6, 6])
    #expect(minutes.rows.map(\.steps) == [[24..<30, 30..<36, 36..<42].map { .histogram(histogram($0.map { $0 })) }])
    #expect(try await store.timeline(MetricQuery(latency, in: 3600..<3610), step: 10, by: nil).step == 10)

    try await store.maintain(now: 3600 + options.windowAge)
    #expect(try await store.count("metric_block WHERE resolution = 3600") == 2)
    #expect(try await store.timeline(query, step: 10, by: nil).rows == [.init(value: "", steps: [hour])])
    let sums = try await store.timeline(MetricQuery(faults, in: 0..<3600), step: 10, by: "service")
    #expect(sums.step == 3600 && sums.rows == [.init(value: "web", steps: [.count(720)])] && sums.covered == [3_240_000_000_000])

    try await store.maintain(now: options.hourAge + 1)
    #expect(try await store.series(query) == [])
    try await store.maintain(now: 2 * options.hourAge)
    #expect(try await store.count("metric_block") == 0)
    #expect(try await store.count("metric_series") == 0)
  }

  @Test func anOlderFileGetsTheTables() async throws {
    do {
      let store = try Store(in: folder)
      try await store.write { database, _ in
        try database.run("DROP TABLE metric_block")
        try database.run("DROP TABLE metric_series")
        try database.run("DROP TABLE retention")
        try database.run("ALTER TABLE coverage DROP COLUMN parts")
        try database.run("DELETE FROM grdb_migrations WHERE identifier != '1'")
      }
    }
    let store = try Store(in: folder)
    try await store.receive(window(1000, faults: ["web": 7]))
    #expect(try await store.series(MetricQuery(faults, in: 1000..<1010)) == [labels("web")])
  }

  @Test func damagedBlocksAreToldAndReplaced() async throws {
    let store = try Store(in: folder)
    try await store.receive(window(0, faults: ["web": 7]))
    try await store.receive(window(10, faults: ["web": 11]))
    try await store.write { database, _ in try database.run("UPDATE metric_block SET data = x'FF' WHERE start = 0") }
    await #expect(throws: StoreError.damaged(what: "a block of a metric")) {
      try await store.timeline(MetricQuery(faults, in: 0..<20), step: 10, by: nil)
    }
    try await store.maintain(now: 300)
    #expect(await store.status().remarks == ["2 blocks were damaged and are lost"])
    #expect(try await store.timeline(MetricQuery(faults, in: 0..<60), step: 60, by: nil).rows == [.init(value: "", steps: [.count(11)])])
  }

  @Test func aWindowBetweenTimesIsRefused() async throws {
    let store = try Store(in: folder)
    await #expect(throws: StoreError.malformed(what: "it begins at 1005, which is no multiple of 10")) {
      try await store.receive(window(1005))
    }
    #expect(await store.status().dropped == 1)
  }

  /// Whatever the bytes are, reading ends, with values or an error.
  @Test func anyBytesCanBeRead() throws {
    var random = SeededGenerator(seed: 19)
    let part = MetricPart(covered: 7, lost: 1, values: [3: .count(9), 900: .histogram(histogram([0, 77, 1 << 40]))])
    let good = MetricBlock.encode([0: part, 4: part])
    #expect(try MetricBlock.decode(good, .span) == [0: part, 4: part])
    #expect(throws: StoreError.self) { try MetricBlock.decode(good, .hour) }
    let plain = MetricCoding.encode(part)
    for _ in 0..<20_000 {
      let bytes = mutated(plain, using: &random)
      if let read = try? MetricCoding.decode(bytes[...]) { #expect(try MetricCoding.decode(MetricCoding.encode(read)[...]) == read) }
      _ = try? MetricBlock.decode(bytes, .span)
    }
  }
}
