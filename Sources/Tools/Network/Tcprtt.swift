package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux

/// Shows the smoothed round-trip times of TCP connections.
package struct Tcprtt: HistogramTool {
  package static let configuration = CommandConfiguration(
    commandName: "tcprtt", abstract: "Show the smoothed round-trip times of TCP connections.",
    discussion: """
      One value for each segment that an established connection receives: the
      smoothed round-trip time (SRTT) that the kernel had for it before that segment.
      A busy connection has more values than a quiet one; --connections keeps them
      apart.

      Segments arrive in interrupts, so processes cannot be chosen: --pid, --tid,
      --comm and a command are refused; --uid and --cgroup are those of the socket.

      Overhead: about 0.2 us for each segment that is received, 0.3 us with more than
      one histogram.

      Example: each second, connections to port 443 by remote address
        swtrace tcprtt -i 1 -P 443 -B
      """)

  package static let activity = "measuring round-trip times"
  package static let pidLetter: Character? = nil
  package static let durationLetter: Character? = "d"

  @OptionGroup package var session: SessionOptions<Tcprtt>
  @Option(name: [.customShort("i"), .long], help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "time"))
  var interval: TimeSpan?
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") package var timestamp = false
  @Flag(name: [.customShort("m"), .long, .customLong("millisecond")], help: "Histogram in milliseconds.") var milliseconds = false
  @OptionGroup var ends: ConnectionOptions
  @Flag(name: [.customShort("b"), .customLong("byladdr")], help: "A histogram for each local address.") var perLocal = false
  @Flag(name: [.customShort("B"), .customLong("byraddr")], help: "A histogram for each remote address.") var perRemote = false
  @Flag(name: .long, help: "A histogram for each connection.") var connections = false
  @Flag(name: .long, help: "A histogram for each cgroup.") var cgroups = false

  /// What keys stand for: read at the end of this interval, and of the one before.
  ///
  /// The kernel's map is emptied each time, so that it never fills up over the days. A probe that had found its key in it just then adds
  /// to the next interval without putting the key there again.
  private var groups: [UInt64: swtrace_connection] = [:]
  private var earlierGroups: [UInt64: swtrace_connection] = [:]

  private enum CodingKeys: String, CodingKey {
    case session, interval, timestamp, milliseconds, ends, perLocal, perRemote, connections, cgroups
  }

  package init() {}

  package mutating func validate() throws {
    if cgroups, perLocal || perRemote || connections {
      throw ValidationError("--cgroups and --byladdr, --byraddr or --connections exclude each other")
    }
  }

  package mutating func prepare() throws { try session.refuseTasks(tool: Self.name, other: "port or address") }

  package var hooks: [Hook] { [Hook("the arrival of segments", ["segment_btf", "segment_raw"])] }
  package var schedule: IntervalOptions { IntervalOptions(every: interval) }
  package var unit: HistogramUnit { milliseconds ? .milliseconds : .microseconds }
  package var isKeyed: Bool { parts != 0 }

  private var parts: UInt32 {
    (perLocal || connections ? TCPRTT_LOCAL_ADDRESS.rawValue : 0) | (perRemote || connections ? TCPRTT_REMOTE_ADDRESS.rawValue : 0)
      | (connections ? TCPRTT_PORTS.rawValue : 0) | (cgroups ? TCPRTT_CGROUP.rawValue : 0)
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config", tcprtt_config(ends: ends.filter, parts: UInt8(parts), reserved: (0, 0, 0, 0, 0, 0, 0)))
    // As many as there can be histograms with a single slot; 1 MB.
    if isKeyed, !cgroups { try probe.resize("groups", to: 8192) }
  }

  package mutating func readKeys(_ probe: borrowing LoadedProbe) throws(BPFError) {
    guard isKeyed, !cgroups else { return }
    let map: ProbeMap<UInt64, swtrace_connection> = try probe.map("groups")
    earlierGroups = groups
    groups = [:]
    for key in map.keys() {
      groups[key] = map[key]
      map.remove(key)
    }
  }

  /// The parts of a key, each with its name in tables and in records.
  private func parts(of key: UInt64) -> [KeyPart] {
    if cgroups { return cgroupParts(key) }
    let group = groups[key] ?? earlierGroups[key]
    var parts: [KeyPart] = []
    if perLocal || connections { parts.append(("laddr", "local_address", group.map { .text($0.localAddress.text) } ?? .none)) }
    if connections { parts.append(("lport", "local_port", group.map { portCell($0.local_port) } ?? .none)) }
    if perRemote || connections { parts.append(("raddr", "remote_address", group.map { .text($0.remoteAddress.text) } ?? .none)) }
    if connections { parts.append(("rport", "remote_port", group.map { portCell($0.remote_port) } ?? .none)) }
    return parts
  }

  package func title(_ entry: KeyedHistogram) -> [UInt8] { isKeyed ? keyTitle(parts(of: entry.key)) : [] }

  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] { isKeyed ? parts(of: entry.key).map { ($0.label, $0.value) } : [] }
}
