internal import Glibc

/// Bytes of a section, in the memory of the file that they come from, which must outlive them.
@safe
struct Bytes {
  private let base: UnsafeRawPointer
  let count: Int
  /// How many more can be read behind them: of a part, what follows it.
  let margin: Int

  init() {
    unsafe base = unsafe UnsafeRawPointer(bitPattern: 1)!
    (count, margin) = (0, 0)
  }

  init(_ buffer: UnsafeRawBufferPointer, margin: Int = 0) {
    unsafe base = unsafe buffer.baseAddress ?? Bytes().base
    count = buffer.count
    self.margin = margin
  }

  /// A part; empty when it does not lie within.
  func slice(_ offset: UInt64, _ length: UInt64) -> Bytes {
    guard offset <= UInt64(count), length <= UInt64(count) - offset else { return Bytes() }
    let margin = count - Int(offset) - Int(length) + margin
    return unsafe Bytes(UnsafeRawBufferPointer(start: base + Int(offset), count: Int(length)), margin: margin)
  }

  var copy: [UInt8] { unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: count)) }

  /// What is smaller stays in memory until its file is closed: reading its pages again would take longer than what it is read for.
  static let keptSize = 4 << 20

  /// Gives up the pages of a part that is not needed soon, in the file that the bytes are of.
  func discard(_ range: Range<Int>, of file: ELFFile) {
    let range = range.clamped(to: 0..<count)
    unsafe file.discard(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Reads from a position on, up to another one or the end; fails at once when it does not lie within.
  func cursor(at position: UInt64 = 0, end: Int? = nil) -> Cursor {
    let end = min(end ?? count, count)
    return unsafe Cursor(base, Int(clamping: position), end, hasFailed: position > UInt64(max(end, 0)))
  }

  /// Lets `body` have the bytes up to the next zero, the end or a limit.
  func withText<Result>(at offset: Int, limit: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    guard offset < count else { return unsafe body(UnsafeBufferPointer(start: nil, count: 0)) }
    let start = unsafe (base + offset).assumingMemoryBound(to: UInt8.self)
    return unsafe body(UnsafeBufferPointer(start: start, count: strnlen(start, min(count - offset, limit))))
  }

  /// The text that ends with a zero.
  func text(at offset: UInt64) -> String? {
    guard offset < UInt64(count) else { return nil }
    let start = unsafe (base + Int(offset)).assumingMemoryBound(to: CChar.self)
    let text = unsafe boundedString(start, limit: min(count - Int(offset), Bytes.textLimit))
    return text.isEmpty ? nil : text
  }

  /// Longer names are of no use to people.
  private static let textLimit = 4096
}

/// Reads numbers one after another, little-endian.
protocol NumberReader {
  var position: Int { get }
  var hasFailed: Bool { get }
  mutating func u8() -> UInt8
  mutating func u16() -> UInt16
  mutating func u32() -> UInt32
  mutating func u64() -> UInt64
  mutating func skip(_ length: UInt64)
}

/// Reads numbers one after another (little-endian, as the machine). Beyond the end it reads zeros, and has failed.
@safe
struct Cursor: NumberReader {
  private let base: UnsafeRawPointer
  private(set) var position: Int
  let end: Int
  private(set) var hasFailed: Bool

  init(_ base: UnsafeRawPointer, _ position: Int, _ end: Int, hasFailed: Bool) {
    unsafe self.base = unsafe base
    self.position = hasFailed ? end : position
    self.end = end
    self.hasFailed = hasFailed
  }

  var isAtEnd: Bool { position >= end }

  @inline(__always)
  private mutating func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Number {
    guard end &- position >= MemoryLayout<Number>.size else { return fail() }
    let number = unsafe base.loadUnaligned(fromByteOffset: position, as: Number.self)
    position &+= MemoryLayout<Number>.size
    return number
  }

  private mutating func fail<Number: FixedWidthInteger>() -> Number {
    hasFailed = true
    position = end
    return 0
  }

  @inline(__always) mutating func u8() -> UInt8 { load(UInt8.self) }
  @inline(__always) mutating func u16() -> UInt16 { load(UInt16.self) }
  @inline(__always) mutating func u32() -> UInt32 { load(UInt32.self) }
  @inline(__always) mutating func u64() -> UInt64 { load(UInt64.self) }

  /// A number of 1, 2, 3, 4 or 8 bytes.
  mutating func unsigned(_ size: Int) -> UInt64 {
    switch size {
    case 1: return UInt64(u8())
    case 2: return UInt64(u16())
    case 3: return UInt64(u16()) | UInt64(u8()) << 16
    case 4: return UInt64(u32())
    case 8: return u64()
    default: return fail()
    }
  }

  /// LEB128 without a sign.
  @inline(__always)
  mutating func uleb() -> UInt64 {
    let first = u8()
    if first < 0x80 { return UInt64(first) }
    var result = UInt64(first & 0x7f)
    var shift: UInt64 = 7
    while true {
      let byte = u8()
      if shift < 64 { result |= UInt64(byte & 0x7f) << shift }
      shift += 7
      if byte < 0x80 { return result }
    }
  }

  /// LEB128 with a sign.
  mutating func sleb() -> Int64 {
    var result: Int64 = 0
    var shift: Int64 = 0
    while true {
      let byte = u8()
      if shift < 64 { result |= Int64(byte & 0x7f) << shift }
      shift += 7
      if byte < 0x80 {
        if shift < 64, byte & 0x40 != 0 { result |= -1 << shift }
        return result
      }
    }
  }

  @inline(__always)
  mutating func skip(_ length: UInt64) {
    if length <= UInt64(end &- position) {
      position &+= Int(length)
    } else {
      let _: UInt8 = fail()
    }
  }

  /// Passes a text and its zero; where it began.
  mutating func text() -> UInt64 {
    let start = position
    while u8() != 0 {}
    return UInt64(start)
  }
}

extension Cursor {
  /// Lets `body` read without looking for the end. What it read beyond that counts as a failure.
  ///
  /// - Parameters:
  ///   - length: the most bytes that are read.
  ///   - margin: how many bytes behind the end can be read.
  /// - Returns: nil where there are fewer.
  @inline(__always)
  mutating func withUncheckedReader<Result>(_ length: Int, margin: Int, _ body: (inout UncheckedReader) -> Result) -> Result? {
    guard end &- position &+ margin >= length, !hasFailed else { return nil }
    var reader = unsafe UncheckedReader(base, position)
    let result = body(&reader)
    hasFailed = reader.position > end
    position = min(reader.position, end)
    return result
  }
}

/// Reads numbers of bytes that are known to be there.
@safe
struct UncheckedReader: NumberReader {
  private let base: UnsafeRawPointer
  private(set) var position: Int

  @unsafe
  fileprivate init(_ base: UnsafeRawPointer, _ position: Int) {
    unsafe self.base = unsafe base
    self.position = position
  }

  var hasFailed: Bool { false }

  @inline(__always)
  private mutating func load<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Number {
    let number = unsafe base.loadUnaligned(fromByteOffset: position, as: Number.self)
    position &+= MemoryLayout<Number>.size
    return number
  }

  @inline(__always) mutating func u8() -> UInt8 { load(UInt8.self) }
  @inline(__always) mutating func u16() -> UInt16 { load(UInt16.self) }
  @inline(__always) mutating func u32() -> UInt32 { load(UInt32.self) }
  @inline(__always) mutating func u64() -> UInt64 { load(UInt64.self) }
  @inline(__always) mutating func skip(_ length: UInt64) { position &+= Int(truncatingIfNeeded: length) }

  /// A number with its sign, of up to 4 bytes; there are 4.
  @inline(__always)
  mutating func signed(_ size: Int) -> Int32 {
    let number = unsafe base.loadUnaligned(fromByteOffset: position, as: Int32.self)
    position &+= size
    // What is beyond goes out at the upper end, and the sign comes in there.
    let rest = Int64(32 &- 8 &* size)
    return Int32(truncatingIfNeeded: Int64(Int32(truncatingIfNeeded: Int64(number) &<< rest)) &>> rest)
  }

  @inline(__always) mutating func rewind(to position: Int) { self.position = position }
}
