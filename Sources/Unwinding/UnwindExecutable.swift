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
    guard memory.canHold(pages: pagesNeeded(table, count)), let numbers = memory.allocate(table.rules) else { return false }
    guard let entries = try memory.allocateEntries(count) else {
      memory.free(rules: numbers)
      return false
    }
    var pages: [UInt32] = []
    func giveUp() {
      for page in pages { memory.free(page: page) }
      memory.free(entries: entries)
      memory.free(rules: numbers)
    }
    let rowsPerPage = Int(SWTRACE_ROWS_PER_PAGE)
    var row = 0
    var rule = numbers[0]
    // Rows that wait to be written into the last page.
    var rows: [UInt32] = []
    rows.reserveCapacity(rowsPerPage)
    func flush() {
      guard let page = pages.last, !rows.isEmpty else { return }
      memory.store(rows, inPage: page)
      rows.removeAll(keepingCapacity: true)
    }
    for page in 0..<count {
      let end = UInt32(page + 1) << 8
      let first = row
      while row < table.count, table.starts[row] < end { row += 1 }
      let before = rule
      var slot: UInt64 = 0
      if row > first {
        if pages.isEmpty || rows.count + row - first > rowsPerPage {
          flush()
          do {
            guard let more = try memory.allocatePage() else {
              giveUp()
              return false
            }
            pages.append(more)
          } catch {
            giveUp()
            throw error
          }
        }
        slot = UInt64(pages[pages.count - 1]) * UInt64(rowsPerPage) + UInt64(rows.count)
        for index in first..<row { rows.append((table.starts[index] & 0xff) << 16 | UInt32(numbers[Int(table.numbers[index])])) }
        rule = numbers[Int(table.numbers[row - 1])]
      }
      memory.store(entry: slot | UInt64(row - first) << 32 | UInt64(before) << 48, at: entries.lowerBound + UInt32(page))
    }
    flush()
    state = .stored(entries: entries, pages: pages, rules: numbers)
    return true
  }

  /// The pages of the pool for its rows, those for 256 bytes of code in one page.
  private func pagesNeeded(_ table: UnwindTable, _ count: Int) -> Int {
    var (pages, used, row) = (0, Int(SWTRACE_ROWS_PER_PAGE), 0)
    for page in 0..<count {
      let first = row
      while row < table.count, table.starts[row] < UInt32(page + 1) << 8 { row += 1 }
      guard row > first else { continue }
      if used + row - first > Int(SWTRACE_ROWS_PER_PAGE) { (pages, used) = (pages + 1, 0) }
      used += row - first
    }
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
