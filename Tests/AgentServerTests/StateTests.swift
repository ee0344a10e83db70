import AgentModel
import Formats
import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import Profiles
import Synchronization
import Testing

@testable import AgentServer

@Suite struct StateTests {
  @Test func health() async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/health")
      #expect(
        answer.text == """
          {"version":"1.2.3","started_at":997,"profiles":[{"type":"cpu","frequency_hertz":19.0,"events":48,"lost":5,"whole_stacks":41,\
          "cut_stacks":7,"unnamed_frames":3,"frames":101}],"cost":{"processor":0.01,"programs":0.002,"limit":0.02,"memory_bytes":31},\
          "store":{"bytes":4099,"limit_bytes":8209,"dropped_windows":2,"extents":{"cpu":[1000,1020]}},"remarks":["the frequency was halved"]}

          """)
    }
  }

  @Test func readiness() async throws {
    try await TestServer.run { server in
      #expect(try await server.get("/healthz").text == "ok\n")
      #expect(try await server.get("/readyz").text == "ok\n")
      let head = try await server.get("/readyz", method: .head)
      #expect(head.status == 200)
      #expect(head.bytes.isEmpty)
    }
    try await TestServer.run(state: FakeState(reason: "the store is not open yet: wait")) { server in
      #expect(try await server.get("/healthz").status == 200)
      let answer = try await server.get("/readyz")
      #expect(answer.status == 503)
      #expect(try answer.error() == "the store is not open yet: wait")
    }
  }

  @Test func metricsAsText() async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/metrics")
      #expect(answer.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
      #expect(
        answer.text == #"""
          # HELP swtrace_agent_lost_total Events that are "lost"\n\\
          # TYPE swtrace_agent_lost_total counter
          swtrace_agent_lost_total{type="cpu",why="a\"b\\c\nd"} 5
          # HELP swtrace_agent_memory_bytes Resident memory.
          # TYPE swtrace_agent_memory_bytes gauge
          swtrace_agent_memory_bytes 31
          swtrace_agent_memory_bytes{k="v"} +Inf

          """#)
    }
  }

  @Test func metricsAsOpenMetrics() async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/metrics", headers: [.accept: "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"])
      #expect(answer.headers[.contentType] == "application/openmetrics-text; version=1.0.0; charset=utf-8")
      #expect(
        answer.text == #"""
          # HELP swtrace_agent_lost Events that are \"lost\"\n\\
          # TYPE swtrace_agent_lost counter
          swtrace_agent_lost_total{type="cpu",why="a\"b\\c\nd"} 5
          # HELP swtrace_agent_memory_bytes Resident memory.
          # TYPE swtrace_agent_memory_bytes gauge
          # UNIT swtrace_agent_memory_bytes bytes
          swtrace_agent_memory_bytes 31
          swtrace_agent_memory_bytes{k="v"} +Inf
          # EOF

          """#)
    }
  }

  @Test(
    arguments: [
      ("", .text), ("*/*", .text), ("text/plain", .text), ("application/openmetrics-text", .openMetrics),
      ("application/openmetrics-text;version=0.0.1", .text),
      ("application/openmetrics-text;version=1.0.0;q=0.4,text/plain;q=0.5", .text), ("application/openmetrics-text;q=0", .text),
      ("image/png", .text), ("application/openmetrics-text;q=x", .text),
      ("Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.9, text/*;q=0.8", .openMetrics),
      // Prometheus 2.42 with native histograms.
      (
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        .protobuf
      ), ("application/vnd.google.protobuf;proto=other.Message;encoding=delimited", .text),
      (
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text,application/openmetrics-text;q=0.1",
        .openMetrics
      ),
    ] as [(String, MetricsWriter.Format)]) func negotiation(accept: String, format: MetricsWriter.Format)
  {
    #expect(MetricsWriter.Format(accept: accept) == format)
  }

  @Test func unknownPaths() async throws {
    try await TestServer.run { server in
      for path in ["/api/v1/", "/api/v2/series", "/debug/pprof/heap"] {
        let answer = try await server.get(path)
        #expect(answer.status == 404)
        #expect(try answer.error() == "there is no \(path): /api/v1/openapi.json lists what there is")
      }
    }
  }

  /// Every path of the query interface is described, and nothing else.
  @Test func openAPI() async throws {
    let gate = QueryGate(limit: 1, time: .seconds(1))
    let answers = Answers(source: FakeSource(), metricSource: FakeSource(), state: FakeState(), gate: gate, clock: WallClock())
    let router = Server.router(.init(), answers, Controls(control: FakeControl()))
    let routes = Set(
      router.routes.filter { route in route.method != .head && !Server.files.keys.contains("\(route.path)") }.map {
        "\($0.method.rawValue.lowercased()) \($0.path)".replacing(/:(\w+)/) { "{\($0.output.1)}" }
      })
    try await TestServer.run { server in
      let document = try await server.get("/api/v1/openapi.json").json()
      #expect(document["openapi"] as? String == "3.1.0")
      let paths = try #require(document["paths"] as? [String: [String: Any]])
      #expect(Set(paths.flatMap { path, methods in methods.keys.map { "\($0) \(path)" } }) == routes)
      // Each reference leads somewhere.
      let text = try await server.get("/api/v1/openapi.json").text
      for match in text.matches(of: /"\$ref": "#\/([^"]+)"/) {
        var place: Any? = document
        for step in match.output.1.split(separator: "/") { place = (place as? [String: Any])?[String(step)] }
        #expect(place != nil, "\(match.output.1)")
      }
    }
  }
}

/// A time of day that moves only when somebody waits.
final class StoppedClock: Sendable {
  private let seconds: Mutex<Int64>

  init(at seconds: Int64) { self.seconds = Mutex(seconds) }

  var now: Int64 { seconds.withLock { $0 } }
  var clock: WallClock {
    WallClock(now: { self.now }, sleep: { duration in self.seconds.withLock { $0 += duration.components.seconds } })
  }
}

@Suite struct ProfileNowTests {
  @Test func windowsThatCoverTheTime() async throws {
    let clock = StoppedClock(at: 1003)
    try await TestServer.run(clock: clock.clock) { server in
      let answer = try await server.get("/debug/pprof/profile?seconds=5")
      #expect(answer.status == 200)
      let read = try PprofReader.read(answer.bytes, type: "samples")
      // 1003 to 1008 lies in one window.
      #expect(read.profile.total == 31)
      #expect(read.recording.startedAt == 1_000_000_000_000)
      #expect(read.recording.duration == 10_000_000_000)
      #expect(read.recording.period == 52_631_579)
      #expect(clock.now == 1008)
    }
  }

  @Test func waitsForTheLastWindow() async throws {
    let clock = StoppedClock(at: 1003)
    var source = FakeSource()
    source.upperBound = 1010
    let short = source
    try await TestServer.run(source: short, clock: clock.clock) { server in
      // 1003 to 1013 lies in two windows, of which the second never comes.
      let answer = try await server.get("/debug/pprof/profile?seconds=10")
      #expect(try PprofReader.read(answer.bytes, type: "samples").profile.total == 48)
      #expect(clock.now == 1030)
    }
  }

  @Test(arguments: ["0", "301", "-1", "x", "1.5"]) func wrongTimes(seconds: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/debug/pprof/profile?seconds=\(seconds)")
      #expect(answer.status == 400)
      #expect(try answer.error() == "'seconds' is no whole number from 1 to 300")
    }
  }

  @Test func disconnectionEndsTheWait() async throws {
    let (waiting, wait) = AsyncStream<Void>.makeStream()
    let (cancelled, cancel) = AsyncStream<Void>.makeStream()
    let clock = WallClock(
      now: { 1003 },
      sleep: { _ in
        wait.yield()
        do { try await Task.sleep(for: .seconds(1000)) } catch {
          cancel.yield()
          throw error
        }
      })
    try await TestServer.run(clock: clock) { server in
      try await TestClient.withClient(host: "localhost", port: server.port) { client in
        try await client.executeAndDontWaitForResponse(.init("/debug/pprof/profile", method: .get, authority: "localhost"))
        for await _ in waiting { break }
        try await client.close(mode: .all)
      }
      for await _ in cancelled { break }
    }
  }
}
