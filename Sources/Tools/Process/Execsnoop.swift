package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
package import Linux

/// Prints each new program: who started it, with which arguments.
///
/// Overhead: one hook at exec, and with `-x` one at the end of system calls.
package struct Execsnoop: EventTool {
  package static let configuration = CommandConfiguration(
    commandName: "execsnoop", abstract: "Trace execve and execveat: new programs with all their arguments.",
    discussion: """
      Arguments are never cut, unless --max-args says so; what could not be read
      is marked with '...'.

      Overhead: about 1.5 us for each new program; with -x also 0.03 us for any
      other system call.

      Example: every attempt to start a program, failed ones too, with the time
        swtrace execsnoop -x -T
      """)

  package static let activity = "tracing new programs"
  package static let uidLetter: Character? = "u"
  package static let cgroupLetter: Character? = "c"

  @OptionGroup package var session: SessionOptions<Execsnoop>
  @Flag(name: [.customShort("T"), .customLong("time")], help: "Print the time of day.") var time = false
  @Flag(name: [.customShort("t"), .long], help: "Print the seconds since the start.") var timestamp = false
  @Flag(name: [.customShort("x"), .customLong("fails")], help: "Failed calls too.") var fails = false
  @Flag(name: [.customShort("U"), .long], help: "Print the user id.") var printUid = false
  @Flag(name: [.customShort("C"), .customLong("print-cpu")], help: "Print the processor.") var printCPU = false
  @Flag(name: [.customShort("M"), .customLong("print-pcomm")], help: "Print the parent's name.") var printParent = false
  @Flag(name: [.customShort("q"), .long], help: "Print each argument in quotes.") var quote = false
  @Option(name: [.customShort("n"), .long], help: "Only commands whose name contains this.") var name: String?
  @Option(name: [.customShort("l"), .long], help: "Only commands whose arguments, joined by spaces, contain this.") var line: String?
  @Option(name: [.customShort("P"), .long], help: ArgumentHelp("Only programs started by this process.", valueName: "pid")) var ppid:
    UInt32?
  @Option(help: ArgumentHelp("Print so many arguments; the default is all.", valueName: "number")) var maxArgs: Int?

  private var pieces = Pieces()

  private enum CodingKeys: String, CodingKey {
    case session, time, timestamp, fails, printUid, printCPU, printParent, quote, name, line, ppid, maxArgs
  }

  package init() {}

  package mutating func validate() throws {
    if let maxArgs, maxArgs < 1 { throw ValidationError("--max-args must be at least 1") }
  }

  package var hooks: [Hook] {
    let success = Hook("new programs", ["exec_btf", "exec_raw"])
    return fails ? [success, Hook("the end of system calls", ["failed_btf", "failed_raw"])] : [success]
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    // One exec has up to 2 MiB of arguments; the reader empties the ring while they are being sent.
    try probe.resize("events", to: 1 << 21)
  }

  /// One call.
  package struct Row {
    var event: execsnoop_event
    var time: Int64
    var elapsed: Int64
    var command: Text
    var path: Text
    /// As the program was given them, the name it was called by first.
    var arguments: [Text]
    var isComplete: Bool

    /// What a table shows: the path in the place of the name, as BCC has it. A script's arguments have the path already.
    var line: [Text] {
      let isScript = event.flags & UInt32(EXECSNOOP_INTERPRETED) != 0
      var line = arguments
      if !path.isEmpty, !isScript || line.isEmpty {
        if line.isEmpty { line = [path] } else { line[0] = path }
      }
      return line
    }

    func shown(quoted: Bool) -> [Text] { (quoted ? line.map(\.quoted) : line) + (isComplete ? [] : [Text("...")]) }
  }

  package mutating func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    if pieces.keep(record) { return nil }
    let event = record.header(execsnoop_event.self)
    let text = record.extracting(droppingFirst: MemoryLayout<execsnoop_event>.size)
    var bytes = event.pieces_length > 0 ? pieces.take(pid: event.pid, time: event.time_ns) : []
    // Bytes that could not be read are missing in the pieces; a piece itself cannot be.
    var isComplete = event.flags & UInt32(EXECSNOOP_ARGUMENTS_CUT) == 0 && bytes.count == Int(event.pieces_length)
    let offset = min(Int(event.arguments_offset), text.byteCount)
    bytes.append(text.extracting(droppingFirst: offset), count: Int(event.arguments_length))
    var arguments = Text.zeroSeparated(bytes)
    if let maxArgs, arguments.count > maxArgs {
      arguments.removeLast(arguments.count - maxArgs)
      isComplete = false
    }
    return Row(
      event: event, time: clock.unix(event.time_ns), elapsed: Int64(event.time_ns) - Int64(clock.start), command: Text(comm: event.comm),
      path: Text(zeroTerminated: text.extracting(first: min(Int(event.path_length), offset))), arguments: arguments, isComplete: isComplete)
  }

  package func isWanted(_ row: Row) -> Bool {
    if let ppid, row.event.parent_pid != ppid { return false }
    if let name, !row.command.bytes.has(name.utf8) { return false }
    if let line, !Array(row.line.map(\.bytes).joined(separator: [0x20])).has(line.utf8) { return false }
    return true
  }

  package var columns: [Column<Row>] {
    let quote = quote
    return [
      Column("TIME", key: "time_unix_ns", width: 8, style: .clock, inTable: time) { .integer($0.time) },
      Column("TIME(s)", key: "elapsed_ns", width: 8, style: .scaled(by: 1_000_000_000, decimals: 3), inTable: timestamp) {
        .integer($0.elapsed)
      },
      Column("UID", width: 6, inTable: printUid) { .unsigned(UInt64($0.event.uid)) },
      Column("CPU", width: 3, inTable: printCPU) { .unsigned(UInt64($0.event.cpu)) },
      Column("PCOMM", key: "comm", width: 16) { .text($0.command) },
      Column("PID", width: 7) { .unsigned(UInt64($0.event.pid)) },
      Column("PPID", width: 7) { .unsigned(UInt64($0.event.parent_pid)) },
      Column("PARENT", key: "parent_comm", width: 16, inTable: printParent) { .text(Text(comm: $0.event.parent_comm)) },
      Column("RET", width: 3, alignment: .right) { .integer(Int64($0.event.result)) },
      Column("PATH", width: 0, inTable: false) { $0.event.path_length > 0 ? .text($0.path) : .none },
      // One column for people, one for programs: only the first has BCC's path in the place of the name.
      Column("ARGS", width: 0, inRecords: false) { .texts($0.shown(quoted: quote)) },
      Column("ARGS", key: "args", width: 0, inTable: false) { .texts($0.arguments) },
      Column("COMPLETE", key: "args_complete", width: 0, inTable: false) { .flag($0.isComplete) },
    ]
  }
}

extension Text {
  /// The texts that each end with a zero; the last one may lack it.
  static func zeroSeparated(_ bytes: [UInt8]) -> [Text] {
    var parts = bytes.split(separator: 0, omittingEmptySubsequences: false).map { Text(Array($0)) }
    if bytes.isEmpty || bytes.last == 0 { parts.removeLast() }
    return parts
  }

  /// In double quotes; those inside and backslashes are escaped.
  var quoted: Text {
    Text([0x22] + bytes.flatMap { $0 == 0x22 || $0 == 0x5c ? [0x5c, $0] : [$0] } + [0x22])
  }
}
