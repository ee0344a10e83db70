internal import AgentModel
internal import GRDB
internal import Profiles

private typealias TablePath = any WritableKeyPath<Names, NameTable> & Sendable

extension Store {
  /// Series whose blocks are made one in a transaction.
  private static let seriesInStep = 16
  /// Blocks that are removed, and numbers of the dictionaries that are looked through, in a transaction.
  private static let blocksInStep: Int64 = 500
  private static let namesInStep: Int64 = 4096
  /// Free pages that are given back in a transaction.
  private static let pagesInStep: Int64 = 256

  /// Does what is due: makes blocks of windows that are over, and hours of what is old; removes what is too old or too much, and the
  /// names that nothing has any more; gives the room back.
  ///
  /// Each step is a transaction of its own, so that windows are taken in between, and a crash leaves nothing half done.
  ///
  /// - Parameters:
  ///   - now: seconds since 1970.
  ///   - retention: the time by which ages are judged, which is kept; nil for `now`.
  package func maintain(now: Int64, retention: RetentionClock.Standing? = nil) async throws {
    note(now: now)
    let (options, trusted) = (options, retention?.time ?? now)
    try await write { database, _ in try Schema.limit(database, to: options.grownFile) }
    // First, for the other steps take room before they give some.
    try await shrink()
    while try await remove(before: trusted - options.hourAge) {}
    while try await pack(from: .window, into: .span, before: now) {}
    while try await packCoverage(before: now) {}
    while try await pack(from: .span, into: .hour, before: trusted - options.windowAge) {}
    while try await rollCoverage(before: trusted - options.windowAge) {}
    while try await packMetrics(from: .window, into: .span, before: now) {}
    while try await packMetrics(from: .span, into: .hour, before: trusted - options.windowAge) {}
    try await collect()
    while try await vacuum() {}
    // Last, as there may have been no room for it: an earlier one that stays has more kept, not less.
    if let retention { try await write { database, _ in try database.keep(retention) } }
    try await checkpoint()
  }

  /// Makes blocks of the oldest smaller ones that are over, for some series.
  ///
  /// - Returns: whether there were any.
  private func pack(from small: Resolution, into large: Resolution, before end: Int64) async throws -> Bool {
    let lost = try await write { database, _ -> Int? in
      guard
        let oldest = try database.integer("SELECT min(start) FROM block WHERE resolution = ? AND start >= 0", [.integer(small.rawValue)]),
        Self.times ~= oldest, large.floor(oldest) + large.rawValue <= end
      else { return nil }
      return try database.pack(from: small, into: large, start: large.floor(oldest), limit: Self.seriesInStep)
    }
    if let lost, lost > 0 { remember("\(lost) blocks were damaged and are lost") }
    return lost != nil
  }

  /// Makes one row of the coverage of the oldest five minutes, of each profile.
  private func packCoverage(before end: Int64) async throws -> Bool {
    let lost = try await write { database, _ -> Int? in
      let (small, large) = (Resolution.window, Resolution.span)
      guard
        let oldest = try database.integer(
          "SELECT min(start) FROM coverage WHERE resolution = ? AND start >= 0", [.integer(small.rawValue)]),
        Self.times ~= oldest, large.floor(oldest) + large.rawValue <= end
      else { return nil }
      return try database.packCoverage(start: large.floor(oldest))
    }
    if let lost, lost > 0 { remember("the coverage of \(lost) times was damaged and is lost") }
    return lost != nil
  }

  /// Makes one row of the coverage of the oldest hour.
  private func rollCoverage(before end: Int64) async throws -> Bool {
    try await write { database, _ in
      guard
        let oldest = try database.integer(
          "SELECT min(start) FROM coverage WHERE resolution < ? AND start >= 0", [.integer(Resolution.hour.rawValue)]),
        Self.times ~= oldest, Resolution.hour.floor(oldest) + Resolution.hour.rawValue <= end
      else { return false }
      let start = Resolution.hour.floor(oldest)
      let place = "FROM coverage WHERE resolution < ? AND start >= ? AND start < ?"
      let arguments: [Argument] = [.integer(Resolution.hour.rawValue), .integer(start), .integer(start + Resolution.hour.rawValue)]
      var sums: [Int64: Coverage] = [:]
      try database.run("SELECT type, covered, lost, period \(place)", arguments) { row in
        sums[row.integer(0), default: Coverage(covered: 0, lost: 0, period: 0)].add(
          Coverage(covered: row.unsigned(1), lost: row.unsigned(2), period: row.unsigned(3)))
      }
      for (type, sum) in sums { try database.addCoverage(sum, type: type, resolution: .hour, start: start) }
      try database.run("DELETE \(place)", arguments)
      return true
    }
  }

