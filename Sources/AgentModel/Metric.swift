/// What is measured in numbers, all the time: its name and what Prometheus and people need to know of it.
package struct Metric: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable {
    /// Only grows.
    case counter
    case gauge
    /// How often values fell into which range, with their sum; only grows.
    case histogram
  }

  package enum Unit: String, Hashable, Sendable {
    case seconds, bytes, ratio
  }

  /// As Prometheus has it, but without `_total`; ends in the unit where there is one.
  package var name: String
  /// One sentence.
  package var help: String
  package var kind: Kind
  /// Nil for counts.
  package var unit: Unit?
  /// The names of labels that series can have, besides `host`.
  package var labels: [String]
  /// Of a histogram: its bounds for Prometheus are 2^n - 1 nanoseconds for these n.
  package var bounds: ClosedRange<Int>?

  package init(
    _ name: String, _ help: String, _ kind: Kind, unit: Unit? = nil, labels: [String] = [], bounds: ClosedRange<Int>? = nil
  ) {
    self.name = name
    self.help = help
    self.kind = kind
    self.unit = unit
    self.labels = labels
    self.bounds = bounds
  }

  /// The name as a scrape shows it.
  package var exposedName: String { kind == .counter ? name + "_total" : name }
}

/// All metrics of probes. What is listed, shown, kept and drawn is generated from this list.
package enum MetricCatalog {
  private static let owner = ["service", "container", "pod"]

  package static let runQueueLatency = Metric(
    "swtrace_run_queue_latency_seconds", "How long tasks that could run waited for a processor.", .histogram, unit: .seconds,
    labels: owner, bounds: 10...33)
  package static let blockLatency = Metric(
    "swtrace_block_io_latency_seconds", "How long disks took for requests, from the driver to the completion.", .histogram, unit: .seconds,
    labels: ["disk"], bounds: 13...36)
  package static let syscallLatency = Metric(
    "swtrace_syscall_latency_seconds", "How long system calls took.", .histogram, unit: .seconds, labels: ["syscall"], bounds: 7...36)
  package static let syscallErrors = Metric(
    "swtrace_syscall_errors", "System calls that failed.", .counter, labels: ["syscall"])
  package static let connectLatency = Metric(
    "swtrace_tcp_connect_seconds", "How long TCP connects took, from the first SYN to their end.", .histogram, unit: .seconds,
    labels: owner + ["result"], bounds: 13...38)
  package static let roundTrip = Metric(
    "swtrace_tcp_rtt_seconds", "Smoothed round-trip times of TCP connections, one for each segment that was received.", .histogram,
    unit: .seconds, labels: owner, bounds: 13...33)
  package static let retransmits = Metric(
    "swtrace_tcp_retransmits", "TCP segments that were sent again, by what led to it.", .counter, labels: owner + ["reason"])
  package static let pageFaults = Metric(
    "swtrace_page_faults", "Page faults that were resolved; major ones waited for a file or for swap.", .counter, labels: owner + ["kind"])
  package static let oomKills = Metric(
    "swtrace_oom_kills", "Processes that the kernel ended because memory ran out.", .counter, labels: owner)

  /// Those of the machine, which are kept.
  package static let measured = [
    runQueueLatency, blockLatency, syscallLatency, syscallErrors, connectLatency, roundTrip, retransmits, pageFaults, oomKills,
  ]

  /// The metric of that name, with or without `_total`, if it is kept.
  package static func measured(named name: String) -> Metric? { measured.first { $0.name == name || $0.exposedName == name } }
}
