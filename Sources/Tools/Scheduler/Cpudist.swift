package import ArgumentParser
package import BPF
internal import CProbes
package import Formats

/// Shows how long tasks stay on a processor at a time, or off it.
package struct Cpudist: HistogramTool {
  package static let configuration = CommandConfiguration(
    commandName: "cpudist", abstract: "Show how long tasks stay on a processor at a time, or off it.",
    discussion: """
      Every stretch counts: those that end with a sleep as well as those that are cut
      short.

      Overhead: about 0.12 us for each task switch.

      Example: why does this process stop so often?
        swtrace cpudist --reasons -p 1234 --duration 10s
      """)

  package static let activity = "measuring stretches on processors"
  package static let cgroupLetter: Character? = "c"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var schedule: IntervalOptions
  @OptionGroup package var session: SessionOptions<Cpudist>
  @Flag(name: [.customShort("O"), .long], help: "Measure the time off the processor instead.") var offcpu = false
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") package var timestamp = false
  @Flag(name: [.customShort("m"), .long], help: "Histogram in milliseconds.") var milliseconds = false
  @Flag(name: [.customShort("P"), .long], help: "A histogram for each process.") var pids = false
  @Flag(name: [.customShort("L"), .long], help: "A histogram for each thread.") var tids = false
  @Flag(help: "Two histograms: tasks that left by themselves, and tasks that had to.") var reasons = false
  @Flag(name: [.customShort("I"), .customLong("include-idle")], help: "Idle times of processors too.") var includeIdle = false

  package init() {}

  package mutating func validate() throws {
    if [pids, tids, reasons].count(where: { $0 }) > 1 { throw ValidationError("--pids, --tids and --reasons exclude each other") }
    if offcpu, includeIdle { throw ValidationError("--include-idle and --offcpu exclude each other: an idle task is off while others run") }
  }

  package var hooks: [Hook] { [Hook("task switches", ["switch_btf", "switch_raw"])] + (offcpu ? [HiddenEvents.hook] : []) }

  package var unit: HistogramUnit { milliseconds ? .milliseconds : .microseconds }

  private var key: cpudist_key { pids ? CPUDIST_PROCESS : tids ? CPUDIST_THREAD : reasons ? CPUDIST_REASON : CPUDIST_ALL }
  package var isKeyed: Bool { key != CPUDIST_ALL }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config",
      cpudist_config(key: key.rawValue, off: offcpu ? 1 : 0, include_idle: includeIdle ? 1 : 0, reserved: (0, 0)))
    // Only the time off a processor needs a place for each thread.
    if !offcpu { try Starts.leaveOut(of: &probe) }
  }

  private static func reason(_ key: UInt64) -> String { key == CPUDIST_VOLUNTARY.rawValue ? "voluntary" : "involuntary" }

  package func title(_ entry: KeyedHistogram) -> [UInt8] {
    guard isKeyed else { return [] }
    if reasons { return Array("reason = \(Self.reason(entry.key))".utf8) }
    var line = Array("\(pids ? "pid" : "tid") = \(entry.key) ".utf8)
    line.append(escaped: entry.command)
    return line
  }

  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] {
    if reasons { return [("reason", .string(Self.reason(entry.key)))] }
    return isKeyed ? [(pids ? "pid" : "tid", .unsigned(entry.key)), ("comm", .text(entry.command))] : []
  }
}
