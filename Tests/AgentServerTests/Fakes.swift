import AgentModel
import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import Profiles
import Synchronization

@testable import AgentServer

/// Two services in two windows, all values prime: web 7 and 11 at 1000, db 13 at 1000, web 17 at 1010.
struct FakeSource: ProfileSource {
  struct Entry: Sendable {
    var start: Int64
    var service: String
    var frames: [String]
    var value: UInt64
  }

  static let hostile = #"</script><b>"x"\#u{2028}\"#
  var entries = [
    Entry(start: 1000, service: "web", frames: ["main", "work"], value: 7), Entry(start: 1000, service: "web", frames: ["main"], value: 11),
    Entry(start: 1000, service: "db", frames: ["main", "query"], value: 13),
    Entry(start: 1010, service: "web", frames: ["main", "work"], value: 17),
  ]
  var upperBound: Int64 = 1020
  /// What every question waits for first.
  var wait: @Sendable () async throws -> Void = {}

  private func chosen(_ query: Query) async throws -> [Entry] {
    try await wait()
    return entries.filter { entry in
      query.range.contains(entry.start)
        && query.matchers.allSatisfy { $0.name == "service" && (($0.value == entry.service) == ($0.comparison == .equal)) }
    }
  }

  func series(_ query: Query) async throws -> [Labels] {
    Set(try await chosen(query).map { Labels([("host", "h"), ("service", $0.service)]) }).sorted()
  }

  func timeline(_ query: Query, step: Int64, by label: String) async throws -> Timeline {
    let start = query.range.lowerBound / step * step
    let count = Int((query.range.upperBound - start + step - 1) / step)
    let byService = Dictionary(grouping: try await chosen(query), by: \.service)
    let rows = byService.map { service, entries in
      var sums = [UInt64](repeating: 0, count: count)
      for entry in entries { sums[Int((entry.start - start) / step)] += entry.value }
      return Timeline.Row(value: label == "service" ? service : "", sums: sums)
    }
    return Timeline(
      start: start, step: step, rows: rows.sorted { $0.sums.reduce(0, +) > $1.sums.reduce(0, +) },
      covered: .init(repeating: 10_000_000_000, count: count), lost: .init(repeating: 0, count: count),
      period: .init(repeating: 7, count: count))
  }

  func profile(_ query: Query) async throws -> Profile {
    var profile = Profile(unit: query.type.unit)
    for entry in try await chosen(query) {
      profile.add(
        entry.value, count: entry.value, stack: Stack(entry.frames.map { Frame(function: $0) }),
        process: .init(command: Array(entry.service.utf8)))
    }
    return profile
  }

  func extent(of type: ProfileType) async throws -> Range<Int64>? {
    type == .cpu ? 1000..<upperBound : nil
  }
}

/// Run-queue latencies of web, 3 of 1000 ns and 5 of 70,000 at 1000, and of db, one of 1,048,576 at 1010; page faults of web, 7 and 11.
extension FakeSource: MetricSource {
  private static let latencies: [(start: Int64, service: String, values: [UInt64])] = [
    (1000, "web", [1000, 1000, 1000] + Array(repeating: 70_000, count: 5)), (1010, "db", [1_048_576]),
  ]
  private static let faults: [(start: Int64, service: String, count: UInt64)] = [(1000, "web", 7), (1010, "web", 11)]

  private func entries(_ query: MetricQuery) async throws -> [(start: Int64, service: String, value: MetricValue)] {
    try await wait()
    let all: [(start: Int64, service: String, value: MetricValue)] =
      switch query.metric {
      case MetricCatalog.runQueueLatency:
        Self.latencies.map { entry in
          var histogram = Histogram(sum: entry.values.reduce(0, +), maximum: entry.values.max() ?? 0)
          for value in entry.values { histogram.add(Histogram(buckets: [Histogram.bucket(slot: Histogram.slot(of: value), count: 1)])) }
          return (entry.start, entry.service, MetricValue.histogram(histogram))
        }
      case MetricCatalog.pageFaults: Self.faults.map { ($0.start, $0.service, MetricValue.count($0.count)) }
      default: []
      }
    return all.filter { entry in
      query.range.contains(entry.start)
        && query.matchers.allSatisfy { $0.name == "service" && (($0.value == entry.service) == ($0.comparison == .equal)) }
    }
  }

  func series(_ query: MetricQuery) async throws -> [Labels] {
    Set(try await entries(query).map { Labels([("host", "h"), ("service", $0.service)]) }).sorted()
  }

