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

  /// A browser has to get the page to ask its user for the token; nothing in it is of this machine.
  @Test func pageWithoutToken() async throws {
    try await TestServer.run(.init(token: Self.token, isLoopback: false)) { server in
      for path in Server.files.keys {
        let page = try await server.get(path)
        #expect(page.status == 200, "\(path)")
        let change = try await server.get(path, method: .post)
        #expect(change.status == 401, "\(path)")
        let foreign = try await server.get(path, host: "evil.example")
        #expect(foreign.status == 421, "\(path)")
      }
      for other in ["/agent.js/", "//", "/agent.js%00"] {
        let answer = try await server.get(other)
        #expect(answer.status == 401, "\(other)")
      }
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
      for (path, methods) in [("budget", "GET, HEAD, POST"), ("probes/cpu", "POST")] {
        let answer = try await server.get("/api/v1/\(path)", method: .delete, headers: [.authorization: "Bearer \(Self.token)"])
        #expect(answer.status == 405 && answer.headers[.allow] == methods, "\(path)")
      }
    }
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/health", method: .post)
      #expect(answer.status == 403)
    }
  }

  /// What browsers say of who asks.
  @Test(arguments: [
    ("same-origin", "cors", 200), ("none", "navigate", 200), ("cross-site", "navigate", 200), ("cross-site", "no-cors", 403),
    ("same-site", "cors", 403), ("cross-site", "", 403),
  ]) func pagesOfOthers(site: String, mode: String, status: Int) async throws {
    try await TestServer.run { server in
      let headers: HTTPFields = [HTTPFields.Element.Name("Sec-Fetch-Site")!: site, HTTPFields.Element.Name("Sec-Fetch-Mode")!: mode]
      let answer = try await server.get("/api/v1/health", headers: headers)
      #expect(answer.status == status)
    }
  }

  /// What is mistyped, or meant ill, must not end the agent.
  @Test(arguments: [
    "profile?from=99999999990&to=99999999999&format=pprof", "profile?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z&format=pprof",
    "timeline?from=-10000000w", "timeline?from=0&to=999999999999&step=2147483640", "series?from=-9999999w",
  ]) func extremeTimes(path: String) async throws {
    try await TestServer.run { server in
      let answer = try await server.get("/api/v1/\(path)")
      #expect(answer.status == 200)
    }
  }

  @Test(arguments: ["(", "[", "(?:", "a|(", "(?=", "{a="]) func deepPatterns(part: String) async throws {
    try await TestServer.run { server in
      let pattern = String(repeating: part, count: 2600 / part.count).utf8.map { "%" + String($0, radix: 16) }.joined()
      let answer = try await server.get("/api/v1/series?match=%7Ba=~%22\(pattern)%22%7D")
      #expect(answer.status == 400)
      #expect(
        try answer.error() == "the selector is wrong at character 5: this regular expression cannot be read: longer than 1000 characters")
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
