package import ArgumentParser
package import BPF
internal import CProbes
internal import Formats
internal import Linux

/// Counts calls of functions, and hits of tracepoints and static probes.
package struct Funccount: Tool {
  package static let configuration = CommandConfiguration(
    commandName: "funccount", abstract: "Count calls of functions, tracepoints and static probes.",
    discussion: """
      Targets: vfs_read (kernel), c:malloc or /usr/bin/x:main (user), t:sched:sched_switch
      (tracepoint), u:c:libc:setjmp (static probe, USDT). Patterns: vfs_*, c:str*.

      Overhead: about 0.1 us for each call of a kernel function or tracepoint, and 1 to
      2 us for each call of a user function: it traps into the kernel.

      Example: which of the C library's string functions a command calls
        swtrace funccount 'c:str*' -- ls -l
      """)

  package static let activity = "counting"
  package static let durationLetter: Character? = "d"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup var options: TargetOptions
  @OptionGroup package var session: SessionOptions<Funccount>
  @Option(name: [.customShort("i"), .long], help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "time"))
  var interval: TimeSpan?
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") var timestamp = false
  @Option(name: [.customShort("c"), .long], help: "Only hits on this processor.") var cpu: UInt32?

  package init() {}

  private var targets: Targets?

  private enum CodingKeys: String, CodingKey { case options, session, interval, timestamp, cpu }

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

  private struct Row {
    var time: Int64
    var name: String
    var count: UInt64
  }

  private static let columns: [Column<Row>] = [
    Column("TIME", key: "time_unix_ns", width: 0, inTable: false) { .integer($0.time) },
    Column("FUNC", key: "function", width: 36) { .string($0.name) },
    Column("COUNT", key: "count", width: 8, alignment: .right) { .unsigned($0.count) },
  ]

  package mutating func run() throws {
    let settings = try session.settings(tool: Self.name)
    let destinations = try settings.destinations(allowed: [.table, .json, .csv])
    guard destinations.count == 1 else { throw ToolError("\(Self.name) writes to one file; it prints while it runs") }
    let (path, format) = destinations[0]
    try prepare()
    let tool = self
    let targets = targets?.found ?? []
    var output = try Output(path: path)
    var running = try Session(
      Plan(
        image: .named(Self.probe), hooks: hooks,
        configure: { (probe, programs) throws(BPFError) in try tool.configure(&probe, programs) },
        attach: { (probe, programs, links) throws(BPFError) in try tool.attach(probe, programs, &links) },
        activity: Self.activity),
      settings, interval: interval?.nanoseconds, watching: output)
    var counts = try TargetCounts(running.attachment.probe, targets: targets.count)
    let columns = Self.columns
    let writer = RowWriter(format == .json ? .json : format == .csv ? .csv : .table, columns: columns.map(\.layout), kind: "count")
    if format == .csv { writer.writeHeader(into: &output.buffer) }
    while let turn = running.next(output) {
      if turn == .tick { continue }
      let (report, copy) = try running.closeInterval()
      let now = Int64(Clock.realtime)
      if format == .table {
        output.buffer.append(0x0a)
        if timestamp { output.buffer.append(contentsOf: Self.clock(now) + [0x0a]) }
        writer.writeHeader(into: &output.buffer)
      }
      for (target, count) in counts.take(copy: copy) {
        let row = Row(time: now, name: targets[target].name, count: count)
        writer.write(into: &output.buffer) { columns[$0].value(row) }
      }
      running.clearProgress()
      try output.flush()
      if turn == .interval, settings.stats { complain("swtrace \(settings.tool): \(report.line)") }
    }
    try running.conclude(try running.finish(), &output, format)
  }

  private static func clock(_ now: Int64) -> [UInt8] {
    let (hour, minute, second) = Clock.localTime(now)
    return Array([hour, minute, second].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":").utf8)
  }
}

/// Reads the counts of an interval that has ended.
struct TargetCounts {
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
