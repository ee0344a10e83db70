package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux

/// Counts page faults by process, thread, name or cgroup.
///
/// Overhead: one hook at each page fault.
package struct Faults: CountTool {
  package static let configuration = CommandConfiguration(
    commandName: "faults", abstract: "Count page faults, major and minor, by process.",
    discussion: """
      A major fault has to read its page from disk: of a file, or from swap. A minor
      one finds it in memory, or takes a new one. Each counts once, when it is
      resolved, in the task that has it; so do faults in system calls, as read(2) to
      a new buffer. Pages that the kernel pins do not count.

      Overhead: about 0.25 us for each page fault.

      Example: each second, the processes that wait for pages
        swtrace faults -m -i 1
      """)

  package static let activity = "counting page faults"
  package static let cgroupLetter: Character? = "c"
  package static let durationLetter: Character? = "d"

  @OptionGroup package var session: SessionOptions<Faults>
  @Option(
    name: [.customShort("i"), .customLong("interval")], help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "time"))
  var period: TimeSpan?
  @Option(
    name: [.customShort("T"), .customLong("top")], help: ArgumentHelp("Rows of each table. JSON and CSV have all.", valueName: "number"))
  var rows = 10
  @Flag(name: [.customShort("m"), .long], help: "Count major faults only.") var major = false
  @Flag(name: [.customShort("L"), .customLong("threads")], help: "Count by thread.") var byThread = false
  @Flag(name: [.customShort("n"), .customLong("comms")], help: "Count by command name.") var byComm = false
  @Flag(name: .customLong("cgroups"), help: "Count by cgroup.") var byCgroup = false
  @Option(help: ArgumentHelp("Processes, or what else is counted by, in one interval.", valueName: "number"))
  var maxKeys = 4096

  package init() {}

  package mutating func validate() throws {
    if rows < 1 { throw ValidationError("--top must be at least 1") }
    if !(1...1_000_000).contains(maxKeys) { throw ValidationError("--max-keys must be from 1 to 1000000") }
    if [byThread, byComm, byCgroup].count(where: { $0 }) > 1 {
      throw ValidationError("--threads, --comms and --cgroups exclude each other")
    }
  }

  package var hooks: [Hook] {
    let majors = Hook("major page faults", ["major"], attachedByTool: true)
    return major ? [majors] : [majors, Hook("minor page faults", ["minor"], attachedByTool: true)]
  }

  private var key: faults_by {
    byThread ? FAULTS_BY_THREAD : byComm ? FAULTS_BY_COMM : byCgroup ? FAULTS_BY_CGROUP : FAULTS_BY_PROCESS
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", faults_config(by: key.rawValue, reserved: 0))
    // Two intervals can be in the map at once.
    try probe.resize("cells", to: 2 * maxKeys)
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    var remarks: [String] = []
    for program in programs.prefix(hooks.count).compactMap(\.self) {
      remarks = try probe.attach(program, processors: Processors.online, &links, doing: "count page faults of") {
        processor throws(SystemError) in try PerfEvent.pageFaults(processor: processor, areMajor: program == "major")
      }
    }
    return remarks
  }

  package var interval: UInt64? { period?.nanoseconds }
  package var top: Int? { rows }

  /// A process, or what else is counted by.
  package struct Row {
    var key: faults_key
    var cell: faults_cell

    package var major: UInt64 { cell.major }
    package var minor: UInt64 { cell.minor }
    /// The id of the process, the thread or the cgroup that is counted.
    package var id: UInt64 { key.id }
  }

  package struct Counts { var cells: ProbeMap<faults_key, faults_cell> }

  package func open(_ probe: borrowing LoadedProbe) throws -> Counts { Counts(cells: try probe.map("cells")) }

  package func take(_ counts: inout Counts, copy: UInt32) throws -> (rows: [Row], events: UInt64) {
    var rows: [Row] = []
    for key in counts.cells.keys() where key.copy == copy {
      guard let cell = counts.cells[key] else { continue }
      counts.cells.remove(key)
      rows.append(Row(key: key, cell: cell))
    }
    rows.sort { ($0.cell.major, $0.cell.minor, $1.key.id) > ($1.cell.major, $1.cell.minor, $0.key.id) }
    return (rows, rows.reduce(0) { $0 + $1.cell.major + $1.cell.minor })
  }

  package var columns: [Column<Row>] {
    var columns: [Column<Row>] = []
    switch key {
    case FAULTS_BY_COMM: columns.append(Column("COMM", width: 16) { .text(Text(comm: $0.key.comm)) })
    case FAULTS_BY_CGROUP:
      columns += [
        Column("ID", key: "cgroup_id", width: 7, inTable: false) { .unsigned($0.key.id) },
        Column("CGROUP", width: 40) { ControlGroup.path(of: $0.key.id).map { .string($0) } ?? .none },
      ]
    default:
      columns += [
        Column(byThread ? "TID" : "PID", width: 7) { .unsigned($0.key.id) }, Column("COMM", width: 16) { .text(Text(comm: $0.cell.comm)) },
      ]
    }
    columns.append(Column("MAJOR", width: 10, alignment: .right) { .unsigned($0.cell.major) })
    if !major { columns.append(Column("MINOR", width: 10, alignment: .right) { .unsigned($0.cell.minor) }) }
    return columns
  }
}
