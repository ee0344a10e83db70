import AgentModel
import Formats
import Foundation
import Hummingbird
import Logging
import Profiles
import Testing

@testable import AgentServer

@Suite struct QueryTests {
  static let range = "from=1000&to=1020"

  @Test func seriesAndLabels() async throws {
    try await TestServer.run { server in
      let series = try await server.get("/api/v1/series?\(Self.range)")
      #expect(series.status == 200)
      #expect(series.text == #"{"series":[{"host":"h","service":"db"},{"host":"h","service":"web"}]}"# + "\n")
      #expect(series.headers[.contentType] == "application/json")
      let labels = try await server.get("/api/v1/labels?\(Self.range)")
      #expect(labels.text == #"{"labels":{"host":["h"],"service":["db","web"]}}"# + "\n")
      let one = try await server.get("/api/v1/labels?\(Self.range)&match=%7Bservice%3D%22db%22%7D")
      #expect(one.text == #"{"labels":{"host":["h"],"service":["db"]}}"# + "\n")
    }
  }

  @Test func timeline() async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/timeline?\(Self.range)&step=10")
      #expect(
        answer.text == """
          {"type":"cpu","unit":"samples","by":"service","start":1000,"step":10,"covered":[10000000000,10000000000],"lost":[0,0],"period":[7,7],\
          "rows":[{"value":"web","sums":[18,17]},{"value":"db","sums":[13,0]}]}

          """)
      let whole = try await server.get("/api/v1/timeline?from=1000&to=4600").json()
      #expect(whole["step"] as? Int == 10)
      #expect((whole["covered"] as? [Any])?.count == 360)
    }
  }

  @Test(arguments: [
    ("from=1000&to=1020", "db;main;query 13\nweb;main 11\nweb;main;work 24\n"),
    ("from=1000&to=1010", "db;main;query 13\nweb;main 11\nweb;main;work 7\n"),
    ("from=1000&to=1020&match=%7Bservice!%3D%22web%22%7D", "db;main;query 13\n"), ("from=2000&to=2010", ""),
    // The wall clock stands at the end.
    ("from=-20s", "db;main;query 13\nweb;main 11\nweb;main;work 24\n"), ("from=-10s&to=now", "web;main;work 17\n"),
  ]) func profileAsFolded(query: String, text: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/profile?format=folded&\(query)")
      #expect(answer.text == text)
    }
  }

  @Test func profileAsPprof() async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/profile?\(Self.range)&format=pprof")
      #expect(answer.headers[.contentType] == "application/octet-stream")
      let read = try PprofReader.read(answer.bytes)
      #expect(read.profile.total == 48)
      #expect(read.recording.startedAt == 1_000_000_000_000)
      #expect(read.recording.duration == 20_000_000_000)
    }
  }

  @Test func profileAsTree() async throws {
    try await TestServer.run { server in
      let tree = try await server.get("/api/v1/profile?\(Self.range)").json()
      let values = try #require((tree["entries"] as? [String: Any])?["value"] as? [Int])
      #expect(values.reduce(0, +) == 48)
      #expect(values.sorted() == [11, 13, 24])
      #expect(Set(["main", "work", "query", "db", "web"]).isSubset(of: tree["strings"] as? [String] ?? []))
    }
  }

  @Test func difference() async throws {
    try await TestServer.run { server in
      let path = "/api/v1/difference?from=1010&to=1020&before_from=1000&before_to=1010"
      let tree = try await server.get(path).json()
      #expect(((tree["entries"] as? [String: Any])?["value"] as? [Int])?.reduce(0, +) == 17)
      #expect(((tree["before"] as? [String: Any])?["value"] as? [Int])?.reduce(0, +) == 31)
      #expect(try await server.get(path + "&format=folded").text == "db;main;query 13 0\nweb;main 11 0\nweb;main;work 7 17\n")
      let services = "/api/v1/difference?\(Self.range)&before_from=1000&before_to=1020&format=folded"
      let answer = try await server.get(services + "&match=%7Bservice=%22web%22%7D&before_match=%7Bservice=%22db%22%7D")
      #expect(answer.text == "db;main;query 13 0\nweb;main 0 11\nweb;main;work 0 24\n")
    }
  }

  /// What a name contains must not end a script, a string or a line.
  @Test func hostileNames() async throws {
    var source = FakeSource()
    let name = FakeSource.hostile
    source.entries = [.init(start: 1000, service: name, frames: [name], value: 3)]
    try await TestServer.run(source: source) { server in
      for route in ["series", "labels", "timeline", "profile"] {
        let answer = try await server.get("/api/v1/\(route)?\(Self.range)")
        #expect(answer.status == 200)
        #expect(!answer.text.contains("<") && !answer.text.contains("\u{2028}"), "\(route)")
        #expect(answer.headers[.xContentTypeOptions] == "nosniff")
      }
      let series = try await server.get("/api/v1/series?\(Self.range)").json()["series"] as? [[String: String]]
      #expect(series?.first?["service"] == name)
    }
  }

  @Test(arguments: [
    ("series?type=gpu", "'type' cannot be 'gpu': it is one of cpu, off_cpu, lock, allocations"),
    ("series?type=", "'type' cannot be '': it is one of cpu, off_cpu, lock, allocations"),
    ("timeline?step=", "'step' is no whole number from 1 to 2147483647"),
    ("series?mach=%7B%7D", "there is no parameter 'mach' here: there are type, match, from, to"),
    ("series?type=cpu&type=cpu", "the parameter 'type' is given twice: give it once"),
    ("series?from=%ff", "the query is not UTF-8 in percent encoding"), ("series?from=%zz", "the query is not UTF-8 in percent encoding"),
    ("series?from=yesterday", "'from' is no time: write seconds since 1970, 2026-01-31T12:00:00Z, now, or -1h (s, m, h, d, w)"),
    ("series?from=10&to=10", "'from' is not before 'to': the range is empty"),
    ("series?match=web", #"the selector is wrong at character 1: a selector begins with { as in {service="nginx"}"#),
    ("timeline?step=15", "'step' is 15 seconds, and windows are 10: use a multiple of that"),
    ("timeline?step=0", "'step' is no whole number from 1 to 2147483647"),
    ("timeline?from=0&to=1000000&step=10", "the range has 100000 steps, more than 10000: use a longer 'step' or a shorter range"),
    ("profile?format=svg", "'format' cannot be 'svg': it is one of json, folded, pprof"),
    ("difference?from=-1h", "a difference has two ranges: give 'before_from' and 'before_to' besides 'from' and 'to'"),
    ("difference?before_from=5&before_to=5", "'before_from' is not before 'before_to': the range is empty"),
    ("health?type=cpu", "there is no parameter 'type' here: there is none"),
  ]) func wrongQuestions(path: String, error: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/\(path)")
      #expect(answer.status == 400)
      #expect(try answer.error() == error)
      #expect(answer.headers[.contentType] == "application/json")
    }
  }

  @Test func boundOfQueriesAtOnce() async throws {
    let (started, start) = AsyncStream<Void>.makeStream()
    let (ended, end) = AsyncStream<Void>.makeStream()
    var source = FakeSource()
    source.wait = {
      start.yield()
      for await _ in ended { break }
    }
    var configuration = AgentServer.Configuration()
    configuration.concurrentQueries = 1
    try await TestServer.run(configuration, source: source) { server in
      async let first = server.get("/api/v1/series?\(Self.range)")
      for await _ in started { break }
      let second = try await server.get("/api/v1/series?\(Self.range)")
      #expect(second.status == 429)
      #expect(second.headers[.retryAfter] == "1")
      #expect(try second.error() == "1 queries are being answered already: try again in a second")
      end.finish()
      #expect(try await first.status == 200)
      #expect(try await server.get("/api/v1/series?\(Self.range)").status == 200)
    }
  }

  /// The place stays taken by what does not end.
  @Test func boundOfTime() async throws {
    let (ended, end) = AsyncStream<Void>.makeStream()
    var source = FakeSource()
    source.wait = {
      // Not to be cancelled.
      await Task.detached { for await _ in ended { break } }.value
    }
    var configuration = AgentServer.Configuration()
    configuration.concurrentQueries = 1
    configuration.queryTime = .milliseconds(50)
    try await TestServer.run(configuration, source: source) { server in
      let answer = try await server.get("/api/v1/profile?\(Self.range)")
      #expect(answer.status == 503)
      #expect(try answer.error() == "the query took longer than 0.05 seconds: ask for a shorter range or fewer series")
      #expect(try await server.get("/api/v1/profile?\(Self.range)").status == 429)
      end.finish()
    }
  }

  @Test func failureOfTheSource() async throws {
    var source = FakeSource()
    source.wait = { throw CocoaError(.fileReadCorruptFile) }
    try await TestServer.run(source: source) { server in
      let answer = try await server.get("/api/v1/series?\(Self.range)")
      #expect(answer.status == 500)
      #expect(try answer.error() == "/api/v1/series failed within the agent: its log says why")
    }
  }
}
