package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
package import Linux

/// Prints each TCP connect as it ends: how long it took, and whether it succeeded; at last those that have not ended.
///
/// Overhead: one hook at changes of the state of sockets, and one at the end of sockets.
package struct Tcpconnlat: EventTool, HistogramMeasuring {
  package static let configuration = CommandConfiguration(
    commandName: "tcpconnlat", abstract: "Trace TCP connects: latency, result, SYNs sent again.",
    discussion: """
      The time runs from the first SYN to its answer, to an error or to the last
      timeout. With TCP_FASTOPEN_CONNECT it runs from connect(2), although the SYN
      goes with the first data. The options that choose tasks test the task that
      connects.

      RESULT is connected, refused, timed out, closed (by the program itself, before
      there was an answer), failed (before a SYN: there is no free port), another
      error's name, or pending: no answer by the end of the trace, to which LAT runs.
      Connects to where there is no route fail before they begin, and are not seen.

      Overhead: about 2.3 us for each connection, if both its ends are here.

      Example: connects that took at least 10 ms, and those that failed
        swtrace tcpconnlat 10
        swtrace tcpconnlat -x -t
      """)

  package static let activity = "tracing connects"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @Argument(help: ArgumentHelp("Only connects that took at least so many milliseconds; or with a unit: 200us.", valueName: "min-ms"))
  var minimum: Milliseconds?
  @OptionGroup package var session: SessionOptions<Tcpconnlat>
  @Flag(name: [.customShort("t"), .long], help: "Print the time.") var timestamp = false
  @Flag(name: [.customShort("U"), .long], help: "Print the user id.") var printUid = false
  @Flag(name: [.customShort("L"), .customLong("lport")], help: "Print the local port.") var localPort = false
  @Flag(name: [.customShort("x"), .long], help: "Only connects that did not succeed.") var failed = false
  @Flag(name: [.customShort("4"), .customLong("ipv4")], help: "Only IPv4.") var ipv4 = false
  @Flag(name: [.customShort("6"), .customLong("ipv6")], help: "Only IPv6.") var ipv6 = false

  /// Whether latencies are added up by the socket's cgroup and the result, in nanoseconds, instead of an event each: for `HistogramRun`.
  package var addsUp = false
  package var unit: HistogramUnit { .nanoseconds }
  package var isKeyed: Bool { true }

  private enum CodingKeys: CodingKey { case minimum, session, timestamp, printUid, localPort, failed, ipv4, ipv6 }

  package init() {}

  package mutating func validate() throws {
    if ipv4, ipv6 { throw ValidationError("--ipv4 and --ipv6 exclude each other; without them both are traced") }
  }

  package var hooks: [Hook] {
    [
      Hook("the states of sockets", ["state_btf", "state_raw"]),
      Hook("the end of sockets", ["destroy_btf", "destroy_raw"], without: "the end of connects that the kernel does not show"),
    ]
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config",
      tcpconnlat_config(
        minimum_ns: minimum?.nanoseconds ?? 0, failed_only: failed ? 1 : 0, ip: ipv4 ? 4 : ipv6 ? 6 : 0, to_histogram: addsUp ? 1 : 0,
        reserved: (0, 0, 0, 0, 0)))
  }

  /// What a histogram's key stands for: the cgroup's id, 0 for not known, and how the connects ended.
  package static func owner(of key: UInt64) -> (cgroup: UInt64, result: String) {
    let result =
      switch tcpconnlat_result(UInt32(key & (1 << UInt64(TCPCONNLAT_RESULT_BITS) - 1))) {
      case TCPCONNLAT_CONNECTED: "connected"
      case TCPCONNLAT_CLOSED: "closed"
      default: "failed"
      }
    return (key >> UInt64(TCPCONNLAT_RESULT_BITS), result)
  }

  /// One connect.
  package struct Row {
    var event: tcpconnlat_event
    var time: Int64
    var command: Text

    /// Of those the kernel has told nothing since they began.
    var isPending: Bool { event.result == TCPCONNLAT_PENDING.rawValue }

    var result: String {
      switch tcpconnlat_result(event.result) {
      case TCPCONNLAT_CONNECTED: "connected"
      case TCPCONNLAT_CLOSED: "closed"
      case TCPCONNLAT_PENDING: "pending"
      default:
        switch KernelNames.error(event.error) {
        case "ECONNREFUSED": "refused"
        case "ETIMEDOUT": "timed out"
        case let name: event.error == 0 ? "failed" : name
        }
      }
    }
  }

  package func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    let event = record.header(tcpconnlat_event.self)
    return Row(event: event, time: clock.unix(event.time_ns), command: Text(comm: event.comm))
  }

  /// Those of which the end is still to come; what began after the end of the trace is no part of it.
  package func unfinished(_ probe: borrowing LoadedProbe, end: UInt64, _ clock: WallClock) throws -> [Row] {
    let connects: ProbeMap<UInt64, tcpconnlat_waiting> = try probe.map("connects")
    let waiting = connects.keys().compactMap { connects[$0] }.filter { $0.began_ns < end }
    return waiting.sorted { ($0.began_ns, $0.tid) < ($1.began_ns, $1.tid) }.map { one in
      let event = tcpconnlat_event(
        time_ns: end, took_ns: end - one.began_ns, connection: one.connection, pid: one.pid, tid: one.tid, uid: one.uid, error: 0,
        retransmits: 0, result: TCPCONNLAT_PENDING.rawValue, comm: one.comm)
      return Row(event: event, time: clock.unix(end), command: Text(comm: one.comm))
    }
  }

  /// The probe has tested those that ended.
  package func isWanted(_ row: Row) -> Bool { row.event.took_ns >= minimum?.nanoseconds ?? 0 }

  package var columns: [Column<Row>] {
    [
      Column("TIME", key: "time_unix_ns", width: 8, style: .clock, inTable: timestamp) { .integer($0.time) },
      Column("UID", width: 6, inTable: printUid) { .unsigned(UInt64($0.event.uid)) },
      Column("PID", width: 7) { .unsigned(UInt64($0.event.pid)) },
      Column("TID", width: 7, inTable: false) { .unsigned(UInt64($0.event.tid)) },
      Column("COMM", width: 16) { .text($0.command) },
      Column("IP", width: 2) { .integer(Int64($0.event.connection.remoteAddress.version)) },
      Column("SADDR", key: "local_address", width: 15) { .text($0.event.connection.localAddress.text) },
      Column("LPORT", key: "local_port", width: 5, inTable: localPort) { portCell($0.event.connection.local_port) },
      Column("DADDR", key: "remote_address", width: 15) { .text($0.event.connection.remoteAddress.text) },
      Column("DPORT", key: "remote_port", width: 5) { portCell($0.event.connection.remote_port) },
      Column("LAT(ms)", key: "latency_ns", width: 10, alignment: .right, style: .scaled(by: 1_000_000, decimals: 3)) {
        .unsigned($0.event.took_ns)
      },
      Column("RETR", key: "retransmits", width: 4, alignment: .right) {
        $0.isPending ? .none : .unsigned(UInt64($0.event.retransmits))
      },
      Column("RESULT", width: 0) { .string($0.result) },
      Column("ERRNO", width: 0, inTable: false) { .integer(Int64($0.event.error)) },
    ]
  }
}

/// A length of time that is in milliseconds unless it has a unit.
struct Milliseconds: ExpressibleByArgument, Codable, Sendable {
  var nanoseconds: UInt64

  init?(argument: String) {
    let hasUnit = argument.last.map { !$0.isNumber && $0 != "." } ?? true
    guard let time = TimeSpan(argument: hasUnit ? argument : argument + "ms") else { return nil }
    nanoseconds = time.nanoseconds
  }
}
