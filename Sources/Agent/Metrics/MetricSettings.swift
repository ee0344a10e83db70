package import AgentModel

/// A probe of metrics, by its key in the configuration, which is its name in the control interface as well.
package enum MetricKey: String, CaseIterable, Sendable {
  case runQueue = "run_queue"
  case blockIO = "block_io"
  case connects = "tcp_connect"
  case roundTrips = "tcp_rtt"
  case retransmits = "tcp_retransmits"
  case faults = "page_faults"
  case systemCalls = "syscalls"
  case oomKills = "oom_kills"

  /// Which of its events can be measured; empty where there is no choice.
  package var modes: [String] {
    switch self {
    case .faults: ["all", "major"]
    case .systemCalls: ["latency", "errors"]
    default: []
    }
  }

  /// What the configuration may say.
  var choices: [String] { (modes.isEmpty ? ["on"] : modes) + ["off"] }

  /// How it measures unless somebody says otherwise: with what costs less, where there is a choice.
  var usual: ProbeSettings { ProbeSettings(isEnabled: true, mode: modes.last) }
}

/// Which metrics of the machine are measured.
package struct MetricSettings: Equatable, Sendable {
  /// All that there are.
  package private(set) var probes = Dictionary(uniqueKeysWithValues: MetricKey.allCases.map { ($0, $0.usual) })
  /// Series of one metric, beyond which the rest is one.
  package var largestSeries = 200

  package init() {}

  /// As the configuration says it: one of the key's `choices`.
  package subscript(key: MetricKey) -> String {
    get {
      let settings = probes[key] ?? key.usual
      return settings.isEnabled ? settings.mode ?? "on" : "off"
    }
    set { probes[key] = ProbeSettings(isEnabled: newValue != "off", mode: key.modes.contains(newValue) ? newValue : key.modes.last) }
  }
}
