/// Bytes that somebody else chose: a process's name, a path, an argument. Not necessarily UTF-8.
package struct Text: Hashable, Sendable {
  package var bytes: [UInt8]

  package init(_ bytes: [UInt8]) { self.bytes = bytes }
  package init(_ string: String) { bytes = Array(string.utf8) }

  /// The bytes up to the first zero.
  package init(zeroTerminated span: RawSpan) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(span.byteCount)
    for index in 0..<span.byteCount {
      let byte = span.unsafeLoad(fromByteOffset: index, as: UInt8.self)
      if byte == 0 { break }
      bytes.append(byte)
    }
    self.bytes = bytes
  }

  package var isEmpty: Bool { bytes.isEmpty }
}

extension [UInt8] {
  /// Appends text so that it can do no harm on a terminal or in a line-based format.
  ///
  /// Control characters and bytes that are not UTF-8 become `\n`, `\t`, `\r` or `\xHH`; everything else stays as it is.
  package mutating func append(escaped text: Text) { append(escaped: text.bytes) }

  package mutating func append(escaped bytes: [UInt8]) {
    // Nearly all names are printable ASCII.
    if bytes.allSatisfy({ $0 &- 0x20 < 0x5f }) { return append(contentsOf: bytes) }
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      if byte >= 0x20 && byte < 0x7f {
        append(byte)
        index += 1
        continue
      }
      let length = UTF8Sequence.length(in: bytes, at: index)
      if length > 1, !UTF8Sequence.isControl(bytes, at: index) {
        append(contentsOf: bytes[index..<index + length])
        index += length
        continue
      }
      switch byte {
      case 0x0a: append(contentsOf: "\\n".utf8)
      case 0x09: append(contentsOf: "\\t".utf8)
      case 0x0d: append(contentsOf: "\\r".utf8)
      default:
        for each in bytes[index..<index + Swift.max(length, 1)] { append(hexEscaped: each) }
        index += Swift.max(length, 1) - 1
      }
      index += 1
    }
  }

  mutating func append(hexEscaped byte: UInt8) {
    append(contentsOf: [0x5c, 0x78, hexDigit(byte >> 4), hexDigit(byte & 15)])
  }
}

/// The lower-case character of a value below 16.
func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

/// Well-formed UTF-8 (The Unicode Standard, table 3-7).
enum UTF8Sequence {
  /// The bytes of the character that starts at an index; 1 for ASCII, 0 when it is not well-formed.
  static func length(in bytes: [UInt8], at index: Int) -> Int {
    let lead = bytes[index]
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xbf
    switch lead {
    case 0x00...0x7f: return 1
    case 0xc2...0xdf: length = 2
    case 0xe0: (length, second) = (3, 0xa0...0xbf)
    case 0xed: (length, second) = (3, 0x80...0x9f)
    case 0xe1...0xef: length = 3
    case 0xf0: (length, second) = (4, 0x90...0xbf)
    case 0xf4: (length, second) = (4, 0x80...0x8f)
    case 0xf1...0xf3: length = 4
    default: return 0
    }
    guard index + length <= bytes.count, second.contains(bytes[index + 1]) else { return 0 }
    for offset in 2..<Swift.max(length, 2) where !(0x80...0xbf).contains(bytes[index + offset]) { return 0 }
    return length
  }

  /// Whether a well-formed character of two bytes or more is a C1 control (which terminals obey) or a line separator, or
  /// reorders the text around it.
  static func isControl(_ bytes: [UInt8], at index: Int) -> Bool {
    switch bytes[index] {
    case 0xc2: return bytes[index + 1] < 0xa0
    case 0xd8: return bytes[index + 1] == 0x9c
    case 0xe2:
      let pair = (bytes[index + 1], bytes[index + 2])
      return pair.0 == 0x80 && (pair.1 == 0x8e || pair.1 == 0x8f || (0xa8...0xae).contains(pair.1))
        || pair.0 == 0x81 && (0xa6...0xa9).contains(pair.1)
    default: return false
    }
  }
}
