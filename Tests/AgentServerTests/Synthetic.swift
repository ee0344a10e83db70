import AgentModel
import Foundation
import Profiles
import Synchronization

@testable import AgentServer

/// Values that follow from the time alone: each window has 100 samples of web, 20 of db in even minutes, 7 of a hostile name. Between the
/// minutes 20 and 30 of each hour nothing was measured; the first window of minute 40 lasted four seconds, and lost three events.
struct SyntheticSource: ProfileSource {
  static let services = ["web", "db", FakeSource.hostile]

  func values(_ window: Int64) -> [UInt64] {
    (20..<30).contains(window / 60 % 60) ? [0, 0, 0] : [100, window / 60 % 2 == 0 ? 20 : 0, 7]
  }

  /// Off the processors nothing was measured.
  private func passing(_ query: Query) -> [Int] {
    Self.services.indices.filter { index in
      query.type == .cpu
        && query.matchers.allSatisfy { $0.name != "service" || ($0.value == Self.services[index]) == ($0.comparison == .equal) }
    }
  }

  func windows(_ range: Range<Int64>) -> StrideTo<Int64> {
    stride(from: (range.lowerBound + 9) / 10 * 10, to: range.upperBound, by: 10)
  }

  func series(_ query: Query) async throws -> [Labels] { passing(query).map { Labels([("service", Self.services[$0]), ("host", "h")]) } }

  func timeline(_ query: Query, step: Int64, by label: String) async throws -> Timeline {
    let start = query.range.lowerBound / step * step
    let count = Int((query.range.upperBound - start + step - 1) / step)
    var timeline = Timeline(
      start: start, step: step, rows: passing(query).map { .init(value: Self.services[$0], sums: .init(repeating: 0, count: count)) },
      covered: .init(repeating: 0, count: count), lost: .init(repeating: 0, count: count),
      period: .init(repeating: 10_000_000, count: count))
    for window in windows(start..<start + Int64(count) * step) {
      let at = Int((window - start) / step)
      let values = values(window)
      let isShort = window % 3600 == 2400
      if values[0] > 0 { timeline.covered[at] += isShort ? 4_000_000_000 : 10_000_000_000 }
      if isShort { timeline.lost[at] += 3 }
      for (row, index) in passing(query).enumerated() { timeline.rows[row].sums[at] += values[index] }
    }
    return timeline
  }

  func profile(_ query: Query) async throws -> Profile {
    var profile = Profile(unit: query.type.unit)
    for window in windows(query.range) {
      for index in passing(query) where values(window)[index] > 0 {
        let name = Self.services[index]
        profile.add(
          values(window)[index], stack: Stack([Frame(function: "main"), Frame(function: index == 0 ? "handle" : name)]),
          process: .init(command: Array(name.utf8)))
      }
    }
    return profile
  }

  func extent(of type: ProfileType) async throws -> Range<Int64>? { type == .cpu ? 0..<Int64(Date().timeIntervalSince1970) / 10 * 10 : nil }
}

/// An agent whose first window is stored when the page has asked for the third time.
final class YoungAgent: ProfileSource, MetricSource, AgentState {
  private let asked = Mutex(0)
  private let later = SyntheticSource()
  private var isMeasured: Bool { asked.withLock { $0 } >= 3 }

  func series(_ query: Query) async throws -> [Labels] { isMeasured ? try await later.series(query) : [] }

  func timeline(_ query: Query, step: Int64, by label: String) async throws -> Timeline {
    var timeline = try await later.timeline(query, step: step, by: label)
    if !isMeasured {
      timeline.rows = []
      timeline.covered = timeline.covered.map { _ in 0 }
      timeline.lost = timeline.covered
    }
    return timeline
  }

  func profile(_ query: Query) async throws -> Profile { isMeasured ? try await later.profile(query) : Profile(unit: query.type.unit) }

  func extent(of type: ProfileType) async throws -> Range<Int64>? { isMeasured ? try await later.extent(of: type) : nil }

  func series(_ query: MetricQuery) async throws -> [Labels] { isMeasured ? try await later.series(query) : [] }

  func timeline(_ query: MetricQuery, step: Int64, by label: String?) async throws -> MetricTimeline {
    try await later.timeline(query, step: step, by: label)
  }

  func health() async -> Health {
    asked.withLock { $0 += 1 }
    var health = await FakeState().health()
    if !isMeasured { health.profiles = [] }
    return health
  }

  func metrics() async -> [MetricFamily] { [] }
  func reasonNotReady() async -> String? { isMeasured ? nil : "no window has ended yet" }
}
