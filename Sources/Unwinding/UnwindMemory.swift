internal import BPF
internal import CUnwind
internal import DebugInfo

/// The kernel's memory with rows, mappings and rules, as probes/unwind.h describes it. Grows shard by shard, up to a limit.
///
/// What is handed out is not given to another one before it was freed, and what is freed is not used again before no program can
/// still read it (`recycle`).
final class UnwindMemory {
  private static let shardSize = 1 << 20

  private let outerPool: CInt
  private let outerIndex: CInt
  private let ruleArray: MappedArray
  /// The numbers of the rules that are always there.
  private var gap: UInt16 = 0
  private var unsupported: UInt16 = 1
  private var poolShards: [MappedArray] = []
  private var indexShards: [MappedArray] = []
  private var freePages: [UInt32] = []
  private var usedPages: [UInt32] = []
  private var freeEntries = FreeRanges()
  private var usedEntries: [Range<UInt32>] = []
  private var numbers: [SIMD2<UInt64>: UInt16] = [:]
  /// By their numbers: the rule, and how many tables have it.
  private var rules: [(bits: SIMD2<UInt64>, uses: Int)] = []
  private var freeRules: [UInt16] = []
  private var usedRules: [UInt16] = []
  /// The most shards of both kinds.
  private let shardLimit: Int

  /// - Parameter limit: bytes of rows and of the index of pages together.
  init(_ maps: SharedMaps, limit: Int) throws(BPFError) {
    outerPool = try maps.descriptor("unwind_pool")
    outerIndex = try maps.descriptor("unwind_index")
    ruleArray = try MappedArray(
      sharing: try maps.descriptor("unwind_rules"), size: Int(SWTRACE_RULES) * MemoryLayout<UnwindRule>.size, name: "unwind_rules")
    shardLimit = max(limit / Self.shardSize, 2)
    // Rule 0 is the one of code without rules; the numbers of the index below SWTRACE_BASE_FIRST have a meaning of their own.
    gap = try number(of: .gap) ?? gap
    unsupported = try number(of: .unsupported) ?? unsupported
    try addIndexShard()
    freeEntries.remove(UInt32(SWTRACE_BASE_FIRST))
    try addPoolShard()
  }

  // MARK: Pages of the pool

  /// A page of 4 KiB; nil when there is no room.
  func allocatePage() throws(BPFError) -> UInt32? {
    if freePages.isEmpty, usedPages.count >= Self.worthAWait { try recycle() }
    if freePages.isEmpty, canGrow, poolShards.count < Int(SWTRACE_SHARDS) { try addPoolShard() }
    return freePages.popLast()
  }

  /// Whether so many pages can be had.
  func canHold(pages: Int) -> Bool {
    let shards = min(shardLimit - poolShards.count - indexShards.count, Int(SWTRACE_SHARDS) - poolShards.count)
    return pages <= freePages.count + shards * Int(SWTRACE_POOL_PAGES)
  }

  func free(page: UInt32) { usedPages.append(page) }

  /// So many freed pages are worth the wait of some milliseconds until they can be used again, rather than more memory.
  private static let worthAWait = 64

  /// Writes a page from its beginning.
  func store(_ bytes: RawSpan, inPage page: UInt32) throws(BPFError) {
    precondition(bytes.byteCount <= Int(SWTRACE_POOL_PAGE))
    let (shard, place) = Int(page).quotientAndRemainder(dividingBy: Int(SWTRACE_POOL_PAGES))
    try poolShards[shard].store(bytes, at: place * Int(SWTRACE_POOL_PAGE))
  }

  /// Gives up the mappings of what was written; a shard is mapped again when it is written again.
  func unmap() {
    for shard in poolShards { shard.unmap() }
    for shard in indexShards { shard.unmap() }
  }

  // MARK: The index of pages of code

  /// So many entries in a row; nil when there is no room.
  func allocateEntries(_ count: Int) throws(BPFError) -> Range<UInt32>? {
    while true {
      if let found = freeEntries.take(UInt32(count)) { return found }
      guard canGrow, indexShards.count < Int(SWTRACE_SHARDS) else { return nil }
      try addIndexShard()
    }
  }

  func free(entries: Range<UInt32>) { usedEntries.append(entries) }

  /// Writes entries one after another.
  func store(entries: [UInt64], at index: UInt32) throws(BPFError) {
    let bytes = entries.span.bytes
    var done = 0
    while done < entries.count {
      let (shard, place) = (Int(index) + done).quotientAndRemainder(dividingBy: Int(SWTRACE_INDEX_SHARD))
      let count = min(entries.count - done, Int(SWTRACE_INDEX_SHARD) - place)
      try indexShards[shard].store(bytes.extracting(done * 8..<(done + count) * 8), at: place * 8)
      done += count
    }
  }

  // MARK: Rules

  /// No file takes more: the C library has 315, a compiler of 210 MB 1,742.
  private static let rulesOfAFile = 4096

