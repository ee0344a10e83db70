import AgentModel
import Foundation
import Hummingbird
import Logging
import Profiles
import Testing

@testable import AgentServer

@Suite struct PageTests {
  @Test(arguments: [("/", "text/html"), ("/agent.js", "text/javascript"), ("/agent.css", "text/css")]) func parts(
    path: String, type: String
  ) async throws {
    try await TestServer.run { server in
      let answer = try await server.get(path)
      #expect(answer.status == 200)
      #expect(answer.headers[.contentType] == "\(type); charset=utf-8")
      #expect(!answer.text.contains("http://") && !answer.text.contains("https://"), "nothing of elsewhere")
    }
  }

  /// The policy forbids both.
  @Test func nothingInline() {
    #expect(!Page.html.contains("style=") && !Page.html.contains("<style") && Page.html.firstMatch(of: /\son[a-z]+=/) == nil)
    #expect(Page.html.matches(of: /<script/).count == 1)
    #expect(!Page.script.contains("innerHTML") && !Page.script.contains("insertAdjacentHTML") && !Page.script.contains("eval("))
  }

  /// A document whose ids are not unique has elements that the script cannot find.
  @Test func uniqueIDs() {
    let ids = Page.html.matches(of: /\bid="([^"]+)"/).map { String($0.output.1) }
    #expect(Set(ids).count == ids.count)
    for id in Page.script.matches(of: /byId\("([a-z-]+)"\)/).map({ String($0.output.1) }) where id != "times" {
      #expect(ids.contains(id), "\(id)")
    }
  }

  /// Listens until it is told to stop: at once, or when a browser has looked at the page of a synthetic hour (`Tests/Web/run-agent`).
  @Test func serve() async throws {
    let wanted = ProcessInfo.processInfo.environment["SWTRACE_SERVE_PAGE"].flatMap { Int($0) }
    let (ports, input) = AsyncStream<Int?>.makeStream()
    let server = try Server(
      .init(port: wanted ?? 0), source: SyntheticSource(), state: FakeState(),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      clock: WallClock()
    ) { input.yield($0) }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await server.run() }
      var next = ports.makeAsyncIterator()
      let port = try #require(await next.next() ?? nil)
      #expect(port == wanted ?? port && port > 0)
      if wanted == nil { tasks.cancelAll() }
      while let ended = await tasks.nextResult() {
        if case .failure(let error) = ended { #expect(error is CancellationError) }
      }
    }
  }
}

/// Values that follow from the time alone: each window has 100 samples of web, 20 of db in even minutes, 7 of a hostile name. Between the
/// minutes 20 and 30 of each hour nothing was measured.
struct SyntheticSource: ProfileSource {
  static let services = ["web", "db", FakeSource.hostile]

  func values(_ window: Int64) -> [UInt64] {
    (20..<30).contains(window / 60 % 60) ? [0, 0, 0] : [100, window / 60 % 2 == 0 ? 20 : 0, 7]
  }

  private func passing(_ query: Query) -> [Int] {
    Self.services.indices.filter { index in
      query.matchers.allSatisfy { $0.name != "service" || ($0.value == Self.services[index]) == ($0.comparison == .equal) }
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
      covered: .init(repeating: 0, count: count), lost: .init(repeating: 0, count: count))
    for window in windows(start..<start + Int64(count) * step) {
      let at = Int((window - start) / step)
      let values = values(window)
      if values[0] > 0 { timeline.covered[at] += 10_000_000_000 }
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
