internal import Hummingbird
internal import Logging

/// Why a request is not answered: a status, and one line for a person: what, on what, why, and what to do.
struct Problem: Error {
  let status: HTTPResponse.Status
  let text: String
  var headers: HTTPFields = [:]

  init(_ status: HTTPResponse.Status, _ text: String, headers: HTTPFields = [:]) {
    self.status = status
    self.text = text
    self.headers = headers
  }

  /// A request that cannot be answered as it is.
  static func bad(_ text: String) -> Problem { Problem(.badRequest, text) }

  var response: Response {
    var response = Response(json: .object([("error", .string(text))]), status: status)
    for field in headers { response.headers[field.name] = field.value }
    return response
  }
}

extension Response {
  init(_ bytes: [UInt8], type: String, status: HTTPResponse.Status = .ok) {
    self.init(
      status: status, headers: [.contentType: type, .contentLength: String(bytes.count)],
      body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
  }

  init(json: JSON, status: HTTPResponse.Status = .ok) {
    self.init(json.bytes, type: "application/json", status: status)
  }

  init(text: String, status: HTTPResponse.Status = .ok) {
    self.init(Array("\(text)\n".utf8), type: "text/plain; charset=utf-8", status: status)
  }
}

/// Makes an answer of every error, and says with every answer what a browser may do with it: nothing that is not needed.
struct Envelope<Context: RequestContext>: RouterMiddleware {
  /// The page's own script, style and data; nothing inline, nothing from elsewhere, in no frame.
  static var policy: String {
    """
    default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'
    """
  }

  func handle(_ request: Request, context: Context, next: (Request, Context) async throws -> Response) async throws -> Response {
    var response: Response
    do {
      response = try await next(request, context)
    } catch let problem as Problem {
      response = problem.response
    } catch let error as HTTPError {
      response = Self.problem(of: error, request).response
    } catch is CancellationError {
      response = Problem(.serviceUnavailable, "the request was given up: the agent is stopping, or the client has gone").response
    } catch {
      // What is in it may be for the operator only; the client learns where to look.
      context.logger.error("a request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
      response = Problem(.internalServerError, "\(request.uri.path) failed within the agent: its log says why").response
    }
    response.headers[.contentSecurityPolicy] = Self.policy
    response.headers[.xContentTypeOptions] = "nosniff"
    response.headers[.referrerPolicy] = "no-referrer"
    if response.headers[.cacheControl] == nil { response.headers[.cacheControl] = "no-store" }
    return response
  }

  private static func problem(of error: HTTPError, _ request: Request) -> Problem {
    if error.status == .notFound {
      return Problem(.notFound, "there is no \(request.uri.path): /api/v1/openapi.json lists what there is")
    }
    return Problem(error.status, error.body ?? error.status.reasonPhrase)
  }
}

extension HTTPFields.Element.Name {
  static let host = Self("Host")!
  static let secFetchSite = Self("Sec-Fetch-Site")!
  static let secFetchMode = Self("Sec-Fetch-Mode")!
  static let referrerPolicy = Self("Referrer-Policy")!
}