  /// The numbers of a table's rules, equal ones of all tables sharing one; nil when there is no room. What a file has too many of are rules
  /// that are not supported. Give them back to `free`.
  func allocate(_ table: [UnwindRule]) throws(BPFError) -> [UInt16]? {
    var allocated: [UInt16] = []
    for (index, rule) in table.enumerated() {
      let found: UInt16?
      do { found = index < Self.rulesOfAFile ? try number(of: rule) : unsupported } catch {
        free(rules: allocated)
        throw error
      }
      guard let number = found else {
        free(rules: allocated)
        return nil
      }
      rules[Int(number)].uses += 1
      allocated.append(number)
    }
    return allocated
  }

  func free(rules freed: [UInt16]) {
    for number in freed {
      rules[Int(number)].uses -= 1
      if rules[Int(number)].uses == 0, number != gap, number != unsupported {
        numbers[rules[Int(number)].bits] = nil
        usedRules.append(number)
      }
    }
  }

  private func number(of rule: UnwindRule) throws(BPFError) -> UInt16? {
    if let known = numbers[rule.bits] { return known }
    guard let number = freeRules.popLast() ?? (rules.count < Int(SWTRACE_RULES) ? UInt16(rules.count) : nil) else { return nil }
    if Int(number) == rules.count { rules.append((rule.bits, 0)) } else { rules[Int(number)] = (rule.bits, 0) }
    try ruleArray.store([rule].span.bytes, at: Int(number) * MemoryLayout<UnwindRule>.size)
    numbers[rule.bits] = number
    return number
  }

  // MARK: Growing

  private var canGrow: Bool { poolShards.count + indexShards.count < shardLimit }

  /// Whether something was freed that can be used again after a wait.
  var hasUsed: Bool { !usedPages.isEmpty || !usedEntries.isEmpty || !usedRules.isEmpty }

  /// Makes what was freed available, when every program that ran when it was freed has ended.
  ///
  /// That is what the kernel waits for when a map of maps is written, whatever is written (kernel/bpf/syscall.c,
  /// maybe_wait_bpf_programs, since 4.20): some milliseconds.
  func recycle() throws(BPFError) {
    try poolShards[0].insert(into: outerPool, at: 0)
    freePages += usedPages
    for range in usedEntries { freeEntries.insert(range) }
    freeRules += usedRules
    (usedPages, usedEntries, usedRules) = ([], [], [])
  }

  private func addPoolShard() throws(BPFError) {
    let shard = try MappedArray(name: "unwind_pool", valueSize: Int(SWTRACE_POOL_PAGE), count: Int(SWTRACE_POOL_PAGES))
    try shard.insert(into: outerPool, at: UInt32(poolShards.count))
    let first = UInt32(poolShards.count) * UInt32(SWTRACE_POOL_PAGES)
    poolShards.append(shard)
    freePages += (first..<first + UInt32(SWTRACE_POOL_PAGES)).reversed()
  }

  private func addIndexShard() throws(BPFError) {
    let shard = try MappedArray(name: "unwind_index", valueSize: 8, count: Int(SWTRACE_INDEX_SHARD))
    try shard.insert(into: outerIndex, at: UInt32(indexShards.count))
    let first = UInt32(indexShards.count) * UInt32(SWTRACE_INDEX_SHARD)
    indexShards.append(shard)
    freeEntries.insert(first..<first + UInt32(SWTRACE_INDEX_SHARD))
  }
}

/// Numbers that nobody has, in ranges as long as possible.
struct FreeRanges {
  /// Sorted, none touching another.
  private(set) var ranges: [Range<UInt32>] = []

  mutating func insert(_ range: Range<UInt32>) {
    let place = ranges.firstIndex { $0.lowerBound > range.lowerBound } ?? ranges.count
    ranges.insert(range, at: place)
    if place + 1 < ranges.count, ranges[place].upperBound == ranges[place + 1].lowerBound {
      ranges[place] = ranges[place].lowerBound..<ranges[place + 1].upperBound
      ranges.remove(at: place + 1)
    }
    if place > 0, ranges[place - 1].upperBound == ranges[place].lowerBound {
      ranges[place - 1] = ranges[place - 1].lowerBound..<ranges[place].upperBound
      ranges.remove(at: place)
    }
  }

  /// So many in a row, from the first range that is long enough.
  mutating func take(_ count: UInt32) -> Range<UInt32>? {
    guard count > 0, let place = ranges.firstIndex(where: { $0.count >= Int(count) }) else { return nil }
    let taken = ranges[place].lowerBound..<ranges[place].lowerBound + count
    ranges[place] = taken.upperBound..<ranges[place].upperBound
    if ranges[place].isEmpty { ranges.remove(at: place) }
    return taken
  }

  /// Gives out the first so many numbers for ever.
  mutating func remove(_ count: UInt32) { _ = take(count) }
}
