import AgentModel
import Foundation
import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct DamageTests {
  let folder: TemporaryFolder
  var path: String { folder.file("store.db") }

  init() throws { folder = try TemporaryFolder() }

  private var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() } }

  /// A store's file, closed: some windows, some of them packed.
  private func bytes() async throws -> [UInt8] {
    let other = try TemporaryFolder()
    do {
      let store = try Store(in: other)
      for index in 0..<60 as Range<Int64> {
        let values = (0..<20 as Range<Int64>).map { number -> (stack: String, value: UInt64) in
          ("main;loop;function \(index * 20 + number)", UInt64(index + 1))
        }
        try await store.receive(window(index * 10, [("web", values)]))
        if index == 40 { try await store.maintain(now: 400) }
      }
      try await store.maintain(now: 400)
    }
    #expect(FileManager.default.fileExists(atPath: other.file("store.db-wal")) == false)
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: other.file("store.db"))))
  }

  @Test func whatNobodyClosedIsThere() async throws {
    let store = try Store(in: folder)
    for index in 0..<37 as Range<Int64> {
      try await store.receive(window(index * 10, [("web", [("main;a", 41)])]))
      if index == 30 { try await store.maintain(now: 310) }
    }
    // As kill -9 leaves it: the file and its log, without a last word.
    let copy = try TemporaryFolder()
    for end in ["", "-wal"] { try FileManager.default.copyItem(atPath: path + end, toPath: copy.file("store.db\(end)")) }
    let again = try Store(in: copy)
    #expect(try await again.text(0..<1000) == ["web: main;a \(37 * 41)"])
    #expect(await again.status().remarks == [])
    try await again.receive(window(370, [("web", [("main;a", 41), ("main;b", 43)])]))
    #expect(try await again.text(0..<1000) == ["web: main;a \(38 * 41)", "web: main;b 43"])
    // A log that ends in the middle: what was whole before is there.
    let torn = try TemporaryFolder()
    let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
    try FileManager.default.copyItem(atPath: path, toPath: torn.file("store.db"))
    _ = try torn.file("store.db-wal", [UInt8](log.dropLast(log.count / 3)))
    let rest = try Store(in: torn)
    let sum = try await rest.profile(Query(.cpu, in: 0..<1000)).total
    #expect(sum % 41 == 0)
    #expect(sum <= 37 * 41)
    #expect(await rest.status().remarks == [])
  }

  @Test(arguments: ["not a database", "zeros", "half", "pages"]) func aDamagedFileIsMovedAside(kind: String) async throws {
    var bytes = try await bytes()
    switch kind {
    case "not a database":
      bytes = Array("This is a text, and it is longer than the header of a database, which has one hundred bytes, by far.".utf8)
    case "zeros": bytes = [UInt8](repeating: 0, count: 8192)
    case "half": bytes = Array(bytes.prefix(bytes.count / 2))
    default:
      var generator = SeededGenerator(seed: 1)
      for page in 1..<bytes.count / 4096 { for index in 0..<200 { bytes[page * 4096 + index] = .random(in: 0...255, using: &generator) } }
    }
    _ = try folder.file("store.db", bytes)
    let store = try Store(path: path, now: 1_700_000_000)
    #expect(try names.filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") } == ["store.db", "store.db.damaged-20231114T221320Z"])
    #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: path + ".damaged-20231114T221320Z"))) == bytes)
    let remarks = await store.status().remarks
    #expect(remarks.count == 1)
    #expect(remarks[0].hasPrefix("\(path) was damaged ("))
    #expect(remarks[0].hasSuffix("it is \(path).damaged-20231114T221320Z now, and a new one was begun"))
    try await store.receive(window(0, [("web", [("a", 3)])]))
    #expect(try await store.text(0..<10) == ["web: a 3"])
  }

  /// The pages go bad while the file is open, as a failing disk's do.
  @Test func aFileThatIsDamagedInUseIsMovedAside() async throws {
    let bytes = try await bytes()
    _ = try folder.file("store.db", bytes)
    let store = try Store(in: folder)
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    for page in 1..<bytes.count / 4096 {
      try file.seek(toOffset: UInt64(page * 4096))
      try file.write(contentsOf: [UInt8](repeating: 0xA5, count: 4096))
    }
    try file.close()
    await #expect(throws: StoreError.self) { try await store.receive(window(600, [("web", [("a", 3)])])) }
    try await store.receive(window(610, [("web", [("a", 5)])]))
    try await store.maintain(now: 1000)
    #expect(try await store.text(0..<1000) == ["web: a 5"])
    let status = await store.status()
    #expect(status.stored == 1)
    #expect(status.dropped == 1)
    #expect(status.remarks.count == 1)
    #expect(try names.filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") } == ["store.db", "store.db.damaged-19700101T001000Z"])
  }

  @Test func aSecondDamagedFileHasAnotherName() throws {
    for _ in 0..<2 {
      _ = try folder.file("store.db", Array(repeating: UInt8(ascii: "x"), count: 5000))
      _ = try Store(path: path, now: 0)
    }
    #expect(try names.filter { $0.contains("damaged") } == ["store.db.damaged-19700101T000000Z", "store.db.damaged-19700101T000000Z-2"])
  }

  @Test func aLaterVersionIsRefused() async throws {
    do {
      let store = try Store(in: folder)
      try await store.receive(window(0, [("web", [("a", 3)])]))
      try await store.write { database, _ in try database.run("INSERT INTO grdb_migrations VALUES ('later')") }
    }
    #expect(throws: StoreError.newer(path: path)) { try Store(in: folder) }
    #expect(
      StoreError.newer(path: "a.db").description
        == "cannot open a.db: a later version of swtrace wrote it; use that version, or another path for this one")
    #expect(try names == ["store.db"])
  }

  @Test func anotherProgramsDatabaseIsRefused() async throws {
    do {
      let store = try Store(in: folder)
      try await store.write { database, _ in try database.run("PRAGMA application_id = 5") }
    }
    #expect(throws: StoreError.foreign(path: path)) { try Store(in: folder) }
    #expect(try names == ["store.db"])
  }

  @Test func aFolderThatIsNotThereIsAnError() throws {
    let path = folder.file("missing/store.db")
    #expect { try Store(path: path, now: 0) } throws: { error in
      guard case .unusable(path, _) = error as? StoreError else { return false }
      return true
    }
  }

  /// The checks of SQLite know nothing of what the values mean.
  @Test(arguments: 0..<60 as Range<UInt64>) func changedValuesEndNothing(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let store = try Store(in: folder)
    for index in 0..<40 as Range<Int64> {
      try await store.receive(window(index * 10, [("web", [("main;a;b", 2), ("main;a", 3), ("c", 5)])]))
    }
    try await store.maintain(now: 300)
    let columns = [
      ("frame", "id", "data"), ("stack", "id", "data"), ("series", "id", "data"), ("block", "start", "parts"), ("block", "start", "data"),
    ]
    let (table, key, column) = columns[Int(seed) % columns.count]
    var rows: [(Int64, [UInt8])] = []
    rows = try await store.read { database in
      var rows: [(Int64, [UInt8])] = []
      try database.run("SELECT \(key), \(column) FROM \(table)") { rows.append(($0.integer(0), $0.bytes(1))) }
      return rows
    }
    for (id, bytes) in rows {
      let changed = mutated(bytes, using: &generator)
      try await store.write { database, names in
        names.forget()
        try database.run("UPDATE \(table) SET \(column) = ? WHERE \(key) = ?", [.bytes(changed), .integer(id)])
      }
    }
    let number = Int64.random(in: .min ... .max, using: &generator)
    try await store.write { database, _ in
      switch seed % 4 {
      case 0: try database.run("UPDATE frame SET callee = ?, last_seen = ?", [.integer(number), .integer(number)])
      case 1: try database.run("UPDATE OR IGNORE stack SET id = ?", [.integer(number)])
      case 2: try database.run("UPDATE OR IGNORE block SET start = ?, total = ?", [.integer(number), .integer(number)])
      default: try database.run("UPDATE coverage SET covered = ?, lost = ?", [.integer(number), .integer(number)])
      }
    }
    // An error or an answer, but nothing else.
    for _ in 0..<2 {
      await attempt { _ = try await store.profile(Query(.cpu, in: 0..<1000)) }
      await attempt { _ = try await store.series(Query(.cpu, in: .min..<(.max))) }
      await attempt { _ = try await store.timeline(Query(.cpu, in: 0..<1000), step: 10, by: "service") }
      _ = await store.status()
      await attempt { try await store.receive(window(10, [("web", [("main;a;b", 2), ("new", 3)])])) }
      await attempt { try await store.maintain(now: 10_000_000) }
    }
    try await store.maintain(now: 1 << 40)
    #expect(try await store.count("block WHERE start < 1000") == 0)
  }

  private func attempt(_ body: () async throws -> Void) async {
    do { try await body() } catch { #expect(error is StoreError, "\(error)") }
  }
}
