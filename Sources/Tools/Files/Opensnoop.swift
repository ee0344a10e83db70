package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
package import Linux

/// Prints each open of a file: who, which path, and the descriptor or the error.
///
/// Overhead: one hook at the end of system calls.
package struct Opensnoop: EventTool {
  package static let configuration = CommandConfiguration(
    commandName: "opensnoop", abstract: "Trace open, openat, openat2 and creat: process, path, result.",
    discussion: """
      Overhead: about 0.3 us for each open and close, 0.4 us with -c, 0.05 us for
      any other system call.

      Example: failed opens of one process, as JSON
        swtrace opensnoop -x -p 1234 --format json
      """)

  package static let activity = "tracing opens"
  package static let tidLetter: Character? = "t"
  package static let uidLetter: Character? = "u"
  package static let durationLetter: Character? = "d"

  @OptionGroup package var session: SessionOptions<Opensnoop>
  @Flag(name: [.customShort("T"), .long], help: "Print the time.") var timestamp = false
  @Flag(name: [.customShort("U"), .long], help: "Print the user id.") var printUid = false
  @Flag(name: [.customShort("x"), .long], help: "Only opens that failed.") var failed = false
  @Flag(name: [.customShort("e"), .long], help: "Print flags and mode.") var extended = false
  @Flag(name: [.customShort("F"), .long], help: "Print full paths, also for relative ones.") var fullPath = false
  @Flag(name: [.customShort("c"), .long], help: "Print the functions that called, innermost first.") var callers = false

  @Option(name: [.customShort("n"), .long], help: "Only tasks whose command name contains this.") var name: String?

  private var names: CallerNames?

  private enum CodingKeys: String, CodingKey { case session, timestamp, printUid, failed, extended, fullPath, callers, name }

  package init() {}

  package mutating func validate() throws {
    if let name, !(1..<Int(SWTRACE_COMM_LENGTH)).contains(name.utf8.count) {
      throw ValidationError("command names have 1 to \(SWTRACE_COMM_LENGTH - 1) bytes; '\(name)' has \(name.utf8.count)")
    }
  }

  package var hooks: [Hook] { [Hook("the end of system calls", ["exit_btf", "exit_raw"])] }

  package mutating func prepare() throws { names = callers ? CallerNames() : nil }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    var config = opensnoop_config()
    config.failed_only = failed ? 1 : 0
    config.full_path = fullPath ? 1 : 0
    config.callers = callers ? 1 : 0
    if let name {
      config.has_name = 1
      withUnsafeMutableBytes(of: &config.name) { $0.copyBytes(from: name.utf8) }
    }
    try probe.configure(".rodata.config", config)
  }

  /// One open.
  package struct Row {
    var event: opensnoop_event
    var time: Int64
    var command: Text
    var path: Text
    var callers: [Text]
  }

  package mutating func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    let event = record.header(opensnoop_event.self)
    let text = record.extracting(droppingFirst: MemoryLayout<opensnoop_event>.size)
    let length = min(Int(event.path_length), text.byteCount)
    var path = Text(zeroTerminated: text.extracting(first: length))
    let stack = text.extracting(droppingFirst: length + Int(event.prefix_length))
    let addresses = (0..<min(Int(event.callers), stack.byteCount / 8)).map {
      stack.unsafeLoadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)
    }
    if event.has_folder != 0 {
      path = PathNames.join(names: text.extracting(droppingFirst: length).extracting(first: Int(event.prefix_length)), file: path)
    }
    return Row(
      event: event, time: clock.unix(event.time_ns), command: Text(comm: event.comm), path: path,
      callers: names?.names(addresses, of: event.pid, at: event.time_ns) ?? [])
  }

  package var columns: [Column<Row>] {
    [
      Column("TIME", key: "time_unix_ns", width: 8, style: .clock, inTable: timestamp) { .integer($0.time) },
      Column("UID", width: 6, inTable: printUid) { .unsigned(UInt64($0.event.uid)) },
      Column("PID", width: 6) { .unsigned(UInt64($0.event.pid)) },
      Column("TID", width: 6, inTable: false) { .unsigned(UInt64($0.event.tid)) },
      Column("COMM", width: 16) { .text($0.command) },
      Column("FD", width: 3, alignment: .right) { .integer(Int64(max($0.event.result, -1))) },
      Column("ERR", key: "errno", width: 3, alignment: .right) { .integer(Int64(max(-$0.event.result, 0))) },
      Column("FLAGS", width: 8, style: .octal, inTable: extended) { .unsigned(UInt64($0.event.flags)) },
      Column("MODE", width: 5, style: .octal, inTable: extended) { .unsigned(UInt64($0.event.mode)) },
      Column("PATH", width: callers ? 40 : 0) { $0.event.path_length > 0 ? .text($0.path) : .none },
      Column("CALLERS", width: 0, inTable: callers, inRecords: callers) { .texts($0.callers) },
    ]
  }
}
