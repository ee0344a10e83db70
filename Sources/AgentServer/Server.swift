package import AgentModel
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
package import Logging
internal import ServiceLifecycle

/// Answers questions about the kept profiles and the agent over HTTP: the page, the query interface, pprof, metrics.
package struct Server: Service {
  typealias Context = RequestDetails

  let application: Application<RouterResponder<Context>>

  /// - Throws: `ConfigurationError` for a configuration that would answer anybody.
  package init(
    _ configuration: Configuration, source: any ProfileSource & MetricSource, state: any AgentState, control: any AgentControl,
    logger: Logger
  )
    throws
  {
    try self.init(configuration, source: source, state: state, control: control, logger: logger, clock: WallClock()) { _ in }
  }

  /// - Parameter started: called with the port once it listens.
  init(
    _ configuration: Configuration, source: any ProfileSource & MetricSource, state: any AgentState, control: any AgentControl,
    logger: Logger,
    clock: WallClock,
    started: @escaping @Sendable (Int?) async -> Void
  ) throws {
    try configuration.check()
    let gate = QueryGate(limit: configuration.concurrentQueries, time: configuration.queryTime)
    let answers = Answers(source: source, metricSource: source, state: state, gate: gate, clock: clock)
    let router = Self.router(configuration, answers, Controls(control: control))
    let http = HTTPServerBuilder.http1(
      configuration: .init(
        idleTimeout: .seconds(60),
        httpDecoderConfiguration: .init(maxHeaderListSize: 2 * Configuration.headerLimit, maxHeaderFieldCount: 100)))
    application = Application(
      responder: router.buildResponder(),
      server: try configuration.certificate.map { try .tls(http, tlsConfiguration: $0.settings) } ?? http,
      configuration: .init(address: .hostname(configuration.address, port: configuration.port), serverName: nil),
      onServerRunning: { await started($0.localAddress?.port) }, logger: logger)
  }

  /// Listens until the task is cancelled or the service group shuts down.
  ///
  /// - Throws: when the address cannot be listened on.
  package func run() async throws { try await application.run() }

  /// What a browser loads, by path.
  static let files = [
    "/": StaticFile(Page.html, "text/html; charset=utf-8"), "/agent.js": StaticFile(Page.script, "text/javascript; charset=utf-8"),
    "/agent.css": StaticFile(Page.style, "text/css; charset=utf-8"),
  ]

  static func router(_ configuration: Configuration, _ answers: Answers, _ controls: Controls) -> Router<Context> {
    let router = Router(context: Context.self, options: .autoGenerateHeadEndpoints)
    router.add(middleware: Envelope())
    router.add(middleware: Guard(configuration))
    let api = router.group("api/v1")
    api.get("openapi.json") { _, _ in Response(Array(OpenAPI.document.utf8), type: "application/json") }
    api.get("series") { request, _ in try await answers.series(request) }
    api.get("labels") { request, _ in try await answers.labels(request) }
    api.get("timeline") { request, _ in try await answers.timeline(request) }
    api.get("profile") { request, _ in try await answers.profile(request) }
    api.get("difference") { request, _ in try await answers.difference(request) }
    api.get("metrics") { request, _ in try await answers.metricList(request) }
    api.get("metrics/range") { request, _ in try await answers.metricRange(request) }
    api.get("health") { request, _ in try await answers.health(request) }
    api.get("probes") { request, _ in try await controls.probes(request) }
    api.post("probes/:name") { request, context in try await controls.changeProbe(request, context) }
    api.get("budget") { request, _ in try await controls.budget(request) }
    api.post("budget") { request, context in try await controls.changeBudget(request, context) }
    router.get("debug/pprof/profile") { request, _ in try await answers.profileNow(request) }
    router.get("healthz") { _, _ in answers.alive() }
    router.get("readyz") { _, _ in await answers.ready() }
    router.get("metrics") { request, _ in await answers.metrics(request) }
    for (path, file) in files { router.get(RouterPath(path)) { request, _ in file.response(to: request) } }
    return router
  }
}
