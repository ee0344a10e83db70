internal import AgentModel
internal import Yams

extension Configuration {
  /// One key: what it is called and means, its value as a file has it, and how one is taken.
  struct Key: Sendable {
    var path: String
    var meaning: String
    /// Whether a change is only seen at the next start.
    var needsRestart = false
    var isList = false
    var value: @Sendable (Configuration) -> Node
    var set: @Sendable (inout Configuration, Node) throws(ConfigurationError) -> Void

    /// Its variable of the environment.
    var variable: String { "SWTRACE_" + path.uppercased().map { $0 == "." ? "_" : String($0) }.joined() }

    /// A key of one text.
    init(
      _ path: String, _ meaning: String, needsRestart: Bool = false, _ value: @escaping @Sendable (Configuration) -> String,
      _ set: @escaping @Sendable (inout Configuration, String) throws(ConfigurationError) -> Void
    ) {
      (self.path, self.meaning, self.needsRestart) = (path, meaning, needsRestart)
      self.value = { node(value($0)) }
      self.set = { (configuration, node) throws(ConfigurationError) in
        guard let text = node.scalar?.string else { throw ConfigurationError("takes one value") }
        guard !text.unicodeScalars.contains("\0") else { throw ConfigurationError("has a NUL character") }
        try set(&configuration, text)
      }
    }

    /// A key of a list.
    init(
      list path: String, _ meaning: String, needsRestart: Bool = false, _ value: @escaping @Sendable (Configuration) -> Node,
      _ set: @escaping @Sendable (inout Configuration, [Node]) throws(ConfigurationError) -> Void
    ) {
      (self.path, self.meaning, self.needsRestart, self.value) = (path, meaning, needsRestart, value)
      isList = true
      self.set = { (configuration, node) throws(ConfigurationError) in
        guard let list = node.sequence else { throw ConfigurationError("takes a list, as [] or [a, b]") }
        try set(&configuration, Array(list))
      }
    }
  }

  static let keys: [Key] =
    [
      text("host", "The label `host` of everything; by default the machine's name.", \.host),
      Key("log_level", "The least important lines of the log: debug, info, notice, warning or error.") {
        $0.logLevel.rawValue
      } _: { (configuration, text) throws(ConfigurationError) in
        guard let level = LogLevel(rawValue: text) else {
          throw ConfigurationError("is one of \(LogLevel.allCases.map(\.rawValue).joined(separator: ", ")), not '\(text)'")
        }
        configuration.logLevel = level
      },
    ] + ofServer + ofStore + ofProbes + metricKeys + ofBudget + ofRules

