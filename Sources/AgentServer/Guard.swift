internal import Hummingbird

/// Lets pass only what comes to a name of ours, from whom may ask, and is of reasonable size.
struct Guard<Context: RequestContext>: RouterMiddleware {
  private let configuration: Configuration

  init(_ configuration: Configuration) { self.configuration = configuration }

  func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
    try checkHost(request)
    try checkSite(request)
    try checkSize(request)
    let isReading = request.method == .get || request.method == .head
    // The page itself says nothing of the machine, and is where a browser gets the token from its user.
    let isPage = isReading && Server.files.keys.contains(request.uri.path)
    if !(configuration.isLoopback && isReading) && !isPage { try checkToken(request) }
    let methods = Self.methods(request.uri.path)
    guard isReading || methods.contains(request.method) else {
      let names = methods.map(\.rawValue).joined(separator: ", ")
      throw Problem(.methodNotAllowed, "\(request.method) is not for \(request.uri.path): use \(names)", headers: [.allow: names])
    }
    return try await next(request, context)
  }

  /// What there is for a path; of paths that do not exist, what there would be.
  private static func methods(_ path: String) -> [HTTPRequest.Method] {
    if path == "/api/v1/budget" { return [.get, .head, .post] }
    return path.hasPrefix("/api/v1/probes/") ? [.post] : [.get, .head]
  }

  /// Against pages that make a name of their own point to this address: the browser then sends that name.
  private func checkHost(_ request: Request) throws(Problem) {
    let all = [request.head.authority].compactMap { $0 } + request.headers[values: .host]
    guard !all.isEmpty, all.allSatisfy({ configuration.allows($0) }) else {
      throw Problem(
        .misdirectedRequest,
        "the Host header \(all.isEmpty ? "is missing" : "names a host that is not this agent's"): use one of \(configuration.hosts.sorted().joined(separator: ", ")), or allow the name in the configuration"
      )
    }
  }

  /// Against pages of others that ask in the background: they cannot read the answer, but it costs. Following a link to here is fine.
  private func checkSite(_ request: Request) throws(Problem) {
    guard let site = request.headers[.secFetchSite], site != "same-origin", site != "none" else { return }
    if request.headers[.secFetchMode] != "navigate" {
      throw Problem(.forbidden, "a page of another site asked for \(request.uri.path): only the agent's own page may")
    }
  }

  private func checkSize(_ request: Request) throws(Problem) {
    let size = request.headers.reduce(request.head.path?.utf8.count ?? 0) { $0 + $1.name.rawName.utf8.count + $1.value.utf8.count + 4 }
    if let query = request.uri.query, query.utf8.count > Configuration.queryLimit {
      throw Problem(.uriTooLong, "the query has \(query.utf8.count) bytes, more than \(Configuration.queryLimit): ask for less at once")
    }
    if size > Configuration.headerLimit {
      throw Problem(.requestHeaderFieldsTooLarge, "the header has \(size) bytes, more than \(Configuration.headerLimit)")
    }
  }

  private func checkToken(_ request: Request) throws(Problem) {
    guard let token = configuration.token else {
      throw Problem(.forbidden, "\(request.method) needs a token, and the agent has none: set one in its configuration")
    }
    let given = request.headers[values: .authorization]
    let scheme = "bearer "
    guard given.count == 1, given[0].lowercased().hasPrefix(scheme),
      areEqual(Array(given[0].utf8.dropFirst(scheme.utf8.count)), Array(token.utf8))
    else {
      throw Problem(
        .unauthorized, "\(request.uri.path) needs the agent's token: send Authorization: Bearer TOKEN",
        headers: [.wwwAuthenticate: #"Bearer realm="swtrace-agent""#])
    }
  }
}

/// Whether two texts are the same, in a time that depends on the given one's length only.
func areEqual(_ given: [UInt8], _ expected: [UInt8]) -> Bool {
  var difference = UInt8(given.count == expected.count ? 0 : 1)
  for (index, byte) in given.enumerated() { difference |= byte ^ expected[index % expected.count] }
  return difference == 0
}

extension Configuration {
  /// Whether an authority, `name` or `name:port`, is one of ours.
  func allows(_ authority: String) -> Bool {
    let authority = authority.lowercased()
    if hosts.contains(authority) { return true }
    guard let colon = authority.lastIndex(of: ":") else { return false }
    let port = authority[authority.index(after: colon)...]
    return !port.isEmpty && port.utf8.count <= 5 && port.utf8.allSatisfy { (0x30...0x39).contains($0) }
      && hosts.contains(String(authority[..<colon]))
  }
}
