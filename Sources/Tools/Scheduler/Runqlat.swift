package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux

/// Shows how long tasks wait for a processor after they could run.
package struct Runqlat: HistogramTool {
  package static let configuration = CommandConfiguration(
    commandName: "runqlat", abstract: "Show run queue latency: how long tasks wait for a processor.",
    discussion: """
      Overhead: about 0.2 us for each switch.

      Example: each second, for the tasks of a service
        swtrace runqlat --cgroup system.slice/nginx.service 1
      """)

  package static let activity = "measuring run queue latency"
  package static let cgroupLetter: Character? = "c"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var schedule: IntervalOptions
  @OptionGroup package var session: SessionOptions<Runqlat>
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") package var timestamp = false
  @Flag(name: [.customShort("m"), .long], help: "Histogram in milliseconds.") var milliseconds = false
  @Flag(name: [.customShort("P"), .long], help: "A histogram for each process.") var pids = false
  @Flag(name: [.customShort("L"), .long], help: "A histogram for each thread.") var tids = false
  @Flag(name: .customLong("pidnss"), help: "A histogram for each pid namespace.") var pidNamespaces = false
  @Flag(name: .long, help: "A histogram for each cgroup.") var cgroups = false

  package init() {}

  package mutating func validate() throws {
    if [pids, tids, pidNamespaces, cgroups].count(where: { $0 }) > 1 {
      throw ValidationError("--pids, --tids, --pidnss and --cgroups exclude each other")
    }
  }

  /// The scheduler's own account of waits, where it keeps one.
  static let hooksOfAccount = [
    Hook("task switches", ["arrival_btf", "arrival_raw"]),
    Hook("tasks", ["enter_tasks"], without: "the first wait of each task that is there already", attachedByTool: true),
    HiddenEvents.hook,
  ]
  static let hooksOfWakeups = [
    Hook("wake-ups", ["wakeup_btf", "wakeup_raw"]),
    Hook("wake-ups of new tasks", ["wakeup_new_btf", "wakeup_new_raw"]),
    Hook("task switches", ["switch_btf", "switch_raw"]),
    HiddenEvents.hook,
  ]
  package var hooks: [Hook] { KernelFeatures.keepsWaitsForProcessors ? Self.hooksOfAccount : Self.hooksOfWakeups }

  package var unit: HistogramUnit { milliseconds ? .milliseconds : .microseconds }

  private var key: runqlat_key {
    pids ? RUNQLAT_PROCESS : tids ? RUNQLAT_THREAD : pidNamespaces ? RUNQLAT_PID_NAMESPACE : cgroups ? RUNQLAT_CGROUP : RUNQLAT_ALL
  }
  package var isKeyed: Bool { key != RUNQLAT_ALL }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", runqlat_config(key: key.rawValue, reserved: 0))
    try Starts.makeRoom(in: &probe)
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    if programs.contains("enter_tasks") { _ = try probe.iterate("enter_tasks") }
    return []
  }

  package func title(_ entry: KeyedHistogram) -> [UInt8] {
    guard isKeyed else { return [] }
    if cgroups { return keyTitle(cgroupParts(entry.key)) }
    var line = Array("\(pidNamespaces ? "pidns" : pids ? "pid" : "tid") = \(entry.key) ".utf8)
    if !pidNamespaces { line.append(escaped: entry.command) }
    return line
  }

  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] {
    if pidNamespaces { return [("pid_namespace", .unsigned(entry.key))] }
    if cgroups { return cgroupParts(entry.key).map { ($0.label, $0.value) } }
    return isKeyed ? [(pids ? "pid" : "tid", .unsigned(entry.key)), ("comm", .text(entry.command))] : []
  }
}
