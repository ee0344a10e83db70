/// Writes messages in protobuf's binary encoding (protobuf.dev/programming-guides/encoding): what pprof's and Prometheus' messages need.
///
/// As proto3 wants it, fields that hold their default are left out.
package struct ProtobufEncoder {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  package mutating func append(_ field: Int, _ value: UInt64) {
    guard value != 0 else { return }
    append(varint: UInt64(field) << 3)
    append(varint: value)
  }

  /// A number of the types sint32 and sint64.
  package mutating func append(_ field: Int, signed value: Int64) { append(field, Self.zigzag(value)) }

  package static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

  package mutating func append(_ field: Int, double value: Double) {
    guard value.bitPattern != 0 else { return }
    append(varint: UInt64(field) << 3 | 1)
    for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift)) }
  }

  mutating func append(_ field: Int, _ value: Bool) { append(field, value ? 1 : 0) }

  /// A string, a message, or packed numbers; written even when empty, as an element of a repeated field.
  package mutating func append(_ field: Int, _ content: some Collection<UInt8>) {
    append(varint: UInt64(field) << 3 | 2)
    append(varint: UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  package mutating func append(_ field: Int, packed values: [UInt64]) {
    guard !values.isEmpty else { return }
    var content = ProtobufEncoder()
    for value in values { content.append(varint: value) }
    append(field, content.bytes)
  }

  package mutating func append(_ field: Int, _ message: (inout ProtobufEncoder) -> Void) {
    var content = ProtobufEncoder()
    message(&content)
    append(field, content.bytes)
  }

  /// Fields that were encoded apart, as they are.
  mutating func append(_ fields: ProtobufEncoder) { bytes += fields.bytes }
}

/// Reads a message field by field, whatever is in it: each length is checked before it is used, and nothing is copied.
struct ProtobufDecoder {
  enum Failure: Error, Hashable, Sendable {
    case truncated
    case longVarint
    case wireType(UInt64)
    case fieldZero
    /// A known field that is encoded as another type.
    case wrongType(field: Int)
  }

  /// What a field holds, a message or string as its place in the input.
  enum Value {
    case number(UInt64)
    case bytes(Range<Int>)
  }

  private let input: [UInt8]
  private(set) var position: Int
  private let end: Int

  init(_ input: [UInt8], _ range: Range<Int>) {
    self.input = input
    (position, end) = (range.lowerBound, range.upperBound)
  }

  /// The next field; nil at the end. Fixed-width numbers, of which pprof has none, are skipped.
  mutating func next() throws(Failure) -> (field: Int, value: Value)? {
    while position < end {
      let key = try varint()
      guard let field = Int(exactly: key >> 3), field != 0 else { throw .fieldZero }
      switch key & 7 {
      case 0: return (field, .number(try varint()))
      case 2: return (field, .bytes(try skip(try varint())))
      case 1: _ = try skip(8)
      case 5: _ = try skip(4)
      default: throw .wireType(key & 7)
      }
    }
    return nil
  }

  mutating func varint() throws(Failure) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard position < end else { throw .truncated }
      let byte = input[position]
      position += 1
      // The tenth byte has room for one bit.
      if shift == 63, byte > 1 { throw .longVarint }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw .longVarint
  }

  private mutating func skip(_ count: UInt64) throws(Failure) -> Range<Int> {
    guard count <= UInt64(end - position) else { throw .truncated }
    defer { position += Int(count) }
    return position..<position + Int(count)
  }

  var isAtEnd: Bool { position >= end }
}
