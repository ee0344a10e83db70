internal import BPF
package import Linux

/// A counting tool's probe, attached: until the end of the tool's run, or for intervals without an end.
package struct CountRun<Measuring: CountTool>: ~Copyable {
  package var session: Session
  private let tool: Measuring
  private var counts: Measuring.Counts
  /// Events read so far.
  private var events: UInt64 = 0

  /// Loads and attaches; the parameters are those of `HistogramRun`.
  package init(
    _ tool: Measuring, _ settings: SessionSettings, room: [String: Int] = [:], interval: UInt64? = nil, count: Int? = nil,
    watching output: borrowing Output, endings: () throws(SystemError) -> EndSignals = { () throws(SystemError) in try EndSignals() }
  ) throws {
    var plan = try Plan(tool, room: room)
    plan.excludesItself = Measuring.excludesItself
    let session = try Session(plan, settings, interval: interval, count: count, watching: output, endings: endings)
    counts = try tool.open(session.attachment.probe)
    self.session = session
    self.tool = tool
  }

  /// Closes the interval that has ended.
  ///
  /// - Returns: its counts, and its rows in the order of the table.
  package mutating func take() throws -> (report: LossReport, rows: [Measuring.Row]) {
    let (report, copy) = try session.closeInterval()
    let (rows, number) = try tool.take(&counts, copy: copy)
    events += number
    return (report, rows)
  }

  /// The counts of the whole run, after the last interval.
  package mutating func finish() throws -> LossReport { try session.finish(read: events) }
}
