/// Writes messages in protobuf's binary encoding (protobuf.dev/programming-guides/encoding): only what `Profile` of pprof needs.
///
/// As proto3 wants it, fields that hold their default are left out.
struct ProtobufEncoder {
  private(set) var bytes: [UInt8] = []

  mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  mutating func append(_ field: Int, _ value: UInt64) {
    guard value != 0 else { return }
    append(varint: UInt64(field) << 3)
    append(varint: value)
  }

  mutating func append(_ field: Int, _ value: Bool) { append(field, value ? 1 : 0) }

  /// A string, a message, or packed numbers; written even when empty, as an element of a repeated field.
  mutating func append(_ field: Int, _ content: some Collection<UInt8>) {
    append(varint: UInt64(field) << 3 | 2)
    append(varint: UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  mutating func append(_ field: Int, packed values: [UInt64]) {
    guard !values.isEmpty else { return }
    var content = ProtobufEncoder()
    for value in values { content.append(varint: value) }
    append(field, content.bytes)
  }

  mutating func append(_ field: Int, _ message: (inout ProtobufEncoder) -> Void) {
    var content = ProtobufEncoder()
    message(&content)
    append(field, content.bytes)
  }

  /// Fields that were encoded apart, as they are.
  mutating func append(_ fields: ProtobufEncoder) { bytes += fields.bytes }
}
