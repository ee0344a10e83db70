internal import GRDB
internal import GRDBSQLite

/// What is bound to a parameter. GRDB binds bytes only as Foundation's `Data`.
enum Argument {
  case integer(Int64)
  case bytes([UInt8])
}

/// The row that a statement stands at.
struct Row {
  fileprivate let statement: OpaquePointer

  /// 0 for what is no number.
  func integer(_ column: CInt) -> Int64 { sqlite3_column_int64(statement, column) }

  func isNull(_ column: CInt) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

  /// Empty for what has no bytes.
  func bytes(_ column: CInt) -> [UInt8] {
    guard let start = sqlite3_column_blob(statement, column) else { return [] }
    return [UInt8](UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column))))
  }
}

extension Database {
  /// Runs one statement to its end.
  ///
  /// - Throws: `DatabaseError`, and what `body` throws.
  func run(_ sql: String, _ arguments: [Argument] = [], body: (Row) throws -> Void = { _ in }) throws {
    let statement = try cachedStatement(sql: sql).sqliteStatement
    defer {
      sqlite3_reset(statement)
      sqlite3_clear_bindings(statement)
    }
    for (index, argument) in zip(CInt(1)..., arguments) {
      switch argument {
      case .integer(let value): try check(sqlite3_bind_int64(statement, index, value), sql)
      case .bytes(let bytes): try check(bind(bytes, to: statement, at: index), sql)
      }
    }
    while true {
      let code = sqlite3_step(statement)
      if code == SQLITE_DONE { return }
      guard code == SQLITE_ROW else { throw error(code, sql) }
      try body(Row(statement: statement))
    }
  }

  /// The first number of the first row, if there is one and it is a number.
  func integer(_ sql: String, _ arguments: [Argument] = []) throws -> Int64? {
    var result: Int64?
    try run(sql, arguments) { row in
      if result == nil, !row.isNull(0) { result = row.integer(0) }
    }
    return result
  }

  private func bind(_ bytes: [UInt8], to statement: OpaquePointer, at index: CInt) -> CInt {
    bytes.withUnsafeBytes { buffer in
      // SQLITE_TRANSIENT: SQLite copies. No bytes at all would be bound as NULL.
      buffer.isEmpty
        ? sqlite3_bind_zeroblob(statement, index, 0)
        : sqlite3_bind_blob(statement, index, buffer.baseAddress, CInt(buffer.count), unsafeBitCast(-1, to: sqlite3_destructor_type.self))
    }
  }

  private func check(_ code: CInt, _ sql: String) throws {
    if code != SQLITE_OK { throw error(code, sql) }
  }

  private func error(_ code: CInt, _ sql: String) -> DatabaseError {
    DatabaseError(resultCode: ResultCode(rawValue: code), message: lastErrorMessage, sql: sql)
  }
}

extension StoreError {
  /// An error of SQLite, or one that is an error of the store already; others as they are.
  static func wrapping(_ error: any Error) -> any Error {
    guard let error = error as? DatabaseError else { return error }
    switch error.resultCode {
    case .SQLITE_FULL: return StoreError.full
    default: return StoreError.failed(reason: error.message ?? "SQLite error \(error.resultCode.rawValue)")
    }
  }
}
