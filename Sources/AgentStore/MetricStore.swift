package import AgentModel
internal import GRDB
internal import Profiles

extension Store {
  /// Takes in a window of metrics as one transaction; a window of a start that is there already adds to it.
  ///
  /// - Throws: `StoreError`; nothing of the window is stored then.
  package func receive(_ window: MetricWindow) async throws {
    try await take {
      guard window.start >= 0, window.start < Self.times.upperBound, window.start % MetricWindow.length == 0 else {
        throw StoreError.malformed(what: "it begins at \(window.start), which is no multiple of \(MetricWindow.length)")
      }
      return window.start
    } insert: { database, names in
      try Self.insert(window, in: database, names: &names)
    }
  }

  /// - Returns: how many blocks of the same start could not be read, and are replaced.
  private static func insert(_ window: MetricWindow, in database: Database, names: inout Names) throws -> Int {
    var damaged = 0
    let day = window.start / Self.day
    names.metricSeries.forget(above: names.limit)
    for metric in window.metrics {
      var part = MetricPart(covered: metric.covered, lost: metric.lost)
      for series in metric.series where series.value.count > 0 {
        let id = try names.metricSeries.intern(LabelCoding.encode(series.labels), day: day, in: database)
        part.add(MetricPart(values: [id: series.value]))
      }
      let key = MetricKey(metric: metric.name, resolution: .window, start: window.start)
      if let data = try database.data(of: key) {
        do { part.add(try MetricCoding.decode(data[...])) } catch { damaged += 1 }
      }
      try database.write(key, MetricCoding.encode(part))
    }
    return damaged
  }

  /// Makes a block of the oldest smaller ones that are over, of one metric.
  ///
  /// - Returns: whether there were any.
  func packMetrics(from small: Resolution, into large: Resolution, before end: Int64) async throws -> Bool {
    let lost = try await write { database, _ -> Int? in
      guard
        let oldest = try database.integer(
          "SELECT min(start) FROM metric_block WHERE resolution = ? AND start >= 0", [.integer(small.rawValue)]),
        Self.times ~= oldest, large.floor(oldest) + large.rawValue <= end
      else { return nil }
      return try database.packMetric(from: small, into: large, start: large.floor(oldest))
    }
    if let lost, lost > 0 { remember("\(lost) blocks were damaged and are lost") }
    return lost != nil
  }
}

extension Store: MetricSource {
  package func series(_ query: MetricQuery) async throws -> [Labels] {
    let conditions = try Conditions(query.matchers)
    return try await read { database in
      let all = try database.metricSeries(conditions)
      var seen: Set<Int64> = []
      try database.metricParts(query.metric, in: query.range) { start, _, part in
        if query.range ~= start { seen.formUnion(part.values.keys) }
      }
      return seen.compactMap { all[$0] }.sorted()
    }
  }

  /// What is kept as a sum counts in the step that holds its beginning.
  package func timeline(_ query: MetricQuery, step: Int64, by label: String?) async throws -> MetricTimeline {
    guard step > 0, step % MetricWindow.length == 0, step <= Self.times.upperBound else {
      throw StoreError.question(reason: "a step is a multiple of \(MetricWindow.length) seconds")
    }
    let conditions = try Conditions(query.matchers)
    let range = query.range.clamped(to: Self.times)
    return try await read { database in
      let length = try database.longestPart(query.metric, in: range)
      let step = (step + length - 1) / length * length
      let start = range.lowerBound / step * step
      let count = range.isEmpty ? 0 : (range.upperBound - start + step - 1) / step
      guard count <= Self.mostSteps else { throw StoreError.question(reason: "\(count) steps are too many; ask for longer steps") }
      let all = try database.metricSeries(conditions)
      let nothing = [MetricValue](repeating: .nothing(query.metric.kind), count: Int(count))
      let zeros = [UInt64](repeating: 0, count: Int(count))
      var timeline = MetricTimeline(start: start, step: step, covered: zeros, lost: zeros)
      var rows: [String: [MetricValue]] = [:]
      let whole = start..<start + step * count
      try database.metricParts(query.metric, in: whole) { time, _, part in
        guard whole ~= time else { return }
        let index = Int((time - start) / step)
        timeline.covered[index].addSaturating(part.covered)
        timeline.lost[index].addSaturating(part.lost)
        for (id, value) in part.values {
          guard let labels = all[id] else { continue }
          let name = label.flatMap { labels[$0] } ?? ""
          guard (rows.count + 1) * nothing.count <= Self.mostMetricValues else {
            throw StoreError.question(reason: "too many values of \(label ?? ""); ask for longer steps")
          }
          rows[name, default: nothing][index].add(value)
        }
      }
      let sums = rows.map { name, steps in
        (row: MetricTimeline.Row(value: name, steps: steps), sum: steps.reduce(into: UInt64(0)) { $0.addSaturating($1.count) })
      }
      timeline.rows = sums.sorted { ($1.sum, $0.row.value) < ($0.sum, $1.row.value) }.map(\.row)
      return timeline
    }
  }
}

