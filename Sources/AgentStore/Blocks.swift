internal import AgentModel
internal import Clibz
internal import Profiles

/// How long the blocks are, in seconds, and with that what is in them.
enum Resolution: Int64, CaseIterable {
  /// One window. `parts` is empty, `data` the values, by `ValueCoding`.
  case window = 10
  /// The windows of five minutes, each a part of a `Block`.
  case span = 300
  /// The sum of an hour, one part.
  case hour = 3600

  /// The beginning of the block that a time is in.
  func floor(_ time: Int64) -> Int64 { time - time % rawValue }
}

/// Sums by stack.
typealias Values = [Int64: UInt64]

/// Values of a window as bytes: pairs of a stack, as the difference to the one before, and its value.
enum ValueCoding {
  static func encode(_ values: Values) -> [UInt8] {
    var writer = ByteWriter()
    var last: Int64 = 0
    for (stack, value) in values.sorted(by: { $0.key < $1.key }) {
      writer.write(varint: UInt64(stack - last))
      writer.write(varint: value)
      last = stack
    }
    return writer.bytes
  }

  /// Hands over what the bytes hold, a stack and its value at a time.
  static func read(_ bytes: ArraySlice<UInt8>, body: (Int64, UInt64) -> Void) throws(StoreError) {
    var reader = ByteReader(bytes, what: "a block")
    var stack: UInt64 = 0
    while !reader.isAtEnd {
      stack &+= try reader.varint()
      guard stack <= UInt64(NameTable.ids.upperBound) else { throw reader.damage }
      body(Int64(stack), try reader.varint())
    }
  }
}

/// What a block of several windows says of each beside the data: where it begins, and what its values sum up to.
struct Part: Equatable {
  /// In windows from the beginning of the block.
  var index: Int64
  /// In the unit of the type.
  var total: UInt64
}

/// The `parts` of a block of several windows: what is told without the data, and how that is written.
///
/// Bytes: 360, which is no window's number; the windows as a bit set; flags; the length of the unfolded data; and the total of each window.
/// Blocks of files before schema 4 have the number, the total and the length of each window in its place.
struct BlockHead: Equatable {
  /// How the data is written.
  enum Form: Equatable {
    /// `ValueCoding` of one window after the other, of these lengths, folded. Only read.
    case windows([Int])
    /// For each window how many stacks it has and what is between their numbers; then the values, but for the last of each window, unless
    /// the totals do not tell it (`isWhole`).
    case columns(length: Int, isFolded: Bool, isWhole: Bool)
  }

  /// In their order.
  var parts: [Part]
  var form: Form

  private static let mark = UInt64(Resolution.hour.rawValue / ProfileWindow.length)
  private static let folded: UInt64 = 1
  private static let whole: UInt64 = 2

  /// - Parameter quantum: the unit of what is written, in that of the type.
  func encode(quantum: UInt64) -> [UInt8] {
    guard case .columns(let length, let isFolded, let isWhole) = form else { preconditionFailure("a form that is only read") }
    var writer = ByteWriter()
    writer.write(varint: Self.mark)
    writer.write(varint: parts.reduce(0) { $0 | 1 << UInt64($1.index) })
    writer.write(varint: (isFolded ? Self.folded : 0) | (isWhole ? Self.whole : 0))
    writer.write(varint: UInt64(length))
    for part in parts { writer.write(varint: part.total / quantum) }
    return writer.bytes
  }

  init(parts: [Part], form: Form) { (self.parts, self.form) = (parts, form) }

  init(decoding bytes: [UInt8], quantum: UInt64) throws(StoreError) {
    var reader = ByteReader(bytes, what: "a block")
    guard !reader.isAtEnd else {
      self.init(parts: [], form: .windows([]))
      return
    }
    let first = try reader.varint()
    guard first == Self.mark else {
      try self.init(windows: bytes)
      return
    }
    var set = try reader.varint()
    let (flags, length) = (try reader.varint(), try reader.varint())
    guard set >> UInt64(Resolution.span.rawValue / ProfileWindow.length) == 0, flags <= Self.folded | Self.whole,
      length <= UInt64(Deflated.largest)
    else { throw reader.damage }
    var parts: [Part] = []
    while set != 0 {
      parts.append(Part(index: Int64(set.trailingZeroBitCount), total: try reader.varint().multipliedSaturating(by: quantum)))
      set &= set - 1
    }
    guard reader.isAtEnd else { throw reader.damage }
    self.init(parts: parts, form: .columns(length: Int(length), isFolded: flags & Self.folded != 0, isWhole: flags & Self.whole != 0))
  }

  /// Of a file before schema 4.
  private init(windows bytes: [UInt8]) throws(StoreError) {
    var reader = ByteReader(bytes, what: "a block")
    var parts: [Part] = []
    var lengths: [Int] = []
    var sum = 0
    while !reader.isAtEnd {
      let part = Part(index: Int64(truncatingIfNeeded: try reader.varint()), total: try reader.varint())
      let length = Int(truncatingIfNeeded: try reader.varint())
      sum &+= length
      guard 0..<Resolution.span.rawValue / ProfileWindow.length ~= part.index, 0...Deflated.largest ~= length, sum <= Deflated.largest
      else { throw reader.damage }
      parts.append(part)
      lengths.append(length)
    }
    self.init(parts: parts, form: .windows(lengths))
  }
}

