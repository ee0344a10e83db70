/// Numbers of variable length (LEB128) and strings, one after the other.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func write(_ byte: UInt8) { bytes.append(byte) }
  mutating func write(_ more: [UInt8]) { bytes += more }

  mutating func write(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  mutating func write(_ string: String) {
    write(varint: UInt64(string.utf8.count))
    bytes.append(contentsOf: string.utf8)
  }
}

/// Reads what `ByteWriter` wrote; never beyond the end.
struct ByteReader {
  /// What is read, for the error.
  let what: String
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>, what: String) {
    rest = bytes
    self.what = what
  }

  init(_ bytes: [UInt8], what: String) { self.init(bytes[...], what: what) }

  var isAtEnd: Bool { rest.isEmpty }
  var damage: StoreError { .damaged(what: what) }

  mutating func byte() throws(StoreError) -> UInt8 {
    guard let byte = rest.popFirst() else { throw damage }
    return byte
  }

  mutating func varint() throws(StoreError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let next = try byte()
      // The tenth byte holds the last bit.
      guard shift < 63 || next <= 1 else { throw damage }
      value |= UInt64(next & 0x7F) << shift
      if next < 0x80 { return value }
      shift += 7
    }
  }

  mutating func string() throws(StoreError) -> String {
    guard let string = String(validating: try bytes(varint()), as: UTF8.self) else { throw damage }
    return string
  }

  mutating func bytes(_ count: UInt64) throws(StoreError) -> ArraySlice<UInt8> {
    guard count <= UInt64(rest.count) else { throw damage }
    defer { rest = rest.dropFirst(Int(count)) }
    return rest.prefix(Int(count))
  }

  /// What has not been read.
  var remainder: ArraySlice<UInt8> { rest }
}
