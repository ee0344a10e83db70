internal import Hummingbird

/// A file that does not change while the agent runs. Browsers keep it, and ask each time whether it is still the same.
struct StaticFile: Sendable {
  private let bytes: [UInt8]
  private let type: String
  /// Of the content alone (RFC 9110, 8.8.3), so that it outlives a restart.
  let tag: String

  init(_ text: String, _ type: String) {
    bytes = Array(text.utf8)
    self.type = type
    // FNV-1a.
    let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    tag = "\"\(String(hash, radix: 16))\""
  }

  /// 304 without the content for who has it already.
  func response(to request: Request) -> Response {
    let known = request.headers[values: .ifNoneMatch].joined(separator: ",").split(separator: ",").map { $0.filter { $0 != " " } }
    let isKnown = known.contains { $0 == "*" || $0 == tag || $0 == "W/" + tag }
    var response = isKnown ? Response(status: .notModified) : Response(bytes, type: type)
    response.headers[.eTag] = tag
    response.headers[.cacheControl] = "no-cache"
    return response
  }
}
