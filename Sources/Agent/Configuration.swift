package import AgentModel
internal import Glibc
internal import Linux
internal import Yams

/// What the agent is told: by one YAML file, and by variables of the environment, which go before it.
package struct Configuration: Equatable, Sendable {
  /// The label `host` of all series.
  package var host: String
  /// Where the page is served.
  package var address = "127.0.0.1"
  package var port = 7380
  /// What else than loopback the page may be called in a browser.
  package var names: [String] = []
  /// The file with the token; nil for none.
  package var tokenFile: String?
  /// The files with the chain of certificates and its key; both or none.
  package var tlsCertificate: String?
  package var tlsKey: String?
  /// The file of the store.
  package var storePath = "/var/lib/swtrace/agent.db"
  /// How long windows are kept, and sums of hours, in seconds.
  package var keepWindows: Int64 = 3 * 86_400
  package var keepHours: Int64 = 365 * 86_400
  /// The size of the store's file that is not exceeded for long, in bytes.
  package var maximumSize: Int64 = 1 << 30
  /// Samples a second on each processor; 0 for none.
  package var cpuFrequency: UInt64 = 19
  /// Waits of at least so many microseconds; nil for none.
  package var offCPUThreshold: UInt64? = 1_000
  /// Waits for locks of at least so many microseconds; nil for none.
  package var lockThreshold: UInt64?
  /// Allocations: bytes between samples; nil for none. And whose they are; empty texts mean anybody's.
  package var allocationInterval: UInt64?
  package var allocationFilter = ProbeSettings.Filter()
  /// Memory of the kernel for the rules of code, in MB, for all profiles together.
  package var unwindMemory = 50
  /// Whether what opens the files of libraries that were deleted or replaced is kept.
  package var keepsDeletedLibraries = false
  package var metrics = MetricSettings()

  package var budget = Budget(processor: 2, memory: 256 << 20)
  package var relabelling: [RelabelRule] = []
  /// By default what stands in homes is told, whose home it is not.
  package var redaction: [RedactionRule]
  package var logLevel = LogLevel.info

  package init() {
    var name = utsname()
    host = uname(&name) == 0 ? withUnsafeBytes(of: &name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } : ""
    if host.isEmpty { host = "localhost" }
    guard let homes = try? RedactionRule(regex: "/home/[^/ ]+", replacement: "/home/*") else {
      // Nothing is stored unredacted for lack of a rule.
      preconditionFailure("the rule that hides the names of homes is no pattern")
    }
    redaction = [homes]
  }

  /// Reads a file and the environment.
  ///
  /// - Parameters:
  ///   - path: nil for none.
  ///   - environment: `SWTRACE_CPU_FREQUENCY` is `cpu.frequency`.
  /// - Throws: `ConfigurationError`, with the line.
  package init(file path: String?, environment: [String: String]) throws {
    self.init()
    if let path {
      guard let bytes = ProcFile.bytes(path), let text = String(validating: bytes, as: UTF8.self) else {
        throw ConfigurationError("\(path) cannot be read; give the file with --config, or begin with `swtrace-agent check --print`")
      }
      try read(text, name: path)
    }
    for key in Self.keys {
      guard let value = environment[key.variable] else { continue }
      // Lists are written as in the file.
      try set(key, to: (key.isList ? try Self.compose(value, key.variable) : nil) ?? Node(value), place: key.variable)
    }
    if keepHours < keepWindows {
      throw ConfigurationError("store.keep_hours is less than store.keep_windows: sums of hours are made of windows; give them more time")
    }
    if (tlsCertificate == nil) != (tlsKey == nil) {
      throw ConfigurationError("tls.\(tlsKey == nil ? "certificate" : "key") is given alone: give tls.certificate and tls.key, or neither")
    }
    if !probes.values.contains(where: \.isEnabled) {
      throw ConfigurationError(
        "there is nothing to measure: cpu.frequency is 0, off_cpu.threshold, lock.threshold, allocations.interval and all metrics are off; "
          + "turn one of them on")
    }
    for variable in environment.keys.sorted()
    where variable.hasPrefix("SWTRACE_") && !Self.keys.contains(where: { $0.variable == variable }) {
      throw ConfigurationError("\(variable) is no variable of the agent; there are \(Self.keys.map(\.variable).joined(separator: ", "))")
    }
  }

  /// How each probe measures at the start, by its name.
  package var probes: [String: ProbeSettings] {
    var allocations = ProbeSettings(isEnabled: allocationInterval != nil, interval: allocationInterval ?? 512 << 10)
    allocations.filter = allocationFilter
    let profiles = [
      ProfileType.cpu.rawValue: ProbeSettings(isEnabled: cpuFrequency > 0, frequency: cpuFrequency > 0 ? cpuFrequency : 19),
      ProfileType.offCPU.rawValue: ProbeSettings(isEnabled: offCPUThreshold != nil, threshold: offCPUThreshold ?? 1_000),
      ProfileType.lock.rawValue: ProbeSettings(isEnabled: lockThreshold != nil, threshold: lockThreshold ?? 100),
      ProfileType.allocations.rawValue: allocations,
    ]
    let ofMetrics = metrics.probes.map { ($0.key.rawValue, $0.value) }
    return profiles.merging(ofMetrics) { profile, _ in profile }
  }

  /// Reads the text of a file.
  ///
  /// - Parameter name: for errors.
  package mutating func read(_ text: String, name: String) throws {
    guard let root = try Self.compose(text, name), !(root.scalar?.string.isEmpty ?? false) else { return }
    guard root.mapping != nil else { throw ConfigurationError("\(name): the file is a list of keys with values, as `host: name`") }
    try read(root, prefix: "", name)
  }

  private static func compose(_ text: String, _ name: String) throws -> Node? {
    do { return try Yams.compose(yaml: text) } catch let error as YamlError {
      throw ConfigurationError("\(name) is no YAML: \(error)".split(separator: "\n").joined(separator: " "))
    }
  }

  private mutating func read(_ node: Node, prefix: String, _ name: String) throws {
    var seen: Set<String> = []
    for (keyNode, value) in node.mapping ?? [:] {
      let path = prefix + (keyNode.scalar?.string ?? "")
      let place = "\(name):\(keyNode.mark?.line ?? 0)"
      guard seen.insert(path).inserted else { throw ConfigurationError("\(place): \(path) is given twice") }
      if let key = Self.keys.first(where: { $0.path == path }) {
        try set(key, to: value, place: place)
      } else if Self.keys.contains(where: { $0.path.hasPrefix(path + ".") }) {
        guard value.mapping != nil else { throw ConfigurationError("\(place): \(path) takes keys of its own") }
        try read(value, prefix: path + ".", name)
      } else {
        let known = Self.keys.map(\.path).filter { $0.hasPrefix(prefix) }
        throw ConfigurationError("\(place): there is no key \(path); there are \(known.joined(separator: ", "))")
      }
    }
  }

  private mutating func set(_ key: Key, to value: Node, place: String) throws {
    do { try key.set(&self, value) } catch {
      throw ConfigurationError("\(place): \(key.path) \(error.text)")
    }
  }
}

/// What is wrong with the configuration, where, and what would be right.
package struct ConfigurationError: Error, CustomStringConvertible {
  package var text: String
  package init(_ text: String) { self.text = text }
  package var description: String { text }
}