  func timeline(_ query: MetricQuery, step: Int64, by label: String?) async throws -> MetricTimeline {
    let start = query.range.lowerBound / step * step
    let count = Int((query.range.upperBound - start + step - 1) / step)
    let rows = Dictionary(grouping: try await entries(query)) { label == "service" ? $0.service : "" }.map { value, entries in
      var steps = [MetricValue](repeating: .nothing(query.metric.kind), count: count)
      for entry in entries { steps[Int((entry.start - start) / step)].add(entry.value) }
      return MetricTimeline.Row(value: value, steps: steps)
    }
    return MetricTimeline(
      start: start, step: step, rows: rows.sorted { $0.steps.reduce(0) { $0 + $1.count } > $1.steps.reduce(0) { $0 + $1.count } },
      covered: .init(repeating: 10_000_000_000, count: count), lost: .init(repeating: 0, count: count))
  }
}

struct FakeState: AgentState {
  var reason: String?

  func health() async -> Health {
    Health(
      version: "1.2.3", startedAt: 997,
      profiles: [
        .init(type: .cpu, frequency: 19, events: 48, lost: 5, wholeStacks: 41, cutStacks: 7, unnamedFrames: 3, frames: 101)
      ], cost: .init(processor: 0.01, programs: 0.002, limit: 0.02, memory: 31), store: .init(bytes: 4099, limit: 8209, droppedWindows: 2),
      remarks: ["the frequency was halved"])
  }

  func metrics() async -> [MetricFamily] {
    [
      MetricFamily(
        "swtrace_agent_lost", "Events that are \"lost\"\n\\", .counter, [.init(5, labels: [("type", "cpu"), ("why", "a\"b\\c\nd")])]),
      MetricFamily(
        "swtrace_agent_memory_bytes", "Resident memory.", .gauge, unit: "bytes", [.init(31), .init(.infinity, labels: [("k", "v")])]),
    ]
  }

  func reasonNotReady() async -> String? { reason }
}

/// One probe that measures with 19 Hz, and what was asked of it.
final class FakeControl: AgentControl {
  private struct Content {
    var probe = ProbeState(
      name: "cpu", label: "cpu", settings: ProbeSettings(isEnabled: true, frequency: 19), isRunning: true, isPending: false, events: 48,
      lost: 5)
    var budget = Budget(processor: 2.5, memory: 64 << 20)
    var asked: [String] = []
  }
  private let content = Mutex(Content())
  var asked: [String] { content.withLock(\.asked) }

  func probes() async -> [ProbeState] { content.withLock { [$0.probe] } }

  func change(_ name: String, _ change: ProbeChange, by who: String) async throws(ControlError) -> ProbeState? {
    guard name == "cpu" else { return nil }
    guard change.threshold == nil else { throw ControlError("cpu has no threshold") }
    return content.withLock { content in
      content.asked.append(who)
      content.probe.isPending = true
      content.probe.settings.isEnabled = change.isRunning ?? content.probe.settings.isEnabled
      content.probe.settings.frequency = change.frequency ?? content.probe.settings.frequency
      content.probe.settings.mode = change.mode ?? content.probe.settings.mode
      content.probe.settings.filter = change.filter ?? content.probe.settings.filter
      return content.probe
    }
  }

  func budget() async -> Budget { content.withLock(\.budget) }

  func change(_ change: BudgetChange, by who: String) async throws(ControlError) -> Budget {
    guard change.processor ?? 1 > 0 else { throw ControlError("max_cpu is too small") }
    return content.withLock { content in
      content.asked.append(who)
      content.budget.processor = change.processor ?? content.budget.processor
      content.budget.memory = change.memory ?? content.budget.memory
      return content.budget
    }
  }
}

/// An answer of the server.
struct Answer {
  let status: Int
  let headers: HTTPFields
  let bytes: [UInt8]

  var text: String { String(decoding: bytes, as: UTF8.self) }
  func json() throws -> [String: Any] { try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] ?? [:] }
  func error() throws -> String { try json()["error"] as? String ?? "no error" }
}

/// A server on a port of its own, and requests to it.
struct TestServer: Sendable {
  let port: Int

  /// The wall clock stands at 1020, unless another one is given.
  static func run(
    _ configuration: AgentServer.Configuration = .init(), source: FakeSource = FakeSource(), state: FakeState = FakeState(),
    control: FakeControl = FakeControl(), clock: WallClock = WallClock(now: { 1020 }),
    _ test: @escaping @Sendable (TestServer) async throws -> Void
  ) async throws {
    let server = try Server(
      configuration, source: source, state: state, control: control, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      clock: clock
    ) { _ in }
    try await server.application.test(.live) { try await test(TestServer(port: $0.port!)) }
  }

  func get(
    _ path: String, method: HTTPRequest.Method = .get, host: String? = "localhost", headers: HTTPFields = [:],
    body: String? = nil
  ) async throws -> Answer {
    try await TestClient.withClient(host: "localhost", port: port) { client in
      let response = try await client.execute(
        .init(path, method: method, authority: host, headers: headers, body: body.map { ByteBuffer(string: $0) }))
      return Answer(status: response.status.code, headers: response.headers, bytes: response.body.map { Array($0.readableBytesView) } ?? [])
    }
  }
}
