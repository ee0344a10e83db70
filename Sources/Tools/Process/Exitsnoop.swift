package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
package import Linux

/// Prints each process as it ends: how long it lived, and what it ended with.
///
/// Overhead: one hook at the end of each thread.
package struct Exitsnoop: EventTool {
  package static let configuration = CommandConfiguration(
    commandName: "exitsnoop", abstract: "Trace the ends of processes: age, exit code or signal.",
    discussion: """
      A process ends with its last thread, which need not be its first one. With --tid
      the ends of these threads are printed, as with -T.

      Overhead: about 1.2 us for each process, 0.1 us for each of its threads.

      Example: processes that failed or were killed, with the time
        swtrace exitsnoop -x -t
      """)

  package static let activity = "tracing the ends of processes"
  package static let cgroupLetter: Character? = "c"

  @OptionGroup package var session: SessionOptions<Exitsnoop>
  @Flag(name: [.customShort("t"), .long], help: "Print the time.") var timestamp = false
  @Flag(name: [.customShort("x"), .long], help: "Only those that did not end with 0.") var failed = false
  @Flag(name: [.customShort("T"), .customLong("threaded")], help: "Print each thread instead of each process.") var threads = false

  package init() {}

  /// Threads that were asked for by their ids end themselves, whether their process ends with them or not.
  private var printsThreads: Bool { threads || session.tid != nil }

  package var hooks: [Hook] { [Hook("the end of processes", ["exit_last_btf", "exit_btf", "exit_raw"])] }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config", exitsnoop_config(failed_only: failed ? 1 : 0, threads: printsThreads ? 1 : 0, reserved: (0, 0, 0, 0, 0, 0)))
    // With the kernel's own word for the last thread, nothing has to be kept.
    if printsThreads || programs.first == "exit_last_btf" { try probe.resize("reported", to: 1) }
  }

  /// One end.
  package struct Row {
    var event: exitsnoop_event
    var time: Int64
    var command: Text

    var signal: Int32 { event.status & 0x7f }
    var exitCode: Int32 { event.status >> 8 & 0xff }
    var hasDumpedCore: Bool { event.status & 0x80 != 0 }

    /// As BCC prints it.
    var reason: String {
      if signal != 0 { return "signal \(signal) (\(KernelNames.signal(signal)))\(hasDumpedCore ? ", core dumped" : "")" }
      return exitCode == 0 ? "0" : "code \(exitCode)"
    }
  }

  package func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    let event = record.header(exitsnoop_event.self)
    return Row(event: event, time: clock.unix(event.time_ns), command: Text(comm: event.comm))
  }

  package var columns: [Column<Row>] {
    [
      Column("TIME(s)", key: "time_unix_ns", width: 8, style: .clock, inTable: timestamp) { .integer($0.time) },
      Column("PCOMM", key: "comm", width: 16) { .text($0.command) },
      Column("PID", width: 7) { .unsigned(UInt64($0.event.pid)) },
      Column("PPID", width: 7) { .unsigned(UInt64($0.event.parent_pid)) },
      Column("TID", width: 7) { .unsigned(UInt64($0.event.tid)) },
      Column("UID", width: 6, inTable: false) { .unsigned(UInt64($0.event.uid)) },
      Column("AGE(s)", key: "age_ns", width: 7, style: .scaled(by: 1_000_000_000, decimals: 2)) { .unsigned($0.event.age_ns) },
      Column("EXIT_CODE", key: "reason", width: 0) { .string($0.reason) },
      Column("CODE", key: "exit_code", width: 0, inTable: false) { $0.signal == 0 ? .integer(Int64($0.exitCode)) : .none },
      Column("SIGNAL", width: 0, inTable: false) { $0.signal != 0 ? .integer(Int64($0.signal)) : .none },
      Column("NAME", key: "signal_name", width: 0, inTable: false) {
        $0.signal != 0 ? .string(KernelNames.signal($0.signal)) : .none
      },
      Column("CORE", key: "core_dumped", width: 0, inTable: false) { .flag($0.hasDumpedCore) },
    ]
  }
}
