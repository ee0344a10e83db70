import Foundation
import Testing

@testable import AgentServer

@Suite struct MetricRouteTests {
  @Test func theListHasAllMetricsWithTheirSeries() async throws {
    try await TestServer.run { server in
      let metrics = try #require(try await server.get("/api/v1/metrics?from=1000&to=1020").json()["metrics"] as? [[String: Any]])
      #expect(metrics.count == 9)
      let first = try #require(metrics.first)
      #expect(first["name"] as? String == "swtrace_run_queue_latency_seconds")
      #expect(first["kind"] as? String == "histogram" && first["unit"] as? String == "seconds")
      #expect(first["labels"] as? [String] == ["host", "service", "container", "pod"])
      #expect(first["series"] as? [[String: String]] == [["host": "h", "service": "db"], ["host": "h", "service": "web"]])
      let faults = try #require(metrics.first { $0["name"] as? String == "swtrace_page_faults" })
      #expect(faults["unit"] is NSNull && faults["kind"] as? String == "counter")
      #expect(faults["series"] as? [[String: String]] == [["host": "h", "service": "web"]])
      let earlier = try await server.get("/api/v1/metrics?from=900&to=1000").json()["metrics"] as? [[String: Any]]
      #expect(earlier?.count == 9 && earlier?.allSatisfy { ($0["series"] as? [Any])?.isEmpty == true } == true)
    }
  }

  @Test func aHistogramOverTime() async throws {
    try await TestServer.run { server in
      let path = "/api/v1/metrics/range?metric=swtrace_run_queue_latency_seconds&from=1000&to=1020&step=10&by=service"
      let answer = try await server.get(path).json()
      #expect(answer["start"] as? Int == 1000 && answer["step"] as? Int == 10 && answer["by"] as? String == "service")
      #expect(answer["covered"] as? [Int] == [10_000_000_000, 10_000_000_000])
      // 512 to 1023 ns, and so on up to the octave that begins at 2^20.
      let bounds = try #require(answer["bounds"] as? [Double])
      #expect(bounds.count == 12 && bounds.first == 1.023e-6 && bounds.last == 2_097_151e-9)
      let rows = try #require(answer["rows"] as? [[String: Any]])
      #expect(rows.map { $0["value"] as? String } == ["web", "db"])
      #expect(rows[0]["count"] as? [Int] == [8, 0] && rows[1]["count"] as? [Int] == [0, 1])
      #expect((rows[0]["sum"] as? [Double])?.first == 353_000e-9)
      #expect((rows[0]["max"] as? [Any])?.first as? Double == 70_000e-9)
      #expect((rows[0]["p50"] as? [Any])?.last is NSNull)
      #expect((rows[1]["p99"] as? [Any])?.last as? Double == 1_048_576e-9)
      #expect((rows[0]["buckets"] as? [[Int]])?.first == [3, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0])
      #expect((rows[1]["buckets"] as? [[Int]])?.last == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    }
  }

  @Test func aCounterOverTime() async throws {
    try await TestServer.run { server in
      let path = "/api/v1/metrics/range?metric=swtrace_page_faults_total&from=1000&to=1020&step=10"
      let answer = try await server.get(path).json()
      #expect(answer["metric"] as? String == "swtrace_page_faults" && answer["by"] is NSNull && answer["bounds"] == nil)
      let rows = try #require(answer["rows"] as? [[String: Any]])
      #expect(rows.count == 1 && rows[0]["value"] as? String == "" && rows[0]["count"] as? [Int] == [7, 11] && rows[0]["sum"] == nil)
      let none = try await server.get(path + "&match=%7Bservice!%3D%22web%22%7D").json()
      #expect((none["rows"] as? [Any])?.isEmpty == true)
    }
  }

  @Test(arguments: [
    ("metrics?metric=x", "there is no parameter 'metric' here: there are from, to"),
    ("metrics/range", "'metric' is missing: /api/v1/metrics lists them"), ("metrics/range?metric=x", "there is no metric 'x': there are "),
    ("metrics/range?metric=swtrace_page_faults&step=15", "'step' is 15 seconds, and windows are 10: use a multiple of that"),
    ("metrics/range?metric=swtrace_page_faults&from=5&to=5", "'from' is not before 'to': the range is empty"),
    ("metrics/range?metric=swtrace_page_faults&match=x", "the selector is wrong at character 1"),
  ]) func whatCannotBeAnsweredIsSaid(path: String, text: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/\(path)")
      #expect(answer.status == 400)
      #expect(try answer.error().hasPrefix(text), "\(answer.text)")
    }
  }
}
