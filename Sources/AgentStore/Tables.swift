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

  /// The smallest difference that the file knows, in the unit of the type: time is kept in microseconds.
  var quantum: UInt64 { unit == .nanoseconds ? 1000 : 1 }
}

extension UInt64 {
  /// What is kept of a value that is not 0: the nearest multiple of a quantum, and one at least.
  func rounded(to quantum: UInt64) -> UInt64 {
    let quanta = self / quantum + (2 * (self % quantum) >= quantum ? 1 : 0)
    return Swift.max(quanta, 1).multipliedSaturating(by: quantum)
  }

  /// The product; the largest number where it is beyond that, or would be with one more.
  func multipliedSaturating(by other: UInt64) -> UInt64 {
    self >= .max / other ? .max : self * other
  }
}

/// What a block is found by.
struct BlockKey {
  var type: Int64
  var series: Int64
  var resolution: Resolution
  /// In seconds since 1970.
  var start: Int64

  /// 1 for a type that is none, which comes of damage.
  var quantum: UInt64 { ProfileType.allCases.first { $0.number == type }?.quantum ?? 1 }

  var arguments: [Argument] { [.integer(type), .integer(series), .integer(resolution.rawValue), .integer(start)] }
}

/// How it was measured in some time.
struct Coverage: Equatable {
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

  func adding(_ other: Coverage) -> Coverage {
    var sum = self
    sum.add(other)
    return sum
  }
}

/// The coverage of each window of five minutes as bytes.
///
/// For each window its index twice over, with 1 added where the period is that of the window before; how far what was covered is from ten
/// seconds, twice over, with 1 added where it is less; the events that were lost; and the period where it is another one.
enum CoverageCoding {
  private static let whole = UInt64(ProfileWindow.length) * 1_000_000_000

  static func encode(_ windows: [Int64: Coverage]) -> [UInt8] {
    var writer = ByteWriter()
    var period: UInt64 = 0
    for (index, coverage) in windows.sorted(by: { $0.key < $1.key }) {
      let isSame = coverage.period == period
      // More than 292 years are none.
      let covered = min(coverage.covered, UInt64(Int64.max))
      writer.write(varint: UInt64(index) << 1 | (isSame ? 1 : 0))
      writer.write(varint: covered < whole ? (whole - covered) << 1 | 1 : (covered - whole) << 1)
      writer.write(varint: coverage.lost)
      if !isSame { writer.write(varint: coverage.period) }
      period = coverage.period
    }
    return writer.bytes
  }

  static func decode(_ bytes: [UInt8]) throws(StoreError) -> [Int64: Coverage] {
    var reader = ByteReader(bytes, what: "the coverage")
    var windows: [Int64: Coverage] = [:]
    var period: UInt64 = 0
    while !reader.isAtEnd {
      let (index, difference, lost) = (try reader.varint(), try reader.varint(), try reader.varint())
      if index & 1 == 0 { period = try reader.varint() }
      let isLess = difference & 1 == 1
      guard index >> 1 < UInt64(Resolution.span.rawValue / ProfileWindow.length), !isLess || difference >> 1 <= whole else {
        throw reader.damage
      }
      let covered = isLess ? whole - difference >> 1 : whole + difference >> 1
      windows[Int64(index >> 1), default: Coverage(covered: 0, lost: 0, period: 0)].add(
        Coverage(covered: covered, lost: lost, period: period))
    }
    return windows
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
  func packed(_ key: BlockKey) throws -> (head: BlockHead, data: [UInt8])? {
    var result: (head: BlockHead, data: [UInt8])?
    try run("SELECT parts, data FROM block WHERE \(Self.key)", key.arguments) {
      result = (try BlockHead(decoding: $0.bytes(0), quantum: key.quantum), $0.bytes(1))
    }
    return result
  }

  /// Writes a block, in place of the one that is there.
  func write(_ key: BlockKey, total: UInt64, parts: [UInt8] = [], data: [UInt8]) throws {
    try run(
      "REPLACE INTO block (type, series, resolution, start, total, parts, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
      key.arguments + [.integer(Int64(bitPattern: total)), .bytes(parts), .bytes(data)])
  }

  /// Adds to the coverage of a time, which has no parts.
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
