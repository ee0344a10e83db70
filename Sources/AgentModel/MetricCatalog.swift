/// All metrics: what is listed, shown, kept and drawn is generated from these lists.
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

  package static let events = Metric(
    "swtrace_events", "Samples, waits and events that the probes saw.", .counter, labels: ["profile", "probe"])
  package static let eventsLost = Metric(
    "swtrace_events_lost", "Of these, those that are in no profile and no metric, with the reason where the probe knows it.", .counter,
    labels: ["profile", "probe", "reason"])
  package static let probeUp = Metric(
    "swtrace_probe_up", "Whether the probe measures that is to; where not, because it failed or to keep the budget.", .gauge,
    labels: ["probe", "reason"])
  package static let wholeStacks = Metric(
    "swtrace_stacks_whole", "User stacks that reached their first function.", .counter, labels: ["profile"])
  package static let cutStacks = Metric("swtrace_stacks_cut", "User stacks that did not.", .counter, labels: ["profile"])
  package static let frames = Metric("swtrace_frames", "Addresses that were looked up.", .counter, labels: ["profile"])
  package static let unnamedFrames = Metric("swtrace_frames_unnamed", "Addresses without a name.", .counter, labels: ["profile"])
  package static let processorTime = Metric(
    "swtrace_agent_cpu_seconds", "Time of processors that the agent used.", .counter, unit: .seconds)
  package static let programTime = Metric(
    "swtrace_bpf_run_time_seconds", "Time that the agent's programs ran in the kernel, by profile and probe.", .counter, unit: .seconds,
    labels: ["probe"])
  package static let rateHalvings = Metric(
    "swtrace_agent_rate_halvings", "How often the rates of profiles are halved to keep the budget.", .gauge)
  package static let residentMemory = Metric("swtrace_agent_resident_bytes", "Memory of the agent.", .gauge, unit: .bytes)
  package static let mapMemory = Metric(
    "swtrace_bpf_map_bytes", "Memory of the kernel for the agent's programs.", .gauge, unit: .bytes, labels: ["profile", "probe"])
  package static let storeSize = Metric("swtrace_store_bytes", "Size of the store.", .gauge, unit: .bytes)
  package static let droppedWindows = Metric("swtrace_windows_dropped", "Windows that were not stored.", .counter)

  /// Those of the agent itself, which are only shown.
  package static let ofAgent = [
    events, eventsLost, probeUp, wholeStacks, cutStacks, frames, unnamedFrames, processorTime, programTime, rateHalvings, residentMemory,
    mapMemory,
    storeSize, droppedWindows,
  ]
}
