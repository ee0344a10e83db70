internal import Hummingbird
internal import Logging
internal import NIOCore

/// What is known of a request besides its text.
struct RequestDetails: RequestContext {
  var coreContext: CoreRequestContextStorage
  private let peer: SocketAddress?

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    peer = source.channel.remoteAddress
  }

  /// Who asks, for the log.
  var who: String {
    guard let peer, let address = peer.ipAddress, let port = peer.port else { return "the control interface" }
    return "the control interface, from \(address) port \(port)"
  }
}
