/// How the server listens, whom it answers, and what one question may cost.
package struct Configuration: Sendable {
  /// Where it listens: a numeric address, or `localhost`.
  package var address: String
  /// 0 lets the system choose.
  package var port: Int
  /// What the `Host` header may say, with or without a port. Anything else is a name that somebody else made point here.
  package var hosts: Set<String>
  /// Who has it may ask from elsewhere, and change state. Nil: nobody may.
  package var token: String?
  /// With it the server speaks TLS only; nil for HTTP without it.
  package var certificate: Certificate?
  /// Whether only this machine can connect: reading then needs no token.
  package var isLoopback: Bool
  /// How many questions to the source are answered at the same time.
  package var concurrentQueries = 16
  /// How long a question to the source may take.
  package var queryTime: Duration = .seconds(30)

  package init(
    address: String = "127.0.0.1", port: Int = 4041, hosts: Set<String> = ["localhost", "127.0.0.1", "[::1]"], token: String? = nil,
    certificate: Certificate? = nil, isLoopback: Bool? = nil
  ) {
    self.address = address
    self.port = port
    self.hosts = Set(hosts.map { $0.lowercased() })
    self.token = token
    self.certificate = certificate
    self.isLoopback = isLoopback ?? Self.isLoopback(address)
  }

  private static func isLoopback(_ address: String) -> Bool {
    address == "localhost" || address == "::1" || (address.hasPrefix("127.") && address.allSatisfy { $0.isNumber || $0 == "." })
  }

  /// What is allowed but not wise; nil for nothing.
  package var warning: String? {
    guard !isLoopback, token != nil, certificate == nil else { return nil }
    return "the token travels in the clear to \(address): configure a certificate, or let the agent listen on 127.0.0.1"
  }

  /// Of a request as a whole, in bytes.
  static let headerLimit = 16 << 10
  /// Of what follows the `?`, in bytes.
  static let queryLimit = 8 << 10
  /// Shorter ones can be guessed.
  static let leastToken = 16
}

/// A configuration that would answer anybody.
package struct ConfigurationError: Error, Hashable, CustomStringConvertible {
  package let description: String
}

extension Configuration {
  /// Whether the server would begin with it, apart from the address being free.
  package func check() throws(ConfigurationError) {
    if let token, token.utf8.count < Self.leastToken || !token.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) {
      throw ConfigurationError(
        description: "the server's token is too short or has other characters than visible ASCII: use at least \(Self.leastToken) of them")
    }
    if !isLoopback, token == nil {
      throw ConfigurationError(
        description: "the server would answer everybody who reaches \(address): configure a token, or let it listen on 127.0.0.1")
    }
    if hosts.isEmpty {
      throw ConfigurationError(description: "the server has no name that it answers to: allow at least one host")
    }
  }
}
