internal import ArgumentParser
package import BPF
package import Formats
package import Linux

/// A tool that prints one line for each event.
///
/// It declares what to attach, how a record becomes a row, and the columns; everything else is the same for all.
package protocol EventTool: Tool {
  associatedtype Row

  /// Whether swtrace's own work is left out.
  static var excludesItself: Bool { get }
  /// The columns for the table, CSV and JSON.
  var columns: [Column<Row>] { get }
  /// The row of a record; nil when the record is part of a later one.
  mutating func row(_ record: RawSpan, _ clock: WallClock) -> Row?
  /// Whether a row passes the tests that only the tool itself can make; the others count as filtered.
  func isWanted(_ row: Row) -> Bool
  /// Rows of what has begun and not ended; asked when everything is detached.
  ///
  /// - Parameter end: of the trace, on the monotonic clock.
  func unfinished(_ probe: borrowing LoadedProbe, end: UInt64, _ clock: WallClock) throws -> [Row]
}

extension EventTool {
  package static var excludesItself: Bool { true }
  package func isWanted(_ row: Row) -> Bool { true }
  package func unfinished(_ probe: borrowing LoadedProbe, end: UInt64, _ clock: WallClock) throws -> [Row] { [] }

  package mutating func run() throws {
    try prepare()
    let settings = try session.settings(tool: Self.name)
    let (path, format) = try settings.destination()
    let columns = self.columns
    let writer = RowWriter(
      RowWriter.Format(format), columns: columns.map(\.layout), localTime: { Clock.localTime($0) })
    var output = try Output(path: path)
    var running = try EventRun(self, settings, watching: output)
    func write(_ row: Row, into buffer: inout [UInt8]) { writer.write(into: &buffer) { columns[$0].value(row) } }
    writer.writeHeader(into: &output.buffer)
    try output.flush()
    while let turn = running.session.next(output) {
      try running.drain(
        { row in write(row, into: &output.buffer) }, after: { if output.buffer.count > 1 << 16 { try output.flush() } })
      if turn == .end { try running.drainUnfinished { row in write(row, into: &output.buffer) } }
      if !output.buffer.isEmpty { running.session.clearProgress() }
      try output.flush()
      if turn == .end { break }
    }
    try running.session.conclude(try running.finish(), &output, format)
  }
}
