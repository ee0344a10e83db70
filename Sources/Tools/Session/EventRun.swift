internal import BPF
package import Linux

/// An event tool's probe, attached: until the end of the tool's run, or without an end.
package struct EventRun<Measuring: EventTool>: ~Copyable {
  package var session: Session
  package private(set) var tool: Measuring
  private var read: UInt64 = 0
  private var unwanted: UInt64 = 0
  private var unfinished = LossReport()

  /// Loads and attaches; the parameters are those of `HistogramRun`.
  package init(
    _ tool: Measuring, _ settings: SessionSettings, room: [String: Int] = [:], watching output: borrowing Output,
    endings: () throws(SystemError) -> EndSignals = { () throws(SystemError) in try EndSignals() }
  ) throws {
    self.tool = tool
    var plan = try Plan(tool, room: room)
    plan.excludesItself = Measuring.excludesItself
    session = try Session(plan, settings, watching: output, endings: endings)
  }

  /// Hands over the wanted rows of the records that have come.
  package mutating func drain(_ body: (Measuring.Row) throws -> Void, after: () throws -> Void = {}) throws {
    try Self.drain(&session, &tool, &read, &unwanted, body, after)
  }

  /// Of its own: a closure in a method would have all of `self`.
  private static func drain(
    _ session: inout Session, _ tool: inout Measuring, _ read: inout UInt64, _ unwanted: inout UInt64,
    _ body: (Measuring.Row) throws -> Void, _ after: () throws -> Void
  ) throws {
    let clock = session.clock
    _ = try session.reader?.drain { record in
      if let row = tool.row(record, clock) {
        read += 1
        if tool.isWanted(row) { try body(row) } else { unwanted += 1 }
      }
      try after()
    }
  }

  /// Hands over the wanted rows of what is on when the trace ends; they count as seen now. Call it once, after the last drain.
  package mutating func drainUnfinished(_ body: (Measuring.Row) throws -> Void) throws {
    guard let end = session.endedAt else { return }
    for row in try tool.unfinished(session.attachment.probe, end: end, session.clock) {
      unfinished.seen += 1
      if tool.isWanted(row) {
        unfinished.delivered += 1
        try body(row)
      } else {
        unfinished.filtered += 1
      }
    }
  }

  /// The counts of the whole run, after the last drain.
  package mutating func finish() throws -> LossReport {
    var report = try session.finish(read: read, unwanted: unwanted)
    report += unfinished
    return report
  }
}
