internal import Linux
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// Reads the configuration again with each SIGHUP. One that is wrong is refused, and the old one stays.
struct Reload: Service {
  let source: ConfigurationSource
  let control: Control
  let notice: ServiceNotice
  let logger: Logger

  func run() async throws {
    for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() { reload() }
  }

  func reload() {
    notice.reloading()
    defer { notice.ready(control.summary) }
    do {
      control.reload(try source.read(), by: "SIGHUP")
      logger.notice("the configuration was read again")
    } catch {
      logger.error("the configuration was read again and is refused, the old one stays: \(error)")
    }
  }
}
