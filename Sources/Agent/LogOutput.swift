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

/// Writes the log to standard error, a line an entry.
package struct LogOutput: LogHandler {
  /// The level of loggers, which may change at any time; the audit has none.
  package final class Level: Sendable {
    /// Of the program's loggers.
    package static let shared = Level()
    private let level = Mutex(LogLevel.info)

    package init() {}

    package var value: LogLevel {
      get { level.withLock { $0 } }
      set { level.withLock { $0 = newValue } }
    }
  }

  private var output: StreamLogHandler
  private let level: Level
  private let isAudit: Bool

  /// The label of the logger that says who changed what; its lines are always written.
  package static let audit = "swtrace-agent audit"

  package init(label: String, level: Level = .shared) {
    output = StreamLogHandler.standardError(label: label)
    self.level = level
    isAudit = label == Self.audit
  }

  package var logLevel: Logger.Level {
    get { isAudit ? .trace : Logger.Level(rawValue: level.value.rawValue) ?? .info }
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