/// A block as a row has it.
struct Block {
  var total: UInt64 = 0
  var head: BlockHead
  var data: [UInt8]

  /// The values of each window, by its index, which are multiples of the quantum.
  init(_ windows: [Int64: Values], quantum: UInt64) {
    var (stacks, values) = (ByteWriter(), ByteWriter())
    var parts: [Part] = []
    let windows = windows.sorted { $0.key < $1.key }
    // A sum that is too large says nothing of the last value.
    let isWhole = windows.contains { $0.value.values.reduce(into: UInt64(0)) { $0.addSaturating($1) } == .max }
    for (index, window) in windows {
      let entries = window.sorted { $0.key < $1.key }
      stacks.write(varint: UInt64(entries.count))
      var last: Int64 = 0
      for (stack, _) in entries {
        stacks.write(varint: UInt64(stack - last))
        last = stack
      }
      for (_, value) in isWhole ? entries[...] : entries.dropLast() { values.write(varint: value / quantum) }
      let sum = entries.reduce(into: UInt64(0)) { $0.addSaturating($1.value) }
      parts.append(Part(index: index, total: sum))
      total.addSaturating(sum)
    }
    let columns = stacks.bytes + values.bytes
    let folded = Deflated.compress(columns)
    let isFolded = folded.count < columns.count
    head = BlockHead(parts: parts, form: .columns(length: columns.count, isFolded: isFolded, isWhole: isWhole))
    data = isFolded ? folded : columns
  }
}

extension BlockHead {
  /// Adds up the values of those windows whose index is asked for.
  ///
  /// - Parameters:
  ///   - quantum: the unit of what is written, in that of the type.
  ///   - isWanted: whether a window is asked for, by its index.
  ///   - values: where those of an index are added.
  func read(
    _ data: [UInt8], quantum: UInt64, where isWanted: (Int64) -> Bool = { _ in true },
    add: (_ index: Int64, _ stack: Int64, _ value: UInt64) -> Void
  ) throws(StoreError) {
    switch form {
    case .windows(let lengths):
      let bodies = try Deflated.decompress(data, count: lengths.reduce(0, +))
      var start = 0
      for (part, length) in zip(parts, lengths) {
        if isWanted(part.index) { try ValueCoding.read(bodies[start..<start + length]) { add(part.index, $0, $1) } }
        start += length
      }
    case .columns(let length, let isFolded, let isWhole):
      let columns = isFolded ? try Deflated.decompress(data, count: length) : data
      guard columns.count == length else { throw StoreError.damaged(what: "a block") }
      try read(columns, isWhole: isWhole, quantum: quantum, where: isWanted, add: add)
    }
  }

  private func read(
    _ columns: [UInt8], isWhole: Bool, quantum: UInt64, where isWanted: (Int64) -> Bool, add: (Int64, Int64, UInt64) -> Void
  ) throws(StoreError) {
    var stacks = ByteReader(columns, what: "a block")
    // The values begin where the stacks end.
    var values = stacks
    for _ in parts {
      let count = try values.varint()
      for _ in 0..<count { _ = try values.varint() }
    }
    for part in parts {
      let (count, isWanted) = (try stacks.varint(), isWanted(part.index))
      var (stack, rest) = (UInt64(0), part.total)
      for place in 0..<count {
        stack &+= try stacks.varint()
        guard stack <= UInt64(NameTable.ids.upperBound) else { throw stacks.damage }
        let isLast = !isWhole && place == count - 1
        let value = isLast ? rest : try values.varint().multipliedSaturating(by: quantum)
        guard isWhole || value <= rest else { throw stacks.damage }
        if !isWhole { rest -= value }
        if isWanted { add(part.index, Int64(stack), value) }
      }
      guard isWhole || rest == 0 else { throw stacks.damage }
    }
    guard values.isAtEnd else { throw values.damage }
  }
}

/// Bytes in zlib's form (RFC 1950).
enum Deflated {
  /// The largest block, unfolded, in bytes: thirty windows of a million stacks.
  static let largest = 1 << 27
  /// Deflate makes nothing smaller than this part of it (zlib's technical notes).
  private static let mostFolding = 1032

  static func compress(_ bytes: [UInt8]) -> [UInt8] {
    var count = compressBound(uLong(bytes.count))
    var result = [UInt8](repeating: 0, count: Int(count))
    let status = compress2(&result, &count, bytes, uLong(bytes.count), Z_DEFAULT_COMPRESSION)
    precondition(status == Z_OK, "zlib has no memory")
    result.removeSubrange(Int(count)...)
    return result
  }

  /// - Parameter count: how many bytes it must be.
  static func decompress(_ bytes: [UInt8], count: Int) throws(StoreError) -> [UInt8] {
    guard count <= largest, count <= bytes.count * mostFolding else { throw .damaged(what: "a block") }
    var length = uLongf(count)
    // One byte more, as zlib takes no room of none.
    var result = [UInt8](repeating: 0, count: count + 1)
    guard uncompress(&result, &length, bytes, uLong(bytes.count)) == Z_OK, Int(length) == count else { throw .damaged(what: "a block") }
    result.removeLast()
    return result
  }
}
