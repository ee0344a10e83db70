import Hummingbird
import Testing

@testable import AgentServer

@Suite struct SecurityTests {
  static let token = "0123456789abcdef"

  @Test(arguments: ["localhost", "LOCALHOST:80", "127.0.0.1:65535", "[::1]", "[::1]:8080"])
  func ownHosts(host: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/healthz", host: host)
      #expect(answer.status == 200)
    }
  }

  @Test(arguments: [
    "evil.example", "localhost.evil.example", "localhost:", "localhost:80a", "localhost:123456", "127.0.0.1.evil.example:80", "::1", "[::1",
    "user@localhost", "localhost:80:80", "",
  ])
  func foreignHosts(host: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/health", host: host)
      #expect(answer.status == 421)
      #expect(try answer.error().hasSuffix("use one of 127.0.0.1, [::1], localhost, or allow the name in the configuration"))
    }
  }

  @Test func configuredHosts() {
    let configuration = Configuration(hosts: ["Agent.example"])
    #expect(configuration.allows("agent.example:4041"))
    #expect(!configuration.allows("localhost"))
  }

  @Test func tokenEverywhereBeyondLoopback() async throws {
    try await TestServer.run(.init(token: Self.token, isLoopback: false)) { server in
      for path in ["/healthz", "/readyz", "/metrics", "/api/v1/health", "/api/v1/openapi.json", "/debug/pprof/profile", "/nothing"] {
        let answer = try await server.get(path)
        #expect(answer.status == 401, "\(path)")
        #expect(answer.headers[.wwwAuthenticate] == #"Bearer realm="swtrace-agent""#)
      }
      for wrong in [
        "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic \(Self.token)", Self.token,
        "Bearer 0123456789abcdeF",
      ] {
        #expect(try await server.get("/healthz", headers: [.authorization: wrong]).status == 401, "\(wrong)")
      }
      #expect(try await server.get("/healthz", headers: [.authorization: "Bearer \(Self.token)"]).status == 200)
      #expect(try await server.get("/healthz", headers: [.authorization: "bearer \(Self.token)"]).status == 200)
    }
  }

  @Test func tokenForEveryChange() async throws {
    try await TestServer.run(.init(token: Self.token)) { server in
      #expect(try await server.get("/healthz").status == 200)
      for method in [HTTPRequest.Method.post, .put, .delete, .patch, .options] {
        #expect(try await server.get("/api/v1/health", method: method).status == 401)
        let answer = try await server.get("/api/v1/health", method: method, headers: [.authorization: "Bearer \(Self.token)"])
        #expect(answer.status == 405)
        #expect(answer.headers[.allow] == "GET, HEAD")
      }
    }
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/health", method: .post)
      #expect(answer.status == 403)
    }
  }

  @Test func comparison() {
    #expect(areEqual(Array("abc".utf8), Array("abc".utf8)))
    for other in ["", "ab", "abcd", "abcabc", "abd", "xbc"] { #expect(!areEqual(Array(other.utf8), Array("abc".utf8))) }
  }

  @Test func openConfigurationsAreRefused() throws {
    #expect(throws: ConfigurationError.self) { try Configuration(address: "0.0.0.0").check() }
    #expect(throws: ConfigurationError.self) { try Configuration(address: "127.0.0.1.example").check() }
    #expect(throws: ConfigurationError.self) { try Configuration(address: "0.0.0.0", token: "short").check() }
    #expect(throws: ConfigurationError.self) { try Configuration(token: "0123456789 abcdef").check() }
    #expect(throws: ConfigurationError.self) { try Configuration(hosts: []).check() }
    try Configuration(address: "0.0.0.0", token: Self.token).check()
    try Configuration(address: "127.0.0.2").check()
  }

  @Test func limitsOfSize() async throws {
    try await TestServer.run { server in
      let long = try await server.get("/api/v1/series?match=" + String(repeating: "a", count: 8187))
      #expect(long.status == 414)
      #expect(try long.error() == "the query has 8193 bytes, more than 8192: ask for less at once")
      #expect(try await server.get("/api/v1/series?match=" + String(repeating: "a", count: 8186)).status == 400)
      let large = try await server.get("/healthz", headers: [.cookie: String(repeating: "c", count: 17_000)])
      #expect(large.status == 431)
    }
  }

  /// Also of errors.
  @Test(arguments: ["/api/v1/health", "/nothing", "/healthz", "/metrics"]) func headers(path: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get(path, headers: [.origin: "https://evil.example"])
      #expect(
        answer.headers[.contentSecurityPolicy]
          == "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
      )
      #expect(answer.headers[.xContentTypeOptions] == "nosniff")
      #expect(answer.headers[.referrerPolicy] == "no-referrer")
      #expect(!answer.headers.contains { $0.name.canonicalName.hasPrefix("access-control") })
    }
  }
}