  /// Removes some of the blocks, and all coverage, that begin before a time.
  ///
  /// - Returns: whether there were any blocks.
  private func remove(before end: Int64) async throws -> Bool {
    try await write { database, _ in
      var removed = 0
      for resolution in Resolution.allCases {
        try database.run(
          """
          DELETE FROM block WHERE (type, series, resolution, start) IN (
            SELECT type, series, resolution, start FROM block WHERE resolution = ? AND start < ? LIMIT ?)
          """, [.integer(resolution.rawValue), .integer(end), .integer(Self.blocksInStep)])
        removed += database.changesCount
      }
      try database.run("DELETE FROM coverage WHERE start < ?", [.integer(end)])
      return try removed + database.removeMetrics(before: end, limit: Self.blocksInStep) > 0
    }
  }

  /// Removes the oldest hours until the file is as small as it has to be, or nothing is left.
  private func shrink() async throws {
    while try await read({ try $0.usedBytes() }) > options.largestFile {
      guard let oldest = try await read({ try $0.oldestStart() }) else { return }
      // A time that is none comes of damage; it goes with the rest.
      let end = Self.times ~= oldest ? Resolution.hour.floor(oldest) + Resolution.hour.rawValue : .max
      while try await remove(before: end) {}
      try await collect()
    }
  }

  /// Removes the stacks, frames and series that no block has any more.
  ///
  /// They know the last day on which they were seen: those that were last seen before the day of the oldest block are in none.
  private func collect() async throws {
    for table in [\Names.stacks, \Names.frames, \Names.series, \Names.metricSeries] as [TablePath] {
      var start: Int64 = 0
      while let next = try await collect(table, above: start) { start = next }
    }
  }

  /// - Returns: up to which number it looked; nil when there are no more.
  private func collect(_ table: TablePath, above start: Int64) async throws -> Int64? {
    try await write { database, names in
      let name = names[keyPath: table].name
      let day = try database.oldestStart().map { $0 / Self.day }
      // Since this day was looked for, nothing can have become free.
      if start == 0, let day, day == names[keyPath: table].collectedDay { return nil }
      guard let first = try database.integer("SELECT min(id) FROM \(name) WHERE id > ?", [.integer(start)]) else {
        names[keyPath: table].collectedDay = day
        return nil
      }
      let end = first.addingReportingOverflow(Self.namesInStep).partialValue
      try database.run(
        "DELETE FROM \(name) WHERE id >= ? AND id < ? AND last_seen < ?", [.integer(first), .integer(end), .integer(day ?? .max)])
      // In the same transaction: else the next window would have numbers of what is no more.
      if database.changesCount > 0 { names[keyPath: table].forget() }
      return end - 1
    }
  }

  /// Gives free pages back.
  ///
  /// - Returns: whether there are more.
  private func vacuum() async throws -> Bool {
    try await write { database, _ in
      let before = try database.integer("PRAGMA freelist_count") ?? 0
      guard before > 0 else { return false }
      // Each row of the answer is one page: it has to be read to its end.
      try database.run("PRAGMA incremental_vacuum(\(Self.pagesInStep))")
      return try database.integer("PRAGMA freelist_count") ?? 0 < before
    }
  }

  /// Moves the log into the file, and shortens it, unless somebody reads.
  private func checkpoint() async throws {
    do {
      try await database().writeWithoutTransaction { database in
        _ = try database.checkpoint(FileSize.of(self.path + "-wal") > Self.largestLog ? .truncate : .passive)
      }
    } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
      remember("the log could not be shortened, as somebody reads; it is shortened later")
    } catch {
      throw StoreError.wrapping(error)
    }
  }
}

