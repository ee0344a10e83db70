internal import AgentServer
internal import Linux
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// Reads the configuration again with each SIGHUP. One that is wrong is refused, and the old one stays.
struct Reload: Service {
  let source: ConfigurationSource
  let control: Control
  /// What the server proves itself with; nil for HTTP.
  let certificate: Certificate?
  let notice: ServiceNotice
  let logger: Logger

  func run() async throws {
    for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() { reload() }
  }

  func reload() {
    notice.reloading()
    defer { notice.ready(control.summary) }
    do { control.reload(try source.read(), by: "SIGHUP") } catch {
      return logger.error("the configuration was read again and is refused, the old one stays: \(error)")
    }
    renewCertificate()
    logger.notice("the configuration was read again")
  }

  /// The files' names are of the start, what they say is of now. They may be bad where the configuration is not, which names others.
  private func renewCertificate() {
    do {
      if let certificate, let new = try control.configuration.certificate(), certificate.become(new) {
        logger.notice("the certificate is another one from the next connection on")
      }
    } catch {
      logger.error("the certificate could not be read again, the old one stays: \(error)")
    }
  }
}
