internal import AgentModel
internal import Clibz
internal import Profiles

/// How long the blocks are, in seconds, and with that what is in them.
enum Resolution: Int64, CaseIterable {
  /// One window. `parts` is empty, `data` the values.
  case window = 10
  /// The windows of five minutes, each a part.
  case span = 300
  /// The sum of an hour, one part.
  case hour = 3600

  /// The beginning of the block that a time is in.
  func floor(_ time: Int64) -> Int64 { time - time % rawValue }
}

/// Sums by stack.
typealias Values = [Int64: UInt64]

/// Values as bytes: pairs of a stack, as the difference to the one before, and its value.
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

  /// Adds what the bytes hold.
  static func decode(_ bytes: ArraySlice<UInt8>, into values: inout Values) throws(StoreError) {
    var reader = ByteReader(bytes, what: "a block")
    var stack: UInt64 = 0
    while !reader.isAtEnd {
      stack &+= try reader.varint()
      guard stack <= UInt64(NameTable.ids.upperBound) else { throw reader.damage }
      values[Int64(stack), default: 0].addSaturating(try reader.varint())
    }
  }
}

/// What a block of several windows says of each beside the data: where it begins, what its values sum up to, and how long it is.
struct Part: Equatable {
  /// In windows from the beginning of the block.
  var index: Int64
  var total: UInt64
  /// In bytes of the unfolded data.
  var length: Int

  static func encode(_ parts: [Part]) -> [UInt8] {
    var writer = ByteWriter()
    for part in parts {
      writer.write(varint: UInt64(part.index))
      writer.write(varint: part.total)
      writer.write(varint: UInt64(part.length))
    }
    return writer.bytes
  }

  static func decode(_ bytes: [UInt8]) throws(StoreError) -> [Part] {
    var reader = ByteReader(bytes, what: "a block")
    var parts: [Part] = []
    var length = 0
    while !reader.isAtEnd {
      let part = Part(
        index: Int64(truncatingIfNeeded: try reader.varint()), total: try reader.varint(),
        length: Int(truncatingIfNeeded: try reader.varint()))
      length &+= part.length
      guard 0..<Resolution.hour.rawValue / ProfileWindow.length ~= part.index, 0...Deflated.largest ~= part.length,
        length <= Deflated.largest
      else { throw reader.damage }
      parts.append(part)
    }
    return parts
  }
}

/// A block as a row has it.
struct Block {
  var total: UInt64 = 0
  var parts: [Part] = []
  var data: [UInt8] = []

  /// The values of each window, by its index.
  init(_ windows: [Int64: Values]) {
    var bodies: [UInt8] = []
    for (index, values) in windows.sorted(by: { $0.key < $1.key }) {
      let body = ValueCoding.encode(values)
      bodies += body
      let sum = values.values.reduce(into: UInt64(0)) { $0.addSaturating($1) }
      parts.append(Part(index: index, total: sum, length: body.count))
      total.addSaturating(sum)
    }
    data = Deflated.compress(bodies)
  }

  /// The values of those windows whose index is asked for, by index.
  static func windows(
    parts: [Part], data: [UInt8], where isWanted: (Int64) -> Bool = { _ in true }, body: (Int64, ArraySlice<UInt8>) throws -> Void
  ) throws {
    let bodies = try Deflated.decompress(data, count: parts.reduce(0) { $0 + $1.length })
    var start = 0
    for part in parts {
      if isWanted(part.index) { try body(part.index, bodies[start..<start + part.length]) }
      start += part.length
    }
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
