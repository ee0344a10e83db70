extension Configuration {
  /// The keys below `metrics`.
  static let metricKeys: [Key] =
    MetricKey.allCases.map { key in
      Key("metrics.\(key.rawValue)", key.meaning) {
        $0.metrics[key]
      } _: { (configuration, text) throws(ConfigurationError) in
        guard key.choices.contains(text) else {
          let choices = key.modes.isEmpty ? key.choices.joined(separator: " or ") : "one of " + key.choices.joined(separator: ", ")
          throw ConfigurationError("is \(choices), not '\(text)'")
        }
        configuration.metrics[key] = text
      }
    } + [
      Key("metrics.max_series", "Series of one metric; what is beyond has the service, disk or call `other`.", needsRestart: true) {
        "\($0.metrics.largestSeries)"
      } _: { (configuration, text) throws(ConfigurationError) in
        guard let number = Int(text), (1...10_000).contains(number) else { throw ConfigurationError("is 1 to 10000, not '\(text)'") }
        configuration.metrics.largestSeries = number
      }
    ]
}

extension MetricKey {
  fileprivate var meaning: String {
    switch self {
    case .runQueue: "How long tasks wait for a processor, by service, on or off: about 0.3 us a switch."
    case .blockIO: "How long disks take, by disk, on or off: about 0.5 us a request."
    case .connects: "How long TCP connects take, by service and result, on or off: about 2 us a connect."
    case .roundTrips: "Round-trip times of TCP connections, by service, on or off: about 0.3 us a segment."
    case .retransmits: "TCP segments that were sent again, by service and reason, on or off: about 3 us each."
    case .faults: "Page faults by service, all, major or off: about 0.25 us a fault."
    case .systemCalls:
      "System calls by name, latency (with errors), errors or off: 0.26 or 0.08 us each; latency is too dear for many machines."
    case .oomKills: "Processes that the kernel ended for want of memory, by service, on or off."
    }
  }
}
