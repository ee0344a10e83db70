package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
package import Linux

/// Prints each TCP retransmission: of one segment, or of several that lie in one buffer.
///
/// Overhead: two hooks at retransmissions only.
package struct Tcpretrans: EventTool {
  package static let configuration = CommandConfiguration(
    commandName: "tcpretrans", abstract: "Trace TCP retransmissions: connection, reason, state, owner.",
    discussion: """
      TYPE is timeout (the timer, and what follows it), fast (acknowledgements showed
      the loss), probe (of a flight's last segment), syn-ack, or other. SEGS are the
      segments: what the kernel sends at once can be several, which the device cuts
      apart. They add up to the kernel's TcpRetransSegs (nstat). ERR is not 0 where
      nothing could be sent; older kernels (6.12) do not tell of those.

      Timers and interrupts send again, so processes cannot be chosen: --pid, --tid,
      --comm and a command are refused; --uid and --cgroup are those of the socket.

      Overhead: about 3.1 us for each retransmission.

      Example: what goes wrong with connections to a database, with its bytes
        swtrace tcpretrans -P 5432 -s
      """)

  package static let activity = "tracing retransmissions"
  package static let pidLetter: Character? = nil

  @OptionGroup package var session: SessionOptions<Tcpretrans>
  @Flag(name: [.customShort("s"), .long], help: "Print sequence numbers and lengths.") var sequence = false
  @OptionGroup var ends: ConnectionOptions

  /// Paths of cgroups by their ids; none of those that are gone.
  private var cgroups: [UInt64: String?] = [:]
  /// Paths that are kept; more have come and gone in a long run.
  private static let cgroupsLimit = 4096

  private enum CodingKeys: String, CodingKey { case session, sequence, ends }

  package init() {}

  package mutating func prepare() throws { try session.refuseTasks(tool: Self.name, other: "port or address") }

  package var hooks: [Hook] {
    [
      Hook(
        "retransmissions",
        ["segment_outcome_btf", Hook.Variant("segment_btf", lacking: "retransmissions that could not be sent"), "segment_raw"]),
      Hook("retransmissions of listeners", ["answer_btf", "answer_raw"]),
    ]
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", tcpretrans_config(ends: ends.filter))
  }

  /// One retransmission.
  package struct Row {
    var event: tcpretrans_event
    var time: Int64
    var cgroup: String?

    /// Of the socket or the listener; 0 for not known.
    package var cgroupID: UInt64 { event.cgroup_id }
    /// Whether it was sent, and did not fail.
    package var wasSent: Bool { event.error == 0 }
    /// Segments that it had, as the kernel counts them.
    package var segments: UInt64 { UInt64(event.segments) }

    /// What led to it, in one word.
    package var kind: String {
      switch tcpretrans_kind(UInt32(event.kind)) {
      case TCPRETRANS_TIMEOUT: "timeout"
      case TCPRETRANS_FAST: "fast"
      case TCPRETRANS_PROBE: "probe"
      case TCPRETRANS_SYN_ACK: "syn-ack"
      default: "other"
      }
    }

    /// By include/net/tcp_states.h; the number where there is no name.
    var state: String {
      let names = [
        "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN",
        "CLOSING", "NEW_SYN_RECV",
      ]
      return (1...names.count).contains(Int(event.state)) ? names[Int(event.state) - 1] : "\(event.state)"
    }
  }

  package mutating func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    let event = record.header(tcpretrans_event.self)
    let id = event.cgroup_id
    // A connection that has trouble has it again and again.
    if cgroups[id] == nil, cgroups.count >= Self.cgroupsLimit { cgroups = [:] }
    if cgroups[id] == nil { cgroups[id] = .some(id == 0 ? nil : ControlGroup.path(of: id)) }
    return Row(event: event, time: clock.unix(event.time_ns), cgroup: cgroups[id] ?? nil)
  }

  package var columns: [Column<Row>] {
    [
      Column("TIME", key: "time_unix_ns", width: 8, style: .clock) { .integer($0.time) },
      Column("UID", width: 6) { .unsigned(UInt64($0.event.uid)) },
      Column("IP", width: 2) { .integer(Int64($0.event.connection.remoteAddress.version)) },
      Column("LADDR", key: "local_address", width: 15) { .text($0.event.connection.localAddress.text) },
      Column("LPORT", key: "local_port", width: 5) { portCell($0.event.connection.local_port) },
      Column("RADDR", key: "remote_address", width: 15) { .text($0.event.connection.remoteAddress.text) },
      Column("RPORT", key: "remote_port", width: 5) { portCell($0.event.connection.remote_port) },
      Column("TYPE", width: 7) { .string($0.kind) },
      Column("STATE", width: 12) { .string($0.state) },
      Column("SEGS", key: "segments", width: 4, alignment: .right) { .unsigned($0.segments) },
      Column("SEQ", key: "sequence", width: 10, inTable: sequence) { .unsigned(UInt64($0.event.sequence)) },
      Column("LEN", key: "length", width: 6, inTable: sequence) { .unsigned(UInt64($0.event.length)) },
      Column("ERR", key: "errno", width: 3, alignment: .right) { .integer(Int64($0.event.error)) },
      Column("CGROUP", width: 0) { $0.cgroup.map { .string($0) } ?? .none },
    ]
  }
}
