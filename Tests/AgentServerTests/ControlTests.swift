import AgentModel
import Hummingbird
import Testing

@testable import AgentServer

@Suite struct ControlTests {
  private static let token = "0123456789abcdef"
  private static let authorized: HTTPFields = [.authorization: "Bearer \(token)"]

  /// A server with a token on loopback.
  private func run(_ control: FakeControl = FakeControl(), _ test: @escaping @Sendable (TestServer) async throws -> Void) async throws {
    try await TestServer.run(.init(token: Self.token), control: control, test)
  }

  @Test func readingNeedsNoToken() async throws {
    try await run { server in
      let probes = try await server.get("/api/v1/probes")
      #expect(
        probes.text
          == #"{"probes":[{"name":"cpu","label":"cpu","running":true,"pending":false,"frequency":19,"threshold":null,"interval":null,"mode":null,"filter":{},"events":48,"lost":5,"reason":null}]}"#
          + "\n")
      let budget = try await server.get("/api/v1/budget")
      #expect(budget.text == #"{"max_cpu":2.5,"max_memory_bytes":67108864}"# + "\n")
      let wrong = try await server.get("/api/v1/probes?a=b")
      #expect(wrong.status == 400)
    }
  }

  @Test func changesNeedTheToken() async throws {
    let control = FakeControl()
    let body = #"{"running":false}"#
    try await run(control) { server in
      let without = try await server.get("/api/v1/probes/cpu", method: .post, body: body)
      #expect(without.status == 401)
      let other = try await server.get("/api/v1/budget", method: .post, headers: [.authorization: "Bearer x"], body: #"{"max_cpu":1}"#)
      #expect(other.status == 401)
    }
    try await TestServer.run(control: control) { server in
      let answer = try await server.get("/api/v1/probes/cpu", method: .post, headers: Self.authorized, body: body)
      #expect(answer.status == 403)
      #expect(try answer.error() == "POST needs a token, and the agent has none: set one in its configuration")
    }
    #expect(control.asked == [])
  }

  @Test func changes() async throws {
    let control = FakeControl()
    try await run(control) { server in
      let stopped = try await server.get("/api/v1/probes/cpu", method: .post, headers: Self.authorized, body: #"{"running":false}"#)
      #expect(stopped.status == 200)
      #expect(try stopped.json()["pending"] as? Bool == true)
      let tuned = try await server.get(
        "/api/v1/probes/cpu", method: .post, headers: Self.authorized,
        body: #"{"running":true,"frequency":97,"mode":"all","filter":{"comm":"a\"b","user":"root"}}"#)
      #expect(
        tuned.text
          == #"{"name":"cpu","label":"cpu","running":true,"pending":true,"frequency":97,"threshold":null,"interval":null,"mode":"all","filter":{"comm":"a\"b","user":"root"},"events":48,"lost":5,"reason":null}"#
          + "\n")
      let cleared = try await server.get("/api/v1/probes/cpu", method: .post, headers: Self.authorized, body: #"{"filter":{}}"#)
      #expect(try (cleared.json()["filter"] as? [String: Any])?.isEmpty == true)
      let budget = try await server.get("/api/v1/budget", method: .post, headers: Self.authorized, body: #"{"max_memory_bytes":99}"#)
      #expect(budget.text == #"{"max_cpu":2.5,"max_memory_bytes":99}"# + "\n")
    }
    #expect(control.asked.count == 4)
    #expect(control.asked.allSatisfy { $0.contains(/^the control interface, from (127\.0\.0\.1|::1) port \d+$/) }, "\(control.asked)")
  }

  @Test(arguments: [
    ("probes/cpu", "", 400, "the body is no JSON object"), ("probes/cpu", "[]", 400, "outermost value"),
    ("probes/cpu", "{}", 400, "changes nothing"),
    (
      "probes/cpu", #"{"runing":true}"#, 400,
      "the body has a member 'runing': there are running, frequency, threshold, interval, mode, filter"
    ),
    ("probes/cpu", #"{"running":"yes"}"#, 400, "the body's running has a value of another kind"),
    ("probes/cpu", #"{"frequency":-1}"#, 400, "the body is no JSON object with numbers in range"),
    ("probes/cpu", #"{"frequency":1e99}"#, 400, "the body is no JSON object with numbers in range"),
    ("probes/cpu", #"{"filter":{"pid":1}}"#, 400, "the body has a member 'pid': there are comm, cgroup, user"),
    ("probes/cpu", #"{"threshold":5}"#, 400, "cpu has no threshold"),
    ("probes/disk", #"{"running":true}"#, 404, "there is no probe 'disk': there are cpu"),
    ("budget", #"{"max_cpu":0}"#, 400, "max_cpu is too small"), ("budget", #"{"max_cpu":null,"x":1}"#, 400, "the body has a member 'x'"),
    ("probes/cpu", #"{"running":true,"# + String(repeating: " ", count: 4096) + "}", 413, "more than 4096 bytes"),
    ("probes/cpu", String(repeating: "[", count: 4000), 400, "the body is no JSON object"),
  ]) func wrongRequests(path: String, body: String, status: Int, text: String) async throws {
    let control = FakeControl()
    try await run(control) { server in
      let answer = try await server.get("/api/v1/\(path)", method: .post, headers: Self.authorized, body: body)
      #expect(answer.status == status)
      #expect(try answer.error().contains(text), "\(answer.text)")
    }
    #expect(control.asked == [])
  }
}
