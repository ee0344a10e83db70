extension Configuration {
  /// The keys below `metrics`.
  static let metricKeys: [Key] = [
    onOrOff("run_queue", "How long tasks wait for a processor, by service: about 0.3 us a switch.", \.runQueue),
    onOrOff("block_io", "How long disks take, by disk: about 0.5 us a request.", \.blockIO),
    onOrOff("tcp_connect", "How long TCP connects take, by service and result: about 2 us a connect.", \.connects),
    onOrOff("tcp_rtt", "Round-trip times of TCP connections, by service: about 0.3 us a segment.", \.roundTrips),
    onOrOff("tcp_retransmits", "TCP segments that were sent again, by service and reason: about 3 us each.", \.retransmits),
    choice("page_faults", "Page faults by service, all, major or off: about 0.25 us a fault.", \.faults),
    choice(
      "syscalls", "System calls by name, latency, errors or off: 0.26 or 0.08 us each, which is too dear for most machines.", \.syscalls),
    onOrOff("oom_kills", "Processes that the kernel ended for want of memory, by service.", \.oomKills),
    Key("metrics.max_series", "Series of one metric; what is beyond has the service, disk or call `other`.", needsRestart: true) {
      "\($0.metrics.largestSeries)"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard let number = Int(text), (1...10_000).contains(number) else { throw ConfigurationError("is 1 to 10000, not '\(text)'") }
      configuration.metrics.largestSeries = number
    },
  ]

  private static func onOrOff(_ name: String, _ meaning: String, _ place: any WritableKeyPath<MetricSettings, Bool> & Sendable) -> Key {
    Key("metrics.\(name)", meaning, needsRestart: true) {
      $0.metrics[keyPath: place] ? "on" : "off"
    } _: { (configuration, text) throws(ConfigurationError) in
      guard ["on", "off"].contains(text) else { throw ConfigurationError("is on or off, not '\(text)'") }
      configuration.metrics[keyPath: place] = text == "on"
    }
  }

  private static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ meaning: String, _ place: any WritableKeyPath<MetricSettings, Choice> & Sendable
  ) -> Key {
    let choices = Choice.allCases.map { (name: $0.rawValue, value: $0) }
    return Key("metrics.\(name)", meaning, needsRestart: true) {
      $0.metrics[keyPath: place].rawValue
    } _: { (configuration, text) throws(ConfigurationError) in
      guard let choice = choices.first(where: { $0.name == text }) else {
        throw ConfigurationError("is one of \(choices.map(\.name).joined(separator: ", ")), not '\(text)'")
      }
      configuration.metrics[keyPath: place] = choice.value
    }
  }
}
