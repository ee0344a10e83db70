internal import AgentModel
internal import GRDB
internal import Profiles

extension Database {
  /// The series for which the conditions hold.
  func series(_ conditions: Conditions) throws -> [(id: Int64, labels: Labels)] {
    var result: [(id: Int64, labels: Labels)] = []
    try run("SELECT id, data FROM series") { row in
      let labels = try LabelCoding.decode(row.bytes(1))
      if conditions.hold(for: labels) { result.append((row.integer(0), labels)) }
    }
    return result
  }

  /// The totals of a series that touch a range; the data is not read.
  func parts(_ type: ProfileType, series: Int64, in range: Range<Int64>, body: (PartTotal) throws -> Void) throws {
    try blocks("total, parts", type, series: series, in: range) { resolution, start, row in
      guard resolution == .span else {
        return try body(PartTotal(start: start, length: resolution.rawValue, total: row.unsigned(1)))
      }
      for part in try BlockHead(decoding: row.bytes(2), quantum: type.quantum).parts {
        let start = start + part.index * ProfileWindow.length
        guard start < range.upperBound, start + ProfileWindow.length > range.lowerBound else { continue }
        try body(PartTotal(start: start, length: ProfileWindow.length, total: part.total))
      }
    }
  }

  /// Adds up the values of a series whose parts begin in a range.
  func add(_ type: ProfileType, series: Int64, in range: Range<Int64>, to values: inout Values) throws {
    try blocks("parts, data", type, series: series, in: range) { resolution, start, row in
      switch resolution {
      case .window: if range ~= start { try ValueCoding.read(row.bytes(2)[...]) { values[$0, default: 0].addSaturating($1) } }
      case .span, .hour:
        let head = try BlockHead(decoding: row.bytes(1), quantum: type.quantum)
        try head.read(row.bytes(2), quantum: type.quantum) {
          range ~= start + $0 * ProfileWindow.length
        } add: {
          values[$1, default: 0].addSaturating($2)
        }
      }
    }
  }

  /// The blocks of a series that touch a range: the resolution, the start, and the row with the columns from the second on.
  private func blocks(
    _ columns: String, _ type: ProfileType, series: Int64, in range: Range<Int64>, body: (Resolution, Int64, Row) throws -> Void
  ) throws {
    let range = range.clamped(to: Store.times)
    for resolution in Resolution.allCases {
      try run(
        "SELECT start, \(columns) FROM block WHERE type = ? AND series = ? AND resolution = ? AND start > ? AND start < ?",
        [
          .integer(type.number), .integer(series), .integer(resolution.rawValue), .integer(range.lowerBound - resolution.rawValue),
          .integer(range.upperBound),
        ]
      ) { row in try body(resolution, row.integer(0), row) }
    }
  }

  /// The coverage that touches a range: start, seconds, and what there was.
  func coverage(_ type: ProfileType, in range: Range<Int64>, body: (Int64, Int64, Coverage) throws -> Void) throws {
    for resolution in Resolution.allCases {
      try run(
        "SELECT start, covered, lost, period, parts FROM coverage WHERE type = ? AND resolution = ? AND start > ? AND start < ?",
        [
          .integer(type.number), .integer(resolution.rawValue), .integer(range.lowerBound - resolution.rawValue),
          .integer(range.upperBound),
        ]
      ) { row in
        let start = row.integer(0)
        guard resolution == .span else {
          return try body(start, resolution.rawValue, Coverage(covered: row.unsigned(1), lost: row.unsigned(2), period: row.unsigned(3)))
        }
        for (index, coverage) in try CoverageCoding.decode(row.bytes(4)) {
          let start = start + index * ProfileWindow.length
          guard start < range.upperBound, start + ProfileWindow.length > range.lowerBound else { continue }
          try body(start, ProfileWindow.length, coverage)
        }
      }
    }
  }

  /// The windows of a row's block, by its `parts` in the second column.
  private func indexes(_ row: Row, _ type: ProfileType) throws -> [Int64] {
    try BlockHead(decoding: row.bytes(1), quantum: type.quantum).parts.map(\.index)
  }

  /// From the first second with values to the end of the last.
  func extent(of type: ProfileType?) throws -> Range<Int64>? {
    var result: Range<Int64>?
    for resolution in Resolution.allCases {
      for kind in type.map({ [$0] }) ?? ProfileType.allCases {
        let place = "FROM block WHERE resolution = ? AND type = ? ORDER BY start"
        let arguments: [Argument] = [.integer(resolution.rawValue), .integer(kind.number)]
        var first: Int64?
        try run("SELECT start, parts \(place) LIMIT 1", arguments) { row in
          let skipped = resolution == .span ? try indexes(row, kind).min().map { $0 * ProfileWindow.length } : nil
          first = row.integer(0).addingReportingOverflow(skipped ?? 0).partialValue
        }
        guard let first, Store.times ~= first else { continue }
        var end = first
        try run("SELECT start, parts \(place) DESC LIMIT 1", arguments) { row in
          let last = resolution == .span ? try indexes(row, kind).max().map { ($0 + 1) * ProfileWindow.length } : nil
          end = row.integer(0).addingReportingOverflow(last ?? resolution.rawValue).partialValue
        }
        guard first <= end else { throw StoreError.damaged(what: "a block") }
        result = min(result?.lowerBound ?? first, first)..<max(result?.upperBound ?? end, end)
      }
    }
    return result
  }
}

/// Reads stacks of the file into a table of stacks, each frame once.
struct StackReader {
  private var frames: [Int64: (id: Frame.ID, callee: Int64)] = [:]

  mutating func read(_ id: Int64, from database: Database, into table: inout StackTable) throws -> Stack.ID {
    var content: [UInt8]?
    try database.run("SELECT data FROM stack WHERE id = ?", [.integer(id)]) { content = $0.bytes(0) }
    guard let content else { throw StoreError.damaged(what: "a stack") }
    let ids = try StackCoding.decode(content) { try frame($0, from: database, into: &table).callee }
    return try ids.reduce(.empty) { try table.push(frame($1, from: database, into: &table).id, on: $0) }
  }

  private mutating func frame(_ id: Int64, from database: Database, into table: inout StackTable) throws -> (id: Frame.ID, callee: Int64) {
    if let known = frames[id] { return known }
    var result: (Frame, callee: Int64)?
    try database.run("SELECT data, callee FROM frame WHERE id = ?", [.integer(id)]) { row in
      result = (try FrameCoding.decode(row.bytes(0)), row.integer(1))
    }
    guard let result else { throw StoreError.damaged(what: "a frame") }
    let entry = (id: table.intern(result.0), callee: result.callee)
    frames[id] = entry
    return entry
  }
}
