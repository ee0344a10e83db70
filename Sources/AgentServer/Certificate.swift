internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// What the server proves itself with over TLS: a chain of certificates, and the key of the first. It may be exchanged while it serves.
package final class Certificate: Sendable {
  private struct Pair: Sendable {
    var chain: [NIOSSLCertificateSource]
    var key: NIOSSLPrivateKeySource
  }

  private let current: Mutex<Pair>

  /// - Parameters:
  ///   - chain: PEM; the server's own certificate is the first.
  ///   - key: PEM, not encrypted.
  /// - Throws: for what is not that, and for a key of another certificate.
  package init(chain: [UInt8], key: [UInt8]) throws(ConfigurationError) {
    guard let certificates = try? NIOSSLCertificate.fromPEMBytes(chain), !certificates.isEmpty else {
      throw ConfigurationError(description: "the certificate's file is no PEM, which begins with -----BEGIN CERTIFICATE-----")
    }
    guard let privateKey = try? NIOSSLPrivateKey(bytes: key, format: .pem) else {
      throw ConfigurationError(description: "the key's file is no PEM, which begins with -----BEGIN PRIVATE KEY-----, or is encrypted")
    }
    current = Mutex(Pair(chain: certificates.map { .certificate($0) }, key: .privateKey(privateKey)))
    do { _ = try NIOSSLContext(configuration: settings) } catch {
      throw ConfigurationError(description: "the key is not that of the certificate, which has to be the first in its file")
    }
  }

  /// From the next connection on, the server proves itself with the other one.
  ///
  /// - Returns: whether that is another one.
  package func become(_ other: Certificate) -> Bool {
    let new = other.current.withLock(\.self)
    return current.withLock { pair in
      defer { pair = new }
      return pair.chain != new.chain
    }
  }

  /// TLS 1.2 and 1.3, without certificates of clients.
  var settings: TLSConfiguration {
    let pair = current.withLock(\.self)
    var settings = TLSConfiguration.makeServerConfiguration(certificateChain: pair.chain, privateKey: pair.key)
    settings.minimumTLSVersion = .tlsv12
    settings.sslContextCallback = { [self] _, promise in
      let pair = current.withLock(\.self)
      var changes = NIOSSLContextConfigurationOverride()
      changes.certificateChain = pair.chain
      changes.privateKey = pair.key
      promise.succeed(changes)
    }
    return settings
  }
}
