internal import BPF
internal import CUnwind
internal import DebugInfo
package import Linux
internal import Symbolication

/// The rules of one file in the kernel's memory.
package final class UnwindExecutable {
  enum State {
    /// Not made yet.
    case pending
    /// Being made by the worker.
    case building
    /// Made, and not in the kernel yet.
    case made
    /// In the kernel: the entry of the index for the first page of code.
    case stored(entries: Range<UInt32>, pages: [UInt32], rules: [UInt16])
    /// There are rules, but no room.
    case homeless
    /// There are none.
    case none
  }

  private(set) var state = State.pending

  /// What tells files apart.
  package enum Key: Hashable, Sendable {
    case file(FileIdentity)
    /// The vDSO.
    case image
  }

  let key: Key
  /// Of the file, for people.
  let name: String
  /// Until the table is made.
  private var object: CodeObject?
  /// For walks in user space, and for storing it again.
  private(set) var table: UnwindTable?
  /// By which the addresses of mappings are found.
  private(set) var segments: [ELFFile.Segment] = []
  /// Why the file could not be read, where it could not.
  private(set) var failure: String?
  /// How many processes that the probes know have mapped it.
  var references = 0

  init(_ object: CodeObject, _ key: Key) {
    self.object = object
    self.key = key
    name = object.path
  }

  /// Whether it is worth another try to put it into the kernel's memory.
  func hasRoomAgain() { if case .homeless = state { state = .made } }

  var isPending: Bool { if case .pending = state { true } else { false } }
  var isBuilding: Bool { if case .building = state { true } else { false } }
  var isHomeless: Bool { if case .homeless = state { true } else { false } }
  var isMade: Bool { if case .made = state { true } else { false } }
  var isStored: Bool { if case .stored = state { true } else { false } }

  /// Has the table made, by the worker where it can; nothing if that was done.
  func build(_ worker: TableWorker) {
    guard case .pending = state else { return }
    defer { object = nil }
    do {
      switch try object?.source() {
      case .file(let file): take(TableResult { () throws(Symbolized.Reason) in file })
      case .unopened(let file):
        state = .building
        if !worker.submit(key, file) { take(TableResult { () throws(Symbolized.Reason) in try file.open() }) }
      case nil: state = .none
      }
    } catch { take(.failed(error.rawValue)) }
  }

  /// Takes in what the table is.
  func take(_ result: TableResult) {
    switch result {
    case .table(let made, let segments):
      (table, self.segments) = (made, segments)
      state = .made
    case .failed(let reason):
      failure = reason
      state = .none
    }
  }

  /// The address of a byte of the file, if it is code; mappings begin at pages, segments anywhere in them.
  func address(at offset: UInt64) -> UInt64? {
    for segment in segments where segment.isExecutable {
      let first = segment.offset.rawValue & ~0xfff
      guard offset >= first, offset < segment.offset.rawValue &+ segment.fileSize else { continue }
      return segment.address.rawValue &- (segment.offset.rawValue &- offset)
    }
    return nil
  }

  /// Puts the table into the kernel's memory; false when there is no room.
  func store(in memory: UnwindMemory) throws(BPFError) -> Bool {
    guard let table else { return false }
    state = .homeless
    let count = Int((table.code.upperBound - table.code.lowerBound) >> 8)
    let rowsOfPages = Self.rowsOfPages(table.starts, count)
    guard memory.canHold(pages: rowsOfPages.count), let rules = try memory.allocate(table.rules) else { return false }
    guard let entries = try memory.allocateEntries(count) else {
      memory.free(rules: rules)
      return false
    }
    var pages: [UInt32] = []
    func giveUp() {
      for page in pages { memory.free(page: page) }
      memory.free(entries: entries)
      memory.free(rules: rules)
    }
    do {
      let (starts, numbers) = (table.starts, table.numbers)
      for rows in rowsOfPages {
        guard let page = try memory.allocatePage() else {
          giveUp()
          return false
        }
        pages.append(page)
        let content = rows.map { (starts[$0] & 0xff) << 16 | UInt32(rules[Int(numbers[$0])]) }
        try memory.store(content.span.bytes, inPage: page)
      }
      try memory.store(entries: index(starts, numbers, rules, pages, rowsOfPages, count), at: entries.lowerBound)
    } catch {
      giveUp()
      throw error
    }
    state = .stored(entries: entries, pages: pages, rules: rules)
    return true
  }

  /// For each 256 bytes of code where its rows are, and the rule that holds before them.
  private func index(
    _ starts: [UInt32], _ numbers: [UInt16], _ rules: [UInt16], _ pages: [UInt32], _ rowsOfPages: [Range<Int>], _ count: Int
  ) -> [UInt64] {
    var (row, place) = (0, 0)
    var rule = rules[0]
    return (0..<count).map { page in
      let end = UInt32(page + 1) << 8
      let first = row
      while row < starts.count, starts[row] < end { row += 1 }
      guard row > first else { return UInt64(rule) << 48 }
      if first == rowsOfPages[place].upperBound { place += 1 }
      let slot = UInt64(pages[place]) * UInt64(SWTRACE_ROWS_PER_PAGE) + UInt64(first - rowsOfPages[place].lowerBound)
      defer { rule = rules[Int(numbers[row - 1])] }
      return slot | UInt64(row - first) << 32 | UInt64(rule) << 48
    }
  }

  /// Which rows stand in each page of the pool: those for 256 bytes of code in one.
  private static func rowsOfPages(_ starts: [UInt32], _ count: Int) -> [Range<Int>] {
    var pages: [Range<Int>] = []
    var (begin, row) = (0, 0)
    for page in 0..<count {
      let first = row
      let end = UInt32(page + 1) << 8
      while row < starts.count, starts[row] < end { row += 1 }
      guard row - begin > Int(SWTRACE_ROWS_PER_PAGE) else { continue }
      pages.append(begin..<first)
      begin = first
    }
    if begin < row { pages.append(begin..<row) }
    return pages
  }

  /// Takes the table out of the kernel's memory. Nothing in the kernel may refer to it any more.
  func remove(from memory: UnwindMemory) {
    guard case .stored(let entries, let pages, let rules) = state else { return }
    for page in pages { memory.free(page: page) }
    memory.free(entries: entries)
    memory.free(rules: rules)
    state = .made
  }
}
