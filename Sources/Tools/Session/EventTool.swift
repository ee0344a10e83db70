internal import ArgumentParser
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
}

extension EventTool {
  package static var excludesItself: Bool { true }
  package func isWanted(_ row: Row) -> Bool { true }

  package mutating func run() throws {
    try prepare()
    let settings = try session.settings(tool: Self.name)
    let (path, format) = try settings.destination()
    let columns = self.columns
    let writer = RowWriter(
      RowWriter.Format(format), columns: columns.map(\.layout), localTime: { Clock.localTime($0) })
    var output = try Output(path: path)
    var running = try EventRun(self, settings, watching: output)
    writer.writeHeader(into: &output.buffer)
    try output.flush()
    while let turn = running.session.next(output) {
      try running.drain(
        { row in writer.write(into: &output.buffer) { columns[$0].value(row) } },
        after: { if output.buffer.count > 1 << 16 { try output.flush() } })
      if !output.buffer.isEmpty { running.session.clearProgress() }
      try output.flush()
      if turn == .end { break }
    }
    try running.session.conclude(try running.finish(), &output, format)
  }
}