extension Database {
  /// Makes one block of the small ones of a time, for at most `limit` series.
  ///
  /// - Returns: how many blocks could not be read and are lost.
  func pack(from small: Resolution, into large: Resolution, start: Int64, limit: Int) throws -> Int {
    let span: [Argument] = [.integer(small.rawValue), .integer(start), .integer(start + large.rawValue)]
    var keys: [BlockKey] = []
    try run(
      "SELECT DISTINCT type, series FROM block WHERE resolution = ? AND start >= ? AND start < ? LIMIT \(limit)", span
    ) { keys.append(BlockKey(type: $0.integer(0), series: $0.integer(1), resolution: large, start: start)) }
    var lost = 0
    for key in keys {
      var windows: [Int64: Values] = [:]
      func add(_ stack: Int64, _ value: UInt64, at time: Int64) {
        // An hour has no windows.
        let index = large == .hour ? 0 : (time - start) / ProfileWindow.length
        windows[index, default: [:]][stack, default: 0].addSaturating(value)
      }
      func add(_ head: BlockHead, _ data: [UInt8], from time: Int64) throws {
        try head.read(data, quantum: key.quantum) { add($1, $2, at: time + $0 * ProfileWindow.length) }
      }
      // Of a damaged block nothing is taken.
      func attempt(_ body: () throws -> Void) rethrows {
        let before = windows
        do { try body() } catch is StoreError { (windows, lost) = (before, lost + 1) }
      }
      // What came late adds to the block that is there.
      try attempt {
        guard let old = try packed(key) else { return }
        try add(old.head, old.data, from: start)
      }
      let place = "FROM block WHERE type = ? AND series = ? AND resolution = ? AND start >= ? AND start < ?"
      let arguments = [.integer(key.type), .integer(key.series)] + span
      try run("SELECT start, parts, data \(place)", arguments) { row in
        let time = row.integer(0)
        try attempt {
          if small == .window { return try ValueCoding.read(row.bytes(2)[...]) { add($0, $1, at: time) } }
          try add(BlockHead(decoding: row.bytes(1), quantum: key.quantum), row.bytes(2), from: time)
        }
      }
      try run("DELETE \(place)", arguments)
      // A file before schema 4 may have shorter times.
      let block = Block(windows.mapValues { $0.mapValues { $0.rounded(to: key.quantum) } }, quantum: key.quantum)
      if !windows.isEmpty { try write(key, total: block.total, parts: block.head.encode(quantum: key.quantum), data: block.data) }
    }
    return lost
  }

  /// Makes one row of the coverage of five minutes, of each profile.
  ///
  /// - Returns: how many rows could not be read and are lost.
  fileprivate func packCoverage(start: Int64) throws -> Int {
    let place = "FROM coverage WHERE resolution = ? AND start >= ? AND start < ?"
    let arguments: [Argument] = [.integer(Resolution.window.rawValue), .integer(start), .integer(start + Resolution.span.rawValue)]
    var types: [Int64: [Int64: Coverage]] = [:]
    var lost = 0
    try run("SELECT type, start, covered, lost, period \(place)", arguments) { row in
      types[row.integer(0), default: [:]][
        (row.integer(1) - start) / ProfileWindow.length, default: Coverage(covered: 0, lost: 0, period: 0)
      ]
      .add(Coverage(covered: row.unsigned(2), lost: row.unsigned(3), period: row.unsigned(4)))
    }
    for (type, windows) in types {
      var windows = windows
      let key: [Argument] = [.integer(type), .integer(Resolution.span.rawValue), .integer(start)]
      // What came late adds to what is there.
      try run("SELECT parts FROM coverage WHERE type = ? AND resolution = ? AND start = ?", key) { row in
        do { windows.merge(try CoverageCoding.decode(row.bytes(0))) { $0.adding($1) } } catch { lost += 1 }
      }
      let sum = windows.values.reduce(Coverage(covered: 0, lost: 0, period: 0)) { $0.adding($1) }
      try run(
        "REPLACE INTO coverage (type, resolution, start, covered, lost, period, parts) VALUES (?, ?, ?, ?, ?, ?, ?)",
        key + [sum.covered, sum.lost, sum.period].map { .integer(Int64(bitPattern: $0)) } + [.bytes(CoverageCoding.encode(windows))])
    }
    try run("DELETE \(place)", arguments)
    return lost
  }

  /// When the oldest block begins.
  func oldestStart() throws -> Int64? { try starts("min").min() }

  /// When the newest block begins.
  func newestStart() throws -> Int64? { try starts("max").max() }

  /// The first or last start of the blocks of each kind.
  private func starts(_ function: String) throws -> [Int64] {
    try ["block", "metric_block"].flatMap { table in
      try Resolution.allCases.compactMap {
        try integer("SELECT \(function)(start) FROM \(table) WHERE resolution = ?", [.integer($0.rawValue)])
      }
    }
  }

  /// The bytes of the pages that something is in.
  func usedBytes() throws -> Int64 {
    let pages = (try integer("PRAGMA page_count") ?? 0) - (try integer("PRAGMA freelist_count") ?? 0)
    return try pages * (integer("PRAGMA page_size") ?? 0)
  }
}
