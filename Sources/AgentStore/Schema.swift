internal import GRDB
internal import Glibc

/// The file: how it is opened, what is in it, and what becomes of it when it is damaged.
enum Schema {
  /// "swta", in the header of the file, so that no other program's database is taken for a store.
  private static let applicationID: Int64 = 0x7377_7461

  /// `hash` is the bit pattern of an unsigned number. `last_seen` is a day since 1970. `total` is the bit pattern of an unsigned number,
  /// too; it and `parts` stand before `data`, so that reading them leaves the pages of `data` alone.
  private static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator().disablingDeferredForeignKeyChecks()
    migrator.registerMigration("1") { database in
      try database.execute(
        sql: """
          PRAGMA application_id = \(applicationID);
          CREATE TABLE frame (
            id INTEGER PRIMARY KEY, hash INTEGER NOT NULL UNIQUE, data BLOB NOT NULL, last_seen INTEGER NOT NULL,
            callee INTEGER NOT NULL);
          CREATE TABLE stack (
            id INTEGER PRIMARY KEY, hash INTEGER NOT NULL UNIQUE, data BLOB NOT NULL, last_seen INTEGER NOT NULL);
          CREATE TABLE series (
            id INTEGER PRIMARY KEY, hash INTEGER NOT NULL UNIQUE, data BLOB NOT NULL, last_seen INTEGER NOT NULL);
          CREATE TABLE block (
            type INTEGER, series INTEGER, resolution INTEGER, start INTEGER, total INTEGER NOT NULL, parts BLOB NOT NULL,
            data BLOB NOT NULL, PRIMARY KEY (type, series, resolution, start)) WITHOUT ROWID;
          CREATE INDEX block_start ON block (resolution, start);
          CREATE TABLE coverage (
            type INTEGER, resolution INTEGER, start INTEGER, covered INTEGER NOT NULL, lost INTEGER NOT NULL, period INTEGER NOT NULL,
            PRIMARY KEY (type, resolution, start)) WITHOUT ROWID;
          """)
    }
    // `metric` is the name's bytes; a block has all series of it.
    migrator.registerMigration("2") { database in
      try database.execute(
        sql: """
          CREATE TABLE metric_series (
            id INTEGER PRIMARY KEY, hash INTEGER NOT NULL UNIQUE, data BLOB NOT NULL, last_seen INTEGER NOT NULL);
          CREATE TABLE metric_block (
            metric BLOB, resolution INTEGER, start INTEGER, data BLOB NOT NULL, PRIMARY KEY (metric, resolution, start)) WITHOUT ROWID;
          CREATE INDEX metric_block_start ON metric_block (resolution, start);
          """)
    }
    // One row. Of an older file it is not known; the newest that is in it comes next to it.
    migrator.registerMigration("3") { database in
      try database.execute(
        sql: "CREATE TABLE retention (id INTEGER PRIMARY KEY CHECK (id = 1), time INTEGER NOT NULL, ahead INTEGER NOT NULL)")
      if let newest = try database.newestStart() { try database.keep(.init(time: newest)) }
    }
    // Blocks of several windows have another form from here on (`BlockHead`), and five minutes of coverage are one row: `parts` is what
    // each of its windows has (`CoverageCoding`). What is there is read as it is.
    migrator.registerMigration("4") { database in try database.execute(sql: "ALTER TABLE coverage ADD COLUMN parts BLOB") }
    return migrator
  }

  /// Opens the file, or a new one in its place when it is damaged.
  ///
  /// - Returns: the database, and what became of a damaged file, to be told.
  static func open(path: String, largest: Int64, now: Int64) throws -> (database: DatabasePool, remark: String?) {
    do {
      return (try open(path: path, largest: largest), nil)
    } catch let error as DatabaseError where error.isDamage {
      let remark = try moveAside(path: path, for: error, now: now)
      do {
        return (try open(path: path, largest: largest), remark)
      } catch let error as DatabaseError {
        throw StoreError.unusable(path: path, reason: error.message ?? "\(error.resultCode)")
      }
    } catch let error as DatabaseError {
      throw StoreError.unusable(path: path, reason: error.message ?? "\(error.resultCode)")
    }
  }

  /// Lets the file become so large, in bytes; a limit below what it has lets it be.
  static func limit(_ database: Database, to largest: Int64) throws {
    let size = try database.integer("PRAGMA page_size") ?? 4096
    try database.run("PRAGMA max_page_count = \(max(largest / size, 1))")
  }

  private static func open(path: String, largest: Int64) throws -> DatabasePool {
    var configuration = Configuration()
    configuration.label = "store"
    configuration.maximumReaderCount = 4
    configuration.busyMode = .timeout(5)
    configuration.prepareDatabase { database in
      guard !database.configuration.readonly else { return }
      // Before the first page is written: it cannot be changed later, and would be written again.
      if try database.integer("PRAGMA page_count") == 0 { try database.run("PRAGMA auto_vacuum = INCREMENTAL") }
      try limit(database, to: largest)
      // What the log keeps on disk after a checkpoint.
      try database.run("PRAGMA journal_size_limit = \(Store.largestLog)")
    }
    // GRDB's pool writes when it opens a file: what is not ours is looked at without it.
    if FileSize.of(path) > 0 {
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      try queue.inDatabase { try check($0, path: path) }
      try queue.close()
    }
    let pool = try DatabasePool(path: path, configuration: configuration)
    try pool.writeWithoutTransaction { try $0.run("PRAGMA synchronous = NORMAL") }
    try migrator.migrate(pool)
    return pool
  }

  private static func check(_ database: Database, path: String) throws {
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name != 'grdb_migrations'"
    if try database.integer(tables) != 0 {
      guard try database.integer("PRAGMA application_id") == applicationID else { throw StoreError.foreign(path: path) }
      if try migrator.hasBeenSuperseded(database) { throw StoreError.newer(path: path) }
    }
    try database.run("PRAGMA quick_check(1)") { row in
      let answer = String(decoding: row.bytes(0), as: UTF8.self)
      if answer != "ok" { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: answer.split(separator: "\n").last.map(String.init)) }
    }
  }

  /// Renames a damaged file, with its log: it belongs to no other file.
  ///
  /// - Returns: what became of it, to be told.
  static func moveAside(path: String, for error: DatabaseError, now: Int64) throws(StoreError) -> String {
    var seconds = time_t(now)
    var fields = tm()
    gmtime_r(&seconds, &fields)
    var text = [CChar](repeating: 0, count: 32)
    strftime(&text, text.count, "%Y%m%dT%H%M%SZ", &fields)
    let time = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var aside = "\(path).damaged-\(time)"
    var number = 1
    while access(aside, F_OK) == 0 {
      number += 1
      aside = "\(path).damaged-\(time)-\(number)"
    }
    for end in ["-wal", "-shm", ""] where rename(path + end, aside + end) != 0 && (end.isEmpty || errno != ENOENT) {
      throw .unusable(path: path, reason: "it is damaged and cannot be renamed: " + String(cString: strerror(errno)))
    }
    return "\(path) was damaged (\(error.message ?? "no reason")); it is \(aside) now, and a new one was begun"
  }
}

extension DatabaseError {
  /// Whether the file is at fault, not the system.
  var isDamage: Bool { resultCode == .SQLITE_CORRUPT || resultCode == .SQLITE_NOTADB }
}
