internal import ArgumentParser
package import BPF
package import Formats
internal import Glibc
internal import Linux

/// A tool that counts in the kernel and prints a table of rows, at the end or at each interval.
///
/// The probes keep two copies of the counts and fill the one of `struct moment`; the tool reads and empties the other.
package protocol CountTool: Tool {
  associatedtype Row
  /// What reads the maps; made once, when the probe is loaded.
  associatedtype Counts

  /// Whether swtrace's own work is left out.
  static var excludesItself: Bool { get }
  /// Nanoseconds between prints; nil to print once, at the end.
  var interval: UInt64? { get }
  /// End after so many intervals.
  var intervals: Int? { get }
  /// The line above a table that says when it was printed, from the time as 14:03:59; nil for none.
  func timeLine(_ time: String) -> String?
  /// Rows in a table, or nil for all. JSON and CSV have all rows.
  var top: Int? { get }
  var columns: [Column<Row>] { get }
  /// Opens the maps.
  func open(_ probe: borrowing LoadedProbe) throws -> Counts
  /// Reads and empties the counts of an interval that has ended.
  ///
  /// - Returns: the rows in the order of the table, and how many events they are.
  func take(_ counts: inout Counts, copy: UInt32) throws -> (rows: [Row], events: UInt64)
}

extension CountTool {
  package static var excludesItself: Bool { true }
  package var intervals: Int? { nil }
  package var top: Int? { nil }
  package func timeLine(_ time: String) -> String? { "[\(time)]" }

  package mutating func run() throws { try count() }

  /// Counts until the end; what `run()` does unless the tool has something else to do.
  package mutating func count() throws {
    try prepare()
    let settings = try session.settings(tool: Self.name)
    let (path, format) = try settings.destination()
    var output = try Output(path: path)
    var running = try CountRun(self, settings, interval: interval, count: intervals, watching: output)
    var printer = CountPrinter(format, columns, top: top)
    printer.begin(&output.buffer)
    while let turn = running.session.next(output) {
      if turn == .tick { continue }
      let (report, rows) = try running.take()
      printer.print(rows, timeLine, &output.buffer)
      running.session.clearProgress()
      try output.flush()
      if turn == .interval, settings.stats { complain("swtrace \(settings.tool): \(report.line)") }
    }
    try running.session.conclude(try running.finish(), &output, format)
  }
}

/// Tables of counts, one for each interval; in JSON and CSV each row says which interval it is of.
struct CountPrinter<Row> {
  private let columns: [Column<Row>]
  private let writer: RowWriter
  private let top: Int?
  private var interval: UInt64 = 0

  init(_ format: OutputFormat, _ columns: [Column<Row>], top: Int?) {
    let common = [
      Column<Row>("INTERVAL", width: 0, inTable: false) { _ in .none },
      Column<Row>("TIME", key: "time_unix_ns", width: 0, inTable: false) { _ in .none },
    ]
    self.columns = common + columns
    self.top = top
    writer = RowWriter(
      RowWriter.Format(format), columns: self.columns.map(\.layout), kind: "count",
      localTime: { Clock.localTime($0) })
  }

  /// What comes before the first interval.
  func begin(_ out: inout [UInt8]) { if writer.format == .csv { writer.writeHeader(into: &out) } }

  mutating func print(_ rows: [Row], _ timeLine: (String) -> String?, _ out: inout [UInt8]) {
    interval += 1
    let now = Int64(Clock.realtime)
    var rows = rows[...]
    if writer.format == .table {
      if interval > 1 { out.append(0x0a) }
      var time: [UInt8] = []
      time.append(timeOfDay: Clock.localTime(now))
      if let line = timeLine(String(decoding: time, as: UTF8.self)) { out.append(contentsOf: Array(line.utf8) + [0x0a]) }
      writer.writeHeader(into: &out)
      if let top { rows = rows.prefix(top) }
    }
    for row in rows {
      writer.write(into: &out) { column in
        switch column {
        case 0: .unsigned(interval)
        case 1: .integer(now)
        default: columns[column].value(row)
        }
      }
    }
  }
}
