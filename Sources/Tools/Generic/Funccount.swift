package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux

/// Counts calls of functions, and hits of tracepoints and static probes.
package struct Funccount: CountTool {
  package static let configuration = CommandConfiguration(
    commandName: "funccount", abstract: "Count calls of functions, tracepoints and static probes.",
    discussion: """
      Targets: vfs_read (kernel), c:malloc or /usr/bin/x:main (user),
      t:sched:sched_switch (tracepoint), u:stdc++:libstdcxx:throw (static probe,
      USDT). Patterns: vfs_*, c:str*.

      Overhead: about 0.1 us for each call of a kernel function or tracepoint, and
      1.7 us for each call of a user function: it traps into the kernel.

      Example: which of the C library's string functions a command calls
        swtrace funccount 'c:str*' -- ls -l
      """)

  package static let activity = "counting"
  package static let durationLetter: Character? = "d"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup var options: TargetOptions
  @OptionGroup package var session: SessionOptions<Funccount>
  @Option(
    name: [.customShort("i"), .customLong("interval")], help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "time"))
  var every: TimeSpan?
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") var timestamp = false
  @Option(name: [.customShort("c"), .long], help: "Only hits on this processor.") var cpu: UInt32?

  package init() {}

  private var targets: Targets?

  private enum CodingKeys: String, CodingKey { case options, session, every, timestamp, cpu }

  package static let exampleArguments = ["vfs_read,t:sched:sched_switch"]

  package var hooks: [Hook] { targets?.hooks(returns: false) ?? [] }

  package mutating func prepare() throws {
    targets = try options.resolve(tool: Self.name, process: session.pid.flatMap { $0.ids.count == 1 ? $0.ids[0] : nil })
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", generic_config(cpu: cpu ?? 0, has_cpu: cpu == nil ? 0 : 1, keyed: 0, reserved: (0, 0)))
    guard let targets else { return }
    try probe.resize("calls", to: 2 * targets.found.count)
    try targets.configure(&probe, programs)
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    try targets?.attach(probe, programs, &links) ?? []
  }

  package var interval: UInt64? { every?.nanoseconds }
  package func timeLine(_ time: String) -> String? { timestamp ? time : nil }

  package struct Row {
    var name: String
    var count: UInt64
  }

  package let columns: [Column<Row>] = [
    Column("FUNC", key: "function", width: 36) { .string($0.name) },
    Column("COUNT", key: "count", width: 8, alignment: .right) { .unsigned($0.count) },
  ]

  package func open(_ probe: borrowing LoadedProbe) throws -> TargetCounts {
    try TargetCounts(probe, targets: targets?.found.count ?? 0)
  }

  package func take(_ counts: inout TargetCounts, copy: UInt32) throws -> (rows: [Row], events: UInt64) {
    let found = targets?.found ?? []
    let rows = counts.take(copy: copy).map { Row(name: found[$0.target].name, count: $0.count) }
    return (rows, rows.reduce(0) { $0 + $1.count })
  }
}

/// Reads the counts of an interval that has ended.
package struct TargetCounts {
  private let calls: ProbeMap<UInt32, UInt64>
  /// What has been read from each copy; counts only grow, so that a late hit is never lost to a clearing.
  private var known: [UInt64]

  init(_ probe: borrowing LoadedProbe, targets: Int) throws(BPFError) {
    calls = try probe.map("calls")
    known = [UInt64](repeating: 0, count: 2 * targets)
  }

  /// The targets that were hit, in ascending order of their counts, as BCC prints them.
  mutating func take(copy: UInt32) -> [(target: Int, count: UInt64)] {
    var result: [(target: Int, count: UInt64)] = []
    for target in 0..<known.count / 2 {
      let index = 2 * target + Int(copy)
      let sum = calls.values(of: UInt32(index)).reduce(0, &+)
      if sum != known[index] { result.append((target, sum &- known[index])) }
      known[index] = sum
    }
    return result.sorted { ($0.count, $0.target) < ($1.count, $1.target) }
  }
}
