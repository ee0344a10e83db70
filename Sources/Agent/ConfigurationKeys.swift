internal import Foundation

extension Configuration {
  /// One key: what it is called and means, its value as text, and how one is taken.
  struct Key: Sendable {
    var path: String
    var meaning: String
    var value: @Sendable (Configuration) -> String
    var set: @Sendable (inout Configuration, String) throws(ConfigurationError) -> Void

    /// Its variable of the environment.
    var variable: String { "SWTRACE_" + path.uppercased().map { $0 == "." ? "_" : String($0) }.joined() }
  }

  static let keys: [Key] =
    [
      Key(
        path: "host", meaning: "The label `host` of everything; by default the machine's name.", value: { $0.host },
        set: {
          (configuration, text) throws(ConfigurationError) in
          guard !text.isEmpty else { throw ConfigurationError("is empty") }
          configuration.host = text
        }),
      Key(
        path: "listen", meaning: "Where the page is served: an address and a port.", value: { "\($0.address):\($0.port)" },
        set: {
          (configuration, text) throws(ConfigurationError) in
          let colon = text.lastIndex(of: ":") ?? text.endIndex
          guard colon > text.startIndex, colon < text.endIndex, let port = Int(text[text.index(after: colon)...]),
            (1...65_535).contains(port)
          else {
            throw ConfigurationError("is an address and a port, as 127.0.0.1:7380, not '\(text)'")
          }
          configuration.address = text[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
          configuration.port = port
        }),
      Key(
        path: "names", meaning: "Names by which browsers may ask for the page, besides those of loopback.",
        value: { $0.names.joined(separator: ",") },
        set: { (configuration, text) throws(ConfigurationError) in
          configuration.names = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        }),
      Key(
        path: "token_file", meaning: "The file whose first line everyone has to know who changes something, or is not on this machine.",
        value: { $0.tokenFile ?? "" },
        set: { (configuration, text) throws(ConfigurationError) in configuration.tokenFile = text.isEmpty ? nil : text }),
      Key(
        path: "store.path", meaning: "The file that everything is kept in.", value: { $0.storePath },
        set: {
          (configuration, text) throws(ConfigurationError) in
          guard !text.isEmpty else { throw ConfigurationError("is empty") }
          configuration.storePath = text
        }),
      Key(
        path: "store.max_size", meaning: "The oldest is removed when the file is larger.", value: { Size.text($0.maximumSize) },
        set: {
          (configuration, text) throws(ConfigurationError) in
          guard let size = Size.bytes(text), (16 << 20...1 << 50).contains(size) else {
            throw ConfigurationError("is a size of 16MB or more, not '\(text)'")
          }
          configuration.maximumSize = size
        }),
      duration("store.keep_windows", "How long each ten seconds can be told apart.", \.keepWindows),
      duration("store.keep_hours", "How long the sums of hours are kept.", \.keepHours),
      Key(
        path: "cpu.frequency", meaning: "Samples a second on each processor, 1 to 999; 0 for none.", value: { "\($0.cpuFrequency)" },
        set: { (configuration, text) throws(ConfigurationError) in
          guard let frequency = UInt64(text), frequency < 1000 else { throw ConfigurationError("is 0 to 999, not '\(text)'") }
          configuration.cpuFrequency = frequency
        }),
      Key(
        path: "off_cpu.threshold", meaning: "The shortest wait that counts, in microseconds; `off` for none.",
        value: { $0.offCPUThreshold.map { "\($0)" } ?? "off" },
        set: { (configuration, text) throws(ConfigurationError) in
          if text == "off" {
            configuration.offCPUThreshold = nil
          } else if let threshold = UInt64(text), (1...10_000_000).contains(threshold) {
            configuration.offCPUThreshold = threshold
          } else {
            throw ConfigurationError("is 1 to 10000000 microseconds or off, not '\(text)'")
          }
        }),
      Key(
        path: "unwind_memory", meaning: "Memory of the kernel for the rules by which stacks are walked, in MB.",
        value: { "\($0.unwindMemory)" },
        set: { (configuration, text) throws(ConfigurationError) in
          guard let size = Int(text), (4...4096).contains(size) else { throw ConfigurationError("is 4 to 4096 MB, not '\(text)'") }
          configuration.unwindMemory = size
        }),
    ] + metricKeys

  private static func duration(_ path: String, _ meaning: String, _ place: any WritableKeyPath<Configuration, Int64> & Sendable) -> Key {
    Key(
      path: path, meaning: meaning, value: { Days.text($0[keyPath: place]) },
      set: { (configuration, text) throws(ConfigurationError) in
        guard let seconds = Days.seconds(text), seconds >= 3600 else {
          throw ConfigurationError("is a time of 1h or more, as 14d, not '\(text)'")
        }
        configuration[keyPath: place] = seconds
      })
  }
}

/// Times as people write them: `90m`, `12h`, `14d`.
enum Days {
  private static let units: [(Character, Int64)] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]

  static func seconds(_ text: String) -> Int64? {
    guard let last = text.last, let unit = units.first(where: { $0.0 == last }), let number = Int64(text.dropLast()), number >= 0 else {
      return nil
    }
    let (seconds, overflow) = number.multipliedReportingOverflow(by: unit.1)
    return overflow ? nil : seconds
  }

  static func text(_ seconds: Int64) -> String {
    let unit = units.first { seconds % $0.1 == 0 && seconds >= $0.1 } ?? ("s", 1)
    return "\(seconds / unit.1)\(unit.0)"
  }
}

/// Sizes as people write them: `512MB`, `1GB`; powers of two.
enum Size {
  private static let units: [(String, Int64)] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)]

  static func bytes(_ text: String) -> Int64? {
    guard let unit = units.first(where: { text.hasSuffix($0.0) }), let number = Int64(text.dropLast(2)), number >= 0 else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: unit.1)
    return overflow ? nil : bytes
  }

  static func text(_ bytes: Int64) -> String {
    let unit = units.first { bytes % $0.1 == 0 && bytes >= $0.1 } ?? ("KB", 1 << 10)
    return "\(bytes / unit.1)\(unit.0)"
  }
}
