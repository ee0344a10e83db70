package import BPF
internal import CProbes
package import Formats
package import Linux

/// A tool whose probe adds values to histograms.
package protocol HistogramMeasuring: Tool {
  var unit: HistogramUnit { get }
  /// Whether there is one histogram for each key.
  var isKeyed: Bool { get }
}

/// A probe whose values are histograms, attached: until the end of a tool's run, or for intervals without an end.
package struct HistogramRun: ~Copyable {
  package var session: Session
  private var reader: HistogramReader
  /// What is read while everything is attached, at the end.
  private final class Ending { var hidden = HiddenEvents() }
  private let ending: Ending

  /// Room for rows: histograms that are found sooner, for tools whose keys are no tasks and have thousands of values a second.
  package static let rows = ["histogram_keys": Int(SWTRACE_HISTOGRAM_ROWS), "histogram_rows": 2 * Int(SWTRACE_HISTOGRAM_ROWS)]

  /// Loads and attaches.
  ///
  /// - Parameters:
  ///   - unit: of the buckets; by default the tool's.
  ///   - room: entries of maps, where they are to be others than the tool's.
  ///   - interval: nanoseconds between turns; nil for none but the end.
  ///   - endings: what ends the run; by default the signals that end programs.
  package init(
    _ tool: some HistogramMeasuring, _ settings: SessionSettings, unit: HistogramUnit? = nil, room: [String: Int] = [:],
    interval: UInt64? = nil, count: Int? = nil, watching output: borrowing Output,
    endings: () throws(SystemError) -> EndSignals = { () throws(SystemError) in try EndSignals() }
  ) throws {
    let ending = Ending()
    let unit = unit ?? tool.unit
    var plan = try Plan(tool, room: room) { (probe) throws(BPFError) in
      try probe.configure(
        ".rodata.histogram", swtrace_histogram_config(unit: unit.size, keyed: tool.isKeyed ? 1 : 0, reserved: (0, 0, 0, 0, 0, 0, 0)))
      // 16384 cells are about 1.9 MB: 500 keys with 30 slots each.
      if tool.isKeyed { try probe.resize("histogram_cells", to: 16384) }
    }
    plan.beforeDetaching = { (probe, programs) throws(BPFError) in try ending.hidden.read(probe, programs) }
    let session = try Session(plan, settings, interval: interval, count: count, watching: output, endings: endings)
    reader = try HistogramReader(session.attachment.probe, unit: unit, keyed: tool.isKeyed)
    self.session = session
    self.ending = ending
  }

  /// Closes the interval that has ended.
  ///
  /// - Returns: its counts, and its histograms in ascending order of theirs.
  package mutating func take() throws(BPFError) -> (report: LossReport, entries: [KeyedHistogram]) {
    let (report, copy) = try session.closeInterval()
    return (report, try reader.take(copy: copy))
  }

  /// The counts of the whole run, after the last interval.
  package mutating func finish() throws(BPFError) -> LossReport {
    var report = try session.finish(read: reader.count)
    let atTheEnd = try ending.hidden.count(session.attachment.probe)
    report.seen += atTheEnd
    report.lost[.hidden, default: 0] += atTheEnd
    return report
  }
}