  private static let ofServer: [Key] = [
    Key("listen", "Where the page is served: an address and a port.", needsRestart: true) {
      ($0.address.contains(":") ? "[\($0.address)]" : $0.address) + ":\($0.port)"
    } _: { (configuration, text) throws(ConfigurationError) in
      let colon = text.lastIndex(of: ":") ?? text.endIndex
      guard colon > text.startIndex, colon < text.endIndex, let port = Int(text[text.index(after: colon)...]), (1...65_535).contains(port)
      else {
        throw ConfigurationError("is an address and a port, as 127.0.0.1:7380, not '\(text)'")
      }
      let address = text[..<colon]
      configuration.address = String(address.hasPrefix("[") && address.hasSuffix("]") ? address.dropFirst().dropLast() : address)
      configuration.port = port
    },
    Key(list: "names", "Names by which browsers may ask for the page, besides those of loopback.", needsRestart: true) {
      node($0.names)
    } _: { (configuration, nodes) throws(ConfigurationError) in
      configuration.names = []
      for node in nodes {
        let name = node.scalar?.string ?? ""
        guard !name.isEmpty, name.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x2f && $0 != 0x40 }) else {
          throw ConfigurationError("has '\(name)', which is no name of a host")
        }
        configuration.names.append(name)
      }
    },
    Key(
      "token_file",
      "The file whose first line everyone has to know who changes something, or is not on this machine;\nempty for none. "
        + "Only its owner and group may read it.", needsRestart: true
    ) {
      $0.tokenFile ?? ""
    } _: { (configuration, text) throws(ConfigurationError) in
      configuration.tokenFile = text.isEmpty ? nil : text
    },
    Key(
      "tls.certificate",
      "For HTTPS: the file with the server's certificate and those above it, in PEM; empty for HTTP.\n"
        + "What is in it and in the key's file is read again with SIGHUP.", needsRestart: true
    ) {
      $0.tlsCertificate ?? ""
    } _: { (configuration, text) throws(ConfigurationError) in
      configuration.tlsCertificate = text.isEmpty ? nil : text
    },
    Key("tls.key", "The file with the certificate's key, in PEM. Only its owner and group may read it.", needsRestart: true) {
      $0.tlsKey ?? ""
    } _: { (configuration, text) throws(ConfigurationError) in
      configuration.tlsKey = text.isEmpty ? nil : text
    },
  ]

  private static let ofStore: [Key] = [
    text("store.path", "The file that everything is kept in.", \.storePath),
    Key("store.max_size", "The oldest is removed when the file is larger.") {
      Size.text($0.maximumSize)
    } _: { (configuration, text) throws(ConfigurationError) in
      configuration.maximumSize = try size(text, 16 << 20...1 << 50)
    },
    duration("store.keep_windows", "How long each ten seconds can be told apart.", \.keepWindows),
    duration("store.keep_hours", "How long the sums of hours are kept.", \.keepHours),
  ]

  private static let ofProbes: [Key] = [
    Key("cpu.frequency", "Samples a second on each processor, 1 to 999; 0 for none.") {
      "\($0.cpuFrequency)"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard let frequency = UInt64(text), frequency == 0 || ProbeSettings.frequencies.contains(frequency) else {
        throw ConfigurationError("is 0 to 999, not '\(text)'")
      }
      configuration.cpuFrequency = frequency
    },
    threshold("off_cpu.threshold", "The shortest wait that counts, in microseconds; `off` for none.", \.offCPUThreshold),
    threshold("lock.threshold", "The shortest wait for a lock that counts, in microseconds; `off` for none.", \.lockThreshold),
    Key(
      "allocations.interval",
      "A sample of what programs allocate for so much memory, as 512KB; `off` for none. While it is on, each call of malloc\n"
        + "by a program with one of the C libraries costs 1 to 2 us more, whatever else is given here."
    ) {
      $0.allocationInterval.map { Size.text(Int64($0)) } ?? "off"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard text != "off" else {
        configuration.allocationInterval = nil
        return
      }
      guard let size = Size.bytes(text).flatMap({ UInt64(exactly: $0) }), ProbeSettings.intervals.contains(size) else {
        throw ConfigurationError("is a size of 1B to 1GB, as 512KB, or off, not '\(text)'")
      }
      configuration.allocationInterval = size
    },
    Key("allocations.comm", "Only allocations of processes with this command name; empty for all.") {
      $0.allocationFilter.comm
    } _: { (configuration, text) in
      configuration.allocationFilter.comm = text
    },
    Key("allocations.cgroup", "Only allocations in this cgroup and those below it, as system.slice/nginx.service; empty for all.") {
      $0.allocationFilter.cgroup
    } _: { (configuration, text) in
      configuration.allocationFilter.cgroup = text
    },
    Key("unwind_memory", "Memory of the kernel for the rules by which stacks are walked, in MB.", needsRestart: true) {
      "\($0.unwindMemory)"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard let size = Int(text), (4...4096).contains(size) else { throw ConfigurationError("is 4 to 4096 MB, not '\(text)'") }
      configuration.unwindMemory = size
    },
    Key(
      "deleted_libraries",
      "Whether functions of shared libraries have names whose file was deleted or replaced after processes had mapped it, as by\n"
        + "an upgrade: on or off. It keeps CAP_CHECKPOINT_RESTORE, which the service has to be given: see the unit. Programs that were\n"
        + "deleted or replaced have names in any case.", needsRestart: true
    ) {
      $0.keepsDeletedLibraries ? "on" : "off"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard ["on", "off"].contains(text) else { throw ConfigurationError("is on or off, not '\(text)'") }
      configuration.keepsDeletedLibraries = text == "on"
    },
  ]

  private static let ofBudget: [Key] = [
    Key(
      "budget.max_cpu",
      "What the agent and its programs may use before rates are lowered and probes paused, in percent\nof one processor."
    ) {
      "\($0.budget.processor)"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard let share = Double(text), Budget.processors.contains(share) else { throw ConfigurationError("is 0.1 to 6400, not '\(text)'") }
      configuration.budget.processor = share
    },
    Key("budget.max_memory", "What the agent's process may use before names are given up, rates lowered and probes paused.") {
      Size.text($0.budget.memory)
    } _: { (configuration, text) throws(ConfigurationError) in
      configuration.budget.memory = try size(text, Budget.memories)
    },
  ]

  private static func text(
    _ path: String, _ meaning: String, needsRestart: Bool = true, _ place: any WritableKeyPath<Configuration, String> & Sendable
  ) -> Key {
    Key(path, meaning, needsRestart: needsRestart) {
      $0[keyPath: place]
    } _: { (configuration, text) throws(ConfigurationError) in
      guard !text.isEmpty else { throw ConfigurationError("is empty") }
      configuration[keyPath: place] = text
    }
  }

  private static func threshold(
    _ path: String, _ meaning: String, _ place: any WritableKeyPath<Configuration, UInt64?> & Sendable
  ) -> Key {
    Key(path, meaning) {
      $0[keyPath: place].map { "\($0)" } ?? "off"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard text != "off" else {
        configuration[keyPath: place] = nil
        return
      }
      guard let threshold = UInt64(text), ProbeSettings.thresholds.contains(threshold) else {
        throw ConfigurationError("is 1 to 10000000 microseconds or off, not '\(text)'")
      }
      configuration[keyPath: place] = threshold
    }
  }

  private static func size(_ text: String, _ range: ClosedRange<Int64>) throws(ConfigurationError) -> Int64 {
    guard let size = Size.bytes(text), range.contains(size) else {
      throw ConfigurationError("is a size of \(Size.text(range.lowerBound)) or more, not '\(text)'")
    }
    return size
  }

  private static func duration(_ path: String, _ meaning: String, _ place: any WritableKeyPath<Configuration, Int64> & Sendable) -> Key {
    Key(path, meaning) {
      Days.text($0[keyPath: place])
    } _: { (configuration, text) throws(ConfigurationError) in
      guard let seconds = Days.seconds(text), seconds >= 3600 else {
        throw ConfigurationError("is a time of 1h or more, as 14d, not '\(text)'")
      }
      configuration[keyPath: place] = seconds
    }
  }
}
