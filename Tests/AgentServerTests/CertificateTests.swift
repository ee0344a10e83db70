import Foundation
import Hummingbird
import TestSupport
import Testing

@testable import AgentServer

/// The server with TLS, asked by curl.
@Suite struct CertificateTests {
  private let folder: TemporaryFolder
  private let own: TestCertificate
  private let certificate: Certificate

  init() throws {
    folder = try TemporaryFolder()
    own = try TestCertificate(in: folder, "own")
    certificate = try Self.read(own)
  }

  private static func read(_ files: TestCertificate) throws -> Certificate {
    func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }
    return try Certificate(chain: try bytes(files.chain), key: try bytes(files.key))
  }

  /// The answer's status and text; the exit code and what curl says where there is none.
  private func ask(_ server: TestServer, _ options: [String] = [], scheme: String = "https") async throws -> String {
    let command =
      ["curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "%{http_code}", "--cacert", own.authority] + options
      + ["\(scheme)://localhost:\(server.port)/healthz"]
    // Not on a thread that the server needs to answer.
    let finished = try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread { continuation.resume(with: Result { try run(command) }) }
    }
    return finished.status == 0 ? finished.outputText : "\(finished.status): \(finished.errorText)"
  }

  @Test(arguments: ["1.2", "1.3"]) func itSpeaksTLS(version: String) async throws {
    try await TestServer.run(.init(certificate: certificate)) { server in
      let answer = try await ask(server, ["--tlsv\(version)", "--tls-max", version])
      #expect(answer == "ok\n200")
    }
  }

  @Test func itSpeaksNothingElse() async throws {
    try await TestServer.run(.init(certificate: certificate)) { server in
      let plain = try await ask(server, scheme: "http")
      #expect(!plain.hasSuffix("200"), "\(plain)")
      let old = try await ask(server, ["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"])
      #expect(old.hasPrefix("35: ") && old.contains("alert protocol version"), "\(old)")
    }
    try await TestServer.run { server in
      let other = try await ask(server)
      #expect(other.hasPrefix("35: "), "\(other)")
    }
  }

  @Test func itsGuardIsTheSame() async throws {
    try await TestServer.run(.init(token: SecurityTests.token, certificate: certificate, isLoopback: false)) { server in
      let none = try await ask(server)
      #expect(none.hasSuffix("401"))
      let token = ["--header", "Authorization: Bearer \(SecurityTests.token)"]
      let known = try await ask(server, token)
      #expect(known == "ok\n200")
      let foreign = try await ask(server, token + ["--header", "Host: evil.example"])
      #expect(foreign.hasSuffix("421"))
    }
  }

  @Test func anotherCertificateHoldsFromTheNextConnectionOn() async throws {
    let other = try TestCertificate(in: folder, "other")
    try await TestServer.run(.init(certificate: certificate)) { server in
      let (same, new) = (try Self.read(own), try Self.read(other))
      #expect(!certificate.become(same))
      let first = try await ask(server)
      #expect(first == "ok\n200")
      #expect(certificate.become(new))
      let refused = try await ask(server)
      #expect(refused.hasPrefix("60: "))
      let second = try await ask(server, ["--cacert", other.authority])
      #expect(second == "ok\n200")
    }
  }

  @Test func whatIsNoCertificateIsRefused() throws {
    #expect(throws: ConfigurationError.self) { _ = try Certificate(chain: [], key: []) }
    #expect(Configuration(address: "0.0.0.0", token: SecurityTests.token, certificate: certificate).warning == nil)
    #expect(Configuration(address: "0.0.0.0", token: SecurityTests.token).warning != nil && Configuration().warning == nil)
  }
}
