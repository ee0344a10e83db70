package import Logging
internal import Synchronization

/// The least important lines that the log has.
package enum LogLevel: String, Sendable, CaseIterable {
  case debug
  case info
  case notice
  case warning
  case error
}

/// Writes the log to standard error, a line an entry. The level is one for all loggers but that of the audit, and may change at any time.
package struct LogOutput: LogHandler {
  private static let level = Mutex(LogLevel.info)
  private var output: StreamLogHandler
  private let isAudit: Bool

  /// The label of the logger that says who changed what; its lines are always written.
  package static let audit = "swtrace-agent audit"

  package init(label: String) {
    output = StreamLogHandler.standardError(label: label)
    isAudit = label == Self.audit
  }

  package static func setLevel(_ level: LogLevel) { Self.level.withLock { $0 = level } }

  package var logLevel: Logger.Level {
    get { isAudit ? .trace : Logger.Level(rawValue: Self.level.withLock(\.rawValue)) ?? .info }
    set {}
  }

  package var metadata: Logger.Metadata {
    get { output.metadata }
    set { output.metadata = newValue }
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { output[metadataKey: key] }
    set { output[metadataKey: key] = newValue }
  }

  package func log(event: LogEvent) { output.log(event: event) }
}
