package import AgentModel
internal import GRDB
internal import Profiles
internal import Synchronization

/// Keeps windows in one SQLite file, and answers from it.
///
/// Each window is one transaction. Readers see a state between transactions and do not hold up the writer.
package final class Store: Target, Sendable {
  /// How much is kept.
  package struct Options: Sendable {
    /// How long each window is kept by itself, in seconds.
    package var windowAge: Int64 = 3 * 86400
    /// How long sums of hours are kept, in seconds.
    package var hourAge: Int64 = 30 * 86400
    /// The size of the file, in bytes, above which the oldest is removed; between two times of upkeep it may grow to a quarter more,
    /// and no further.
    package var largestFile: Int64 = 2 << 30
    /// How many frames, stacks and series are kept in memory to be found sooner, each.
    package var cachedNames = 100_000

    package init() {}

    /// What the file may have between two times of upkeep.
    var grownFile: Int64 { largestFile + largestFile / 4 }
  }

  /// What the log may hold after upkeep, in bytes.
  static let largestLog: Int64 = 4 << 20

  struct Counters {
    var stored: UInt64 = 0
    var dropped: UInt64 = 0
    var remarks: [String] = []
  }

  private struct Connection {
    /// None after the file was found damaged, until the next use.
    var pool: DatabasePool?
    /// The latest time that was told, in seconds since 1970.
    var now: Int64
    var options: Options
  }

  let path: String
  private let connection: Mutex<Connection>
  /// Changed in transactions only, by the one writer.
  let names: Mutex<Names>
  let counters = Mutex(Counters())

  /// Opens the file, or creates it. One that is damaged is moved aside, which `status` tells as a remark.
  ///
  /// - Parameter now: seconds since 1970.
  /// - Throws: `StoreError` for a file of a later version or of another program, and where there can be no file.
  package convenience init(path: String, options: Options = Options(), now: Int64) throws {
    try self.init(path: path, options: options, now: now, hash: contentHash)
  }

  init(path: String, options: Options, now: Int64, hash: @escaping @Sendable ([UInt8]) -> UInt64) throws {
    self.path = path
    names = Mutex(Names(hash: hash, limit: options.cachedNames))
    connection = Mutex(Connection(now: now, options: options))
    _ = try database()
  }

  /// How much is kept.
  var options: Options { connection.withLock(\.options) }

  /// Keeps more or less from the next upkeep on.
  package func keep(_ options: Options) { connection.withLock { $0.options = options } }

  /// The open file; it is opened if it is not.
  func database() throws -> DatabasePool {
    try connection.withLock { connection in
      if let pool = connection.pool { return pool }
      let opened = try Schema.open(path: path, largest: connection.options.grownFile, now: connection.now)
      connection.pool = opened.database
      if let remark = opened.remark { remember(remark) }
      return opened.database
    }
  }

  /// Moves a file aside that was found damaged in use. The next use begins a new one.
  private func abandon(_ damaged: DatabasePool, for error: DatabaseError) {
    connection.withLock { connection in
      guard connection.pool === damaged else { return }
      connection.pool = nil
      do {
        // Before the file has another name: SQLite removes the log by its old one.
        try damaged.close()
        remember(try Schema.moveAside(path: path, for: error, now: connection.now))
      } catch {
        remember("\(StoreError.wrapping(error))")
      }
    }
  }

  /// Tells the time, in seconds since 1970.
  func note(now: Int64) { connection.withLock { $0.now = max($0.now, now) } }

  /// Takes in a window as one transaction; a window of a start that is there already adds to it.
  ///
  /// - Throws: `StoreError`; nothing of the window is stored then.
  package func receive(_ window: ProfileWindow) async throws {
    try await take {
      try Self.check(window)
      return window.start
    } insert: { database, names in
      try Self.insert(window, in: database, names: &names)
    }
  }

  /// Takes in a window as one transaction, and counts whether that went well.
  ///
  /// - Parameters:
  ///   - check: returns the window's start.
  ///   - insert: returns how many blocks of the same start could not be read, and are replaced.
  func take(check: () throws -> Int64, insert: @escaping @Sendable (Database, inout Names) throws -> Int) async throws {
    do {
      note(now: try check())
      let damaged = try await write(insert)
      if damaged > 0 { remember("\(damaged) blocks were damaged and are lost") }
      counters.withLock { $0.stored += 1 }
    } catch {
      counters.withLock { $0.dropped += 1 }
      throw error
    }
  }

  /// Keeps the newest remarks for `status`.
  func remember(_ remark: String) {
    counters.withLock { counters in
      if counters.remarks.last != remark { counters.remarks.append(remark) }
      if counters.remarks.count > 16 { counters.remarks.removeFirst() }
    }
  }

  /// Runs a transaction that writes.
  func write<Result: Sendable>(_ body: @escaping @Sendable (Database, inout Names) throws -> Result) async throws -> Result {
    let pool = try database()
    do {
      return try await pool.writeWithoutTransaction { database in
        try self.names.withLock { names in
          var result: Result?
          do {
            try database.inTransaction(.immediate) {
              result = try body(database, &names)
              return .commit
            }
          } catch {
            // What was learned in this transaction is not in the file.
            names.forget()
            throw error
          }
          return result!
        }
      }
    } catch {
      if let error = error as? DatabaseError, error.isDamage { abandon(pool, for: error) }
      throw StoreError.wrapping(error)
    }
  }

  private static func check(_ window: ProfileWindow) throws(StoreError) {
    guard window.start >= 0, window.start < times.upperBound, window.start % ProfileWindow.length == 0 else {
      throw .malformed(what: "it begins at \(window.start), which is no multiple of \(ProfileWindow.length)")
    }
    for stack in window.stacks {
      guard stack.count <= StackCoding.deepest else { throw .malformed(what: "it has a stack of \(stack.count) frames") }
      guard stack.allSatisfy({ $0 < window.frames.count }) else {
        throw .malformed(what: "it has a stack with frames that it does not have")
      }
    }
    guard window.series.allSatisfy({ $0.samples.allSatisfy { window.stacks.indices ~= $0.stack } }) else {
      throw .malformed(what: "it has a sample with a stack that it does not have")
    }
  }

  /// What counts as a time, in seconds since 1970.
  static let times: Range<Int64> = 0..<1 << 40
  static let day: Int64 = 86400

  /// - Returns: how many blocks of the same start could not be read, and are replaced.
  private static func insert(_ window: ProfileWindow, in database: Database, names: inout Names) throws -> Int {
    var damaged = 0
    let day = window.start / Self.day
    let stacks = try names.intern(stacks: window.stacks, frames: window.frames.map(FrameCoding.encode), day: day, in: database)
    for series in window.series {
      var values: Values = [:]
      for sample in series.samples where sample.value > 0 { values[stacks[sample.stack], default: 0].addSaturating(sample.value) }
      values = values.mapValues { $0.rounded(to: window.type.quantum) }
      guard !values.isEmpty else { continue }
      let id = try names.series.intern(LabelCoding.encode(series.labels), day: day, in: database)
      let key = BlockKey(type: window.type.number, series: id, resolution: .window, start: window.start)
      if let data = try database.data(of: key) {
        var sum = values
        do {
          try ValueCoding.read(data[...]) { sum[$0, default: 0].addSaturating($1) }
          values = sum
        } catch {
          damaged += 1
        }
      }
      let total = values.values.reduce(into: UInt64(0)) { $0.addSaturating($1) }
      try database.write(key, total: total, data: ValueCoding.encode(values))
    }
    try database.addCoverage(
      Coverage(covered: window.covered, lost: window.lost, period: window.period), type: window.type.number, resolution: .window,
      start: window.start)
    return damaged
  }
}
