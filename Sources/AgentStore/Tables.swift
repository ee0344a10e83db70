internal import AgentModel
internal import GRDB
internal import Profiles

extension ProfileType {
  /// In the file.
  var number: Int64 {
    switch self {
    case .cpu: 0
    case .offCPU: 1
    case .lock: 2
    case .allocations: 3
    }
  }
}

/// What a block is found by.
struct BlockKey {
  var type: Int64
  var series: Int64
  var resolution: Resolution
  /// In seconds since 1970.
  var start: Int64

  var arguments: [Argument] { [.integer(type), .integer(series), .integer(resolution.rawValue), .integer(start)] }
}

/// How it was measured in some time.
struct Coverage {
  /// Nanoseconds of measuring.
  var covered: UInt64
  /// Events that are missing.
  var lost: UInt64
  /// Nanoseconds between samples; the longest, if there were several.
  var period: UInt64

  mutating func add(_ other: Coverage) {
    covered.addSaturating(other.covered)
    lost.addSaturating(other.lost)
    period = max(period, other.period)
  }
}

extension Row {
  /// A number that the file has as its bit pattern.
  func unsigned(_ column: CInt) -> UInt64 { UInt64(bitPattern: integer(column)) }
}

extension Database {
  private static let key = "type = ? AND series = ? AND resolution = ? AND start = ?"

  func data(of key: BlockKey) throws -> [UInt8]? {
    var result: [UInt8]?
    try run("SELECT data FROM block WHERE \(Self.key)", key.arguments) { result = $0.bytes(0) }
    return result
  }

  /// The block of several windows that is there.
  func packed(_ key: BlockKey) throws -> (parts: [Part], data: [UInt8])? {
    var result: (parts: [Part], data: [UInt8])?
    try run("SELECT parts, data FROM block WHERE \(Self.key)", key.arguments) { result = (try Part.decode($0.bytes(0)), $0.bytes(1)) }
    return result
  }

  /// Writes a block, in place of the one that is there.
  func write(_ key: BlockKey, total: UInt64, parts: [Part], data: [UInt8]) throws {
    try run(
      "REPLACE INTO block (type, series, resolution, start, total, parts, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
      key.arguments + [.integer(Int64(bitPattern: total)), .bytes(Part.encode(parts)), .bytes(data)])
  }

  /// Adds to the coverage of a time.
  func addCoverage(_ coverage: Coverage, type: Int64, resolution: Resolution, start: Int64) throws {
    var sum = coverage
    let key: [Argument] = [.integer(type), .integer(resolution.rawValue), .integer(start)]
    try run("SELECT covered, lost, period FROM coverage WHERE type = ? AND resolution = ? AND start = ?", key) { row in
      sum.add(Coverage(covered: row.unsigned(0), lost: row.unsigned(1), period: row.unsigned(2)))
    }
    try run(
      "REPLACE INTO coverage (type, resolution, start, covered, lost, period) VALUES (?, ?, ?, ?, ?, ?)",
      key + [sum.covered, sum.lost, sum.period].map { .integer(Int64(bitPattern: $0)) })
  }
}
