package import ArgumentParser
package import BPF
package import Formats
internal import Glibc
internal import Linux
internal import Profiles

/// BCC's positional `[interval [count]]`, and the same as options.
package struct IntervalOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "interval"))
  package var interval: TimeSpan?
  @Argument(help: ArgumentHelp("End after so many intervals.", valueName: "count"))
  package var count: Int?
  @Option(name: .customLong("interval"), help: ArgumentHelp("The same as the first argument.", valueName: "time"))
  package var intervalOption: TimeSpan?

  package init() {}

  /// For tools that have the interval as an option of their own.
  package init(every interval: TimeSpan?) {
    self.interval = nil
    count = nil
    intervalOption = interval
  }

  package mutating func validate() throws {
    if let count, count < 1 { throw ValidationError("the count of intervals must be at least 1") }
    if interval != nil, intervalOption != nil { throw ValidationError("the interval is given twice") }
  }

  /// Nanoseconds between prints; nil to print once, at the end.
  package var nanoseconds: UInt64? { (interval ?? intervalOption)?.nanoseconds }
}

/// A tool that prints histograms, at the end or at each interval.
package protocol HistogramTool: HistogramMeasuring {
  var schedule: IntervalOptions { get }
  /// Whether tables carry the time of day of each print.
  var timestamp: Bool { get }
  /// Reads what the keys stand for, where the probe keeps that in a map; called before the histograms of an interval are printed.
  mutating func readKeys(_ probe: borrowing LoadedProbe) throws(BPFError)
  /// The line above a key's histogram in a table.
  func title(_ entry: KeyedHistogram) -> [UInt8]
  /// What a key's histogram is of, for JSON and CSV. The same keys for every entry.
  func labels(_ entry: KeyedHistogram) -> [(String, Cell)]
}

extension HistogramTool {
  package mutating func readKeys(_ probe: borrowing LoadedProbe) throws(BPFError) {}
  package func title(_ entry: KeyedHistogram) -> [UInt8] { [] }
  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] { [] }

  package mutating func run() throws {
    try prepare()
    let settings = try session.settings(tool: Self.name)
    let (path, format) = try settings.destination()
    var output = try Output(path: path)
    var running = try HistogramRun(self, settings, interval: schedule.nanoseconds, count: schedule.count, watching: output)
    let writer = HistogramWriter(unit: unit)
    if format == .csv {
      let none = KeyedHistogram(key: 0, command: Text([]), histogram: .init())
      writer.writeCSVHeader(labels: ["time_unix_ns"] + labels(none).map(\.0), into: &output.buffer)
    }
    while let turn = running.session.next(output) {
      if turn == .tick { continue }
      let (report, entries) = try running.take()
      try readKeys(running.session.attachment.probe)
      print(entries, format, writer, &output.buffer)
      running.session.clearProgress()
      try output.flush()
      if turn == .interval, settings.stats { complain("swtrace \(settings.tool): \(report.line)") }
    }
    try running.session.conclude(try running.finish(), &output, format)
  }

  private func print(_ entries: [KeyedHistogram], _ format: OutputFormat, _ writer: HistogramWriter, _ out: inout [UInt8]) {
    let now = Int64(Clock.realtime)
    if format == .table {
      out.append(0x0a)
      if timestamp {
        out.append(timeOfDay: Clock.localTime(now))
        out.append(0x0a)
      }
      if entries.isEmpty { out.append(contentsOf: "(no values)\n".utf8) }
    }
    for entry in entries {
      switch format {
      case .json: writer.writeJSON(entry.histogram, labels: [("time_unix_ns", .integer(now))] + labels(entry), into: &out)
      case .csv: writer.writeCSV(entry.histogram, labels: [("time_unix_ns", .integer(now))] + labels(entry), into: &out)
      default:
        let title = title(entry)
        if !title.isEmpty { out.append(contentsOf: title + [0x0a]) }
        writer.writeTable(entry.histogram, into: &out)
      }
    }
  }
}
