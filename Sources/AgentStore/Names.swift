internal import GRDB

/// A table in which each content stands once, under a number: found by a hash, compared in full.
struct NameTable {
  struct Entry {
    let id: Int64
    /// The day since 1970 on which it was last seen, as the file has it.
    var lastSeen: Int64
    /// The frame that a frame was first seen to call; 0 for none, and in the other tables.
    var callee: Int64
  }

  /// The numbers that there may be: others are damage, and as if they were not there.
  static let ids: ClosedRange<Int64> = 1...(1 << 48)
  /// So many contents of one hash are no accident.
  private static let mostCollisions = 1 << 12

  let name: String
  private let hasCallee: Bool
  private let hash: @Sendable ([UInt8]) -> UInt64
  /// What is known of the file; nothing in it may be believed after a transaction that failed.
  private var entries: [[UInt8]: Entry] = [:]
  private var nextID: Int64?
  /// The day before which nothing is left, once that was looked for.
  var collectedDay: Int64?

  init(_ name: String, hasCallee: Bool = false, hash: @escaping @Sendable ([UInt8]) -> UInt64) {
    self.name = name
    self.hasCallee = hasCallee
    self.hash = hash
  }

  mutating func forget() {
    entries.removeAll()
    nextID = nil
  }

  /// Forgets all when there is more than `limit`: what is in use is read again.
  mutating func forget(above limit: Int) {
    if entries.count > limit { entries.removeAll(keepingCapacity: true) }
  }

  subscript(content: [UInt8]) -> Entry? { entries[content] }

  /// The entry of a content, from memory or from the file.
  mutating func find(_ content: [UInt8], in database: Database) throws -> Entry? {
    if let known = entries[content] { return known }
    var place = hash(content)
    for _ in 0..<Self.mostCollisions {
      var taken = false
      var found: Entry?
      try database.run(
        "SELECT id, last_seen, \(hasCallee ? "callee" : "0"), data FROM \(name) WHERE hash = ?", [.integer(Int64(bitPattern: place))]
      ) { row in
        taken = true
        if row.bytes(3) == content, Self.ids ~= row.integer(0) {
          found = Entry(id: row.integer(0), lastSeen: row.integer(1), callee: row.integer(2))
        }
      }
      if let found { entries[content] = found }
      // Another content with this hash stands here. Once that is removed, one behind it is not found and gets a second number,
      // which is of no harm: readers add up equal stacks.
      guard taken, found == nil else { return found }
      place &+= 1
    }
    throw StoreError.damaged(what: "the table \(name)")
  }

  /// A number that none has had since the program began.
  mutating func newID(in database: Database) throws -> Int64 {
    let last = "SELECT max(id) FROM \(name) WHERE id BETWEEN \(Self.ids.lowerBound) AND \(Self.ids.upperBound - 1)"
    let id = try nextID ?? (database.integer(last) ?? 0) + 1
    nextID = id + 1
    return id
  }

  /// Inserts a content that is not there.
  mutating func insert(_ content: [UInt8], _ entry: Entry, in database: Database) throws {
    var place = hash(content)
    let sql = "INSERT OR IGNORE INTO \(name) VALUES (?, ?, ?, ?\(hasCallee ? ", ?" : ""))"
    for _ in 0..<Self.mostCollisions {
      var arguments: [Argument] = [
        .integer(entry.id), .integer(Int64(bitPattern: place)), .bytes(content), .integer(entry.lastSeen),
      ]
      if hasCallee { arguments.append(.integer(entry.callee)) }
      try database.run(sql, arguments)
      if database.changesCount > 0 {
        entries[content] = entry
        return
      }
      place &+= 1
    }
    throw StoreError.damaged(what: "the table \(name)")
  }

  /// Writes what changed of an entry.
  mutating func update(_ content: [UInt8], _ entry: Entry, in database: Database) throws {
    if hasCallee {
      try database.run(
        "UPDATE frame SET last_seen = ?, callee = ? WHERE id = ?", [.integer(entry.lastSeen), .integer(entry.callee), .integer(entry.id)])
    } else {
      try database.run("UPDATE \(name) SET last_seen = ? WHERE id = ?", [.integer(entry.lastSeen), .integer(entry.id)])
    }
    entries[content] = entry
  }

  /// The number of a content that was seen on a day; inserted if it is new, its last day written if that is later.
  mutating func intern(_ content: [UInt8], day: Int64, in database: Database) throws -> Int64 {
    if var entry = try find(content, in: database) {
      if entry.lastSeen < day {
        entry.lastSeen = day
        try update(content, entry, in: database)
      }
      return entry.id
    }
    let entry = Entry(id: try newID(in: database), lastSeen: day, callee: 0)
    try insert(content, entry, in: database)
    return entry.id
  }
}

/// The dictionaries of the file. Used only where the file is written, one transaction at a time.
struct Names {
  var frames: NameTable
  var stacks: NameTable
  var series: NameTable
  var metricSeries: NameTable
  /// How many entries of one table are kept in memory from window to window.
  let limit: Int

  init(hash: @escaping @Sendable ([UInt8]) -> UInt64, limit: Int) {
    frames = NameTable("frame", hasCallee: true, hash: hash)
    stacks = NameTable("stack", hash: hash)
    series = NameTable("series", hash: hash)
    metricSeries = NameTable("metric_series", hash: hash)
    self.limit = limit
  }

  mutating func forget() {
    frames.forget()
    stacks.forget()
    series.forget()
    metricSeries.forget()
  }

  /// The numbers of a window's stacks, which are written where they are new.
  mutating func intern(stacks all: [[UInt32]], frames contents: [[UInt8]], day: Int64, in database: Database) throws -> [Int64] {
    frames.forget(above: limit)
    stacks.forget(above: limit)
    series.forget(above: limit)
    var entries: [NameTable.Entry] = []
    var isNew: [Bool] = []
    var places: [Int64: Int] = [:]
    var newIDs: [[UInt8]: Int64] = [:]
    for content in contents {
      let found = try frames.find(content, in: database)
      let id = try found?.id ?? newIDs[content] ?? frames.newID(in: database)
      if found == nil { newIDs[content] = id }
      isNew.append(found == nil && places[id] == nil)
      entries.append(found ?? NameTable.Entry(id: id, lastSeen: day, callee: 0))
      places[id] = places[id] ?? entries.count - 1
    }
    // A frame that is there twice counts as the first of them.
    let first = entries.map { places[$0.id] ?? 0 }
    var changed = Set<Int>()
    for stack in all {
      for (caller, callee) in zip(stack, stack.dropFirst()) {
        let place = first[Int(caller)]
        if entries[place].callee == 0 {
          entries[place].callee = entries[Int(callee)].id
          changed.insert(place)
        }
      }
    }
    for place in entries.indices where first[place] == place {
      if isNew[place] {
        try frames.insert(contents[place], entries[place], in: database)
      } else if entries[place].lastSeen < day || changed.contains(place) {
        entries[place].lastSeen = max(entries[place].lastSeen, day)
        try frames.update(contents[place], entries[place], in: database)
      }
    }
    return try all.map { stack in
      let bytes = StackCoding.encode(stack.map { entries[Int($0)].id }) { entries[places[$0]!].callee }
      return try stacks.intern(bytes, day: day, in: database)
    }
  }
}
