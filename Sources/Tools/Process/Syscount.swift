package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux
package import Profiles

/// Counts system calls by kind or by process.
///
/// Overhead: one hook at the end of system calls, and with `-L` one at their begin.
package struct Syscount: CountTool {
  package static let configuration = CommandConfiguration(
    commandName: "syscount", abstract: "Count system calls, their errors and, with -L, their latency.",
    discussion: """
      Calls of 32-bit programs print as compat_N, numbers without a name as
      syscall_N. With -L, only calls that begin and end while tracing are counted.

      Overhead: about 0.08 us for each system call, with -L 0.26 us.

      Example: each second, which calls of a process fail with ENOENT
        swtrace syscount -p 1234 -e ENOENT -i 1
      """)

  package static let activity = "counting system calls"
  package static let cgroupLetter: Character? = "c"
  package static let durationLetter: Character? = "d"

  @OptionGroup package var session: SessionOptions<Syscount>
  @Option(
    name: [.customShort("i"), .customLong("interval")], help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "time"))
  var period: TimeSpan?
  @Option(
    name: [.customShort("T"), .customLong("top")], help: ArgumentHelp("Rows of each table. JSON and CSV have all.", valueName: "number"))
  var rows = 10
  @Flag(name: [.customShort("x"), .long], help: "Only calls that failed.") var failures = false
  @Option(name: [.customShort("e"), .long], help: ArgumentHelp("Only calls that failed with this error: ENOENT, 2.", valueName: "error"))
  var errno: String?
  @Flag(name: [.customShort("L"), .long], help: "Measure latency, and sort by the time spent.") var latency = false
  @Flag(name: [.customShort("m"), .long], help: "Times in milliseconds.") var milliseconds = false
  @Flag(name: [.customShort("P"), .customLong("process")], help: "Count by process.") var byProcess = false
  @Flag(name: [.customShort("l"), .long], help: "List the system calls that have names, and end.") var list = false
  @Option(help: ArgumentHelp("Processes, or unusual numbers, that can be counted in one interval.", valueName: "number"))
  var maxKeys = 2048

  package init() {}

  package mutating func validate() throws {
    if rows < 1 { throw ValidationError("--top must be at least 1") }
    if !(1...1_000_000).contains(maxKeys) { throw ValidationError("--max-keys must be from 1 to 1000000") }
    if let errno, error == nil { throw ValidationError("no error is called '\(errno)'; see errno(3)") }
  }

  private var error: Int32? {
    errno.flatMap { text in Int32(text).flatMap { (1...4095).contains($0) ? $0 : nil } ?? KernelNames.error(named: text) }
  }

  package mutating func run() throws {
    guard list else { return try count() }
    for (number, name) in SyscallNames.all { print("\("\(number)".leftPadded(to: 3)): \(name)") }
  }

  package var hooks: [Hook] {
    let end = Hook("the end of system calls", ["exit_btf", "exit_raw"])
    guard latency else { return [end] }
    return [end, Hook("the begin of system calls", ["enter_btf", "enter_raw"]), Hook("the end of threads", ["end_btf", "end_raw"])]
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config",
      syscount_config(
        error: UInt32(error ?? 0), failed_only: failures ? 1 : 0, by_process: byProcess ? 1 : 0, latency: latency ? 1 : 0, reserved: 0))
    // Two intervals can be in the map at once.
    try probe.resize("named_cells", to: byProcess ? 2 * maxKeys : min(2 * maxKeys, 512))
    try probe.resize("slots", to: latency ? 12288 : 1)
    if !latency { try Starts.leaveOut(of: &probe) }
  }

  package var interval: UInt64? { period?.nanoseconds }
  package var top: Int? { rows }

  /// A system call or a process.
  package struct Row {
    var id: UInt64
    var command: Text
    var cell: syscount_cell
    /// With `-L`, in nanoseconds.
    package var latencies: Histogram

    package var errors: UInt64 { cell.errors }
    /// The system call, where those are counted.
    package var name: String { SyscallNames.name(number, isCompat: isCompat) }
    var number: Int { Int(Int32(truncatingIfNeeded: id)) }
    var isCompat: Bool { id & SYSCOUNT_COMPAT != 0 }
  }

  package struct Counts {
    var cells: ProbeMap<UInt32, syscount_cell>
    var named: ProbeMap<syscount_key, syscount_named_cell>
    var slots: ProbeMap<syscount_slot, UInt64>
  }

  package func open(_ probe: borrowing LoadedProbe) throws -> Counts {
    Counts(cells: try probe.map("cells"), named: try probe.map("named_cells"), slots: try probe.map("slots"))
  }

  package func take(_ counts: inout Counts, copy: UInt32) throws -> (rows: [Row], events: UInt64) {
    var rows: [Row] = []
    if !byProcess {
      for number in 0..<UInt32(SYSCOUNT_NUMBERS) {
        let index = copy * UInt32(SYSCOUNT_NUMBERS) + number
        let cell = counts.cells.values(of: index).reduce(into: syscount_cell()) { $0.add($1) }
        guard cell.count > 0 || cell.total_ns > 0 else { continue }
        try counts.cells.set(index, syscount_cell())
        rows.append(Row(id: UInt64(number), command: Text([]), cell: cell, latencies: Histogram()))
      }
    }
    for key in counts.named.keys() where key.copy == copy {
      guard let named = counts.named[key] else { continue }
      counts.named.remove(key)
      rows.append(Row(id: key.id, command: Text(comm: named.comm), cell: named.cell, latencies: Histogram()))
    }
    if latency { takeLatencies(counts, copy, &rows) }
    rows.removeAll { $0.cell.count == 0 }
    rows.sort {
      (latency ? $0.cell.total_ns : 0, $0.cell.count, $1.id) > (latency ? $1.cell.total_ns : 0, $1.cell.count, $0.id)
    }
    return (rows, rows.reduce(0) { $0 + $1.cell.count })
  }

  private func takeLatencies(_ counts: Counts, _ copy: UInt32, _ rows: inout [Row]) {
    let positions = Dictionary(rows.indices.map { (rows[$0].id, $0) }) { first, _ in first }
    for key in counts.slots.keys() where key.copy == copy {
      guard let count = counts.slots[key], let position = positions[key.id] else { continue }
      counts.slots.remove(key)
      rows[position].latencies.buckets.append(Histogram.bucket(slot: Int(key.slot), count: count))
    }
    for index in rows.indices {
      rows[index].latencies.buckets.sort { $0.low < $1.low }
      rows[index].latencies.sum = rows[index].cell.total_ns
      rows[index].latencies.maximum = rows[index].cell.maximum_ns
      rows[index].latencies.raiseMaximum(unit: 1)
      rows[index].cell.maximum_ns = rows[index].latencies.maximum
    }
  }

  package var columns: [Column<Row>] {
    var columns: [Column<Row>] =
      byProcess
      ? [
        Column("PID", width: 7) { .unsigned($0.id) }, Column("COMM", width: 16) { .text($0.command) },
      ]
      : [
        Column("SYSCALL", width: 22) { .string($0.name) },
        Column("NUMBER", key: "syscall_number", width: 0, inTable: false) { .integer(Int64($0.number)) },
        Column("COMPAT", width: 0, inTable: false) { .flag($0.isCompat) },
      ]
    columns.append(Column("COUNT", width: 10, alignment: .right) { .unsigned($0.cell.count) })
    if latency {
      columns += [
        time("TIME", "total_ns") { .unsigned($0.cell.total_ns) },
        Column("ERRORS", width: 8, alignment: .right) { .unsigned($0.cell.errors) },
        time("AVG", "average_ns") { .unsigned($0.cell.total_ns / max($0.cell.count, 1)) },
        time("P99", "p99_ns") { row in
          row.latencies.quantile(0.99, maximum: Double(row.cell.maximum_ns)).map { .unsigned(UInt64($0)) } ?? .none
        },
        time("MAX", "max_ns") { .unsigned($0.cell.maximum_ns) },
      ]
    } else {
      columns.append(Column("ERRORS", width: 8, alignment: .right) { .unsigned($0.cell.errors) })
    }
    return columns
  }

  private func time(_ title: String, _ key: String, _ value: @escaping @Sendable (Row) -> Cell) -> Column<Row> {
    let unit = milliseconds ? "ms" : "us"
    return Column(
      "\(title) (\(unit))", key: key, width: 14, alignment: .right, style: .scaled(by: milliseconds ? 1_000_000 : 1_000, decimals: 3),
      value: value)
  }
}

extension syscount_cell {
  /// Adds what another processor counted.
  fileprivate mutating func add(_ other: syscount_cell) {
    count += other.count
    errors += other.errors
    total_ns += other.total_ns
    maximum_ns = max(maximum_ns, other.maximum_ns)
  }
}