/// What a block of a metric is found by.
struct MetricKey {
  var metric: String
  var resolution: Resolution
  /// In seconds since 1970.
  var start: Int64

  var arguments: [Argument] { [.bytes(Array(metric.utf8)), .integer(resolution.rawValue), .integer(start)] }
}

extension Database {
  func data(of key: MetricKey) throws -> [UInt8]? {
    var result: [UInt8]?
    try run("SELECT data FROM metric_block WHERE metric = ? AND resolution = ? AND start = ?", key.arguments) { result = $0.bytes(0) }
    return result
  }

  func write(_ key: MetricKey, _ data: [UInt8]) throws {
    try run("REPLACE INTO metric_block (metric, resolution, start, data) VALUES (?, ?, ?, ?)", key.arguments + [.bytes(data)])
  }

  /// The series for which the conditions hold, by number.
  fileprivate func metricSeries(_ conditions: Conditions) throws -> [Int64: Labels] {
    var result: [Int64: Labels] = [:]
    try run("SELECT id, data FROM metric_series") { row in
      let labels = try LabelCoding.decode(row.bytes(1))
      if conditions.hold(for: labels) { result[row.integer(0)] = labels }
    }
    return result
  }

  private static let touching = "FROM metric_block WHERE metric = ? AND resolution = ? AND start > ? AND start < ?"

  private func arguments(_ metric: Metric, _ resolution: Resolution, touching range: Range<Int64>) -> [Argument] {
    [
      .bytes(Array(metric.name.utf8)), .integer(resolution.rawValue), .integer(range.lowerBound - resolution.rawValue),
      .integer(range.upperBound),
    ]
  }

  /// The seconds of the longest part that touches a range; those of a window where there is none.
  fileprivate func longestPart(_ metric: Metric, in range: Range<Int64>) throws -> Int64 {
    for resolution in [Resolution.hour, .span] {
      if try integer("SELECT 1 \(Self.touching) LIMIT 1", arguments(metric, resolution, touching: range)) != nil {
        return MetricBlock.partLength(resolution)
      }
    }
    return MetricWindow.length
  }

  /// The parts of a metric whose blocks touch a range: start, seconds, and what there was.
  fileprivate func metricParts(_ metric: Metric, in range: Range<Int64>, body: (Int64, Int64, MetricPart) throws -> Void) throws {
    let range = range.clamped(to: Store.times)
    for resolution in Resolution.allCases {
      let length = MetricBlock.partLength(resolution)
      try run("SELECT start, data \(Self.touching)", arguments(metric, resolution, touching: range)) { row in
        for (index, part) in try Self.parts(row.bytes(1), resolution) { try body(row.integer(0) + index * length, length, part) }
      }
    }
  }

  private static func parts(_ data: [UInt8], _ resolution: Resolution) throws -> [Int64: MetricPart] {
    resolution == .window ? [0: try MetricCoding.decode(data[...])] : try MetricBlock.decode(data, resolution)
  }

  /// Makes one block of the small ones of a time, for each metric.
  ///
  /// - Returns: how many blocks could not be read and are lost.
  fileprivate func packMetric(from small: Resolution, into large: Resolution, start: Int64) throws -> Int {
    let place = "FROM metric_block WHERE resolution = ? AND start >= ? AND start < ?"
    let span: [Argument] = [.integer(small.rawValue), .integer(start), .integer(start + large.rawValue)]
    var blocks: [String: [Int64: MetricPart]] = [:]
    var lost = 0
    func add(_ data: [UInt8], _ resolution: Resolution, at time: Int64, to name: String) {
      do {
        for (index, part) in try Self.parts(data, resolution) {
          let index = (time + index * MetricBlock.partLength(resolution) - start) / MetricBlock.partLength(large)
          blocks[name, default: [:]][index, default: MetricPart()].add(part)
        }
      } catch { lost += 1 }
    }
    try run("SELECT metric, start, data \(place)", span) { row in
      add(row.bytes(2), small, at: row.integer(1), to: String(decoding: row.bytes(0), as: UTF8.self))
    }
    for name in Array(blocks.keys) {
      let key = MetricKey(metric: name, resolution: large, start: start)
      // What came late adds to the block that is there.
      if let old = try data(of: key) { add(old, large, at: start, to: name) }
      if let parts = blocks[name] { try write(key, MetricBlock.encode(parts)) }
    }
    try run("DELETE \(place)", span)
    return lost
  }

  /// Removes some of the blocks of metrics that begin before a time.
  ///
  /// - Returns: how many.
  func removeMetrics(before end: Int64, limit: Int64) throws -> Int {
    var removed = 0
    for resolution in Resolution.allCases {
      try run(
        """
        DELETE FROM metric_block WHERE (metric, resolution, start) IN (
          SELECT metric, resolution, start FROM metric_block WHERE resolution = ? AND start < ? LIMIT ?)
        """, [.integer(resolution.rawValue), .integer(end), .integer(limit)])
      removed += changesCount
    }
    return removed
  }
}
