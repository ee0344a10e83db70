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

  /// Browsers load it again only when it is another one.
  @Test func tags() async throws {
    try await TestServer.run { server in
      let first = try await server.get("/agent.js")
      let tag = try #require(first.headers[.eTag])
      #expect(tag == StaticFile(Page.script, "").tag && tag != StaticFile(Page.style, "").tag)
      #expect(first.headers[.cacheControl] == "no-cache")
      for known in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
        let again = try await server.get("/agent.js", headers: [.ifNoneMatch: known])
        #expect(again.status == 304, "\(known)")
        #expect(again.bytes.isEmpty && again.headers[.eTag] == tag)
      }
      let other = try await server.get("/agent.js", headers: [.ifNoneMatch: "\"other\""])
      #expect(other.bytes == first.bytes)
      let answer = try await server.get("/api/v1/health")
      #expect(answer.headers[.cacheControl] == "no-store")
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

  /// Listens until it is told to stop: at once, or when a browser has looked at the pages (`Tests/Web/run-agent`): of a synthetic hour,
  /// of one that wants a token, and of an agent that has just begun.
  @Test func serve() async throws {
    let wanted = ProcessInfo.processInfo.environment["SWTRACE_SERVE_PAGE"].flatMap { Int($0) }
    let young = YoungAgent()
    let servers: [(AgentServer.Configuration, any ProfileSource & MetricSource, any AgentState)] = [
      (.init(), SyntheticSource(), ScrapedState()),
      (.init(token: SecurityTests.token, isLoopback: false), SyntheticSource(), FakeState()), (.init(), young, young),
    ]
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for (index, (configuration, source, state)) in servers.enumerated() {
        let (ports, input) = AsyncStream<Int?>.makeStream()
        var configuration = configuration
        configuration.port = wanted.map { $0 + index } ?? 0
        let server = try Server(
          configuration, source: source, state: state, control: FakeControl(),
          logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, clock: WallClock()
        ) { input.yield($0) }
        tasks.addTask { try await server.run() }
        var next = ports.makeAsyncIterator()
        let port = try #require(await next.next() ?? nil)
        #expect(port == configuration.port || configuration.port == 0 && port > 0)
      }
      if wanted == nil { tasks.cancelAll() }
      while let ended = await tasks.nextResult() {
        if case .failure(let error) = ended { #expect(error is CancellationError) }
      }
    }
  }
}
