internal import AgentModel
internal import Profiles

/// 64-bit FNV-1a of the bytes, mixed. It is in the files: another function would find nothing of what is there.
func contentHash(_ bytes: [UInt8]) -> UInt64 {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  hash = (hash ^ hash >> 32) &* 0x9E37_79B9_7F4A_7C15
  return hash ^ hash >> 29
}

/// A frame as bytes: flags, line, function, module, and what there is of file and mangled name.
enum FrameCoding {
  private static let inlined: UInt8 = 4
  private static let hasFile: UInt8 = 8
  private static let hasMangled: UInt8 = 16

  static func encode(_ frame: Frame) -> [UInt8] {
    var writer = ByteWriter()
    var flags = frame.kind.rawValue
    if frame.isInlined { flags |= inlined }
    if frame.file != nil { flags |= hasFile }
    if frame.mangled != nil { flags |= hasMangled }
    writer.write(flags)
    writer.write(varint: UInt64(frame.line))
    writer.write(frame.function)
    writer.write(frame.module)
    if let file = frame.file { writer.write(file) }
    if let mangled = frame.mangled { writer.write(mangled) }
    return writer.bytes
  }

  static func decode(_ bytes: [UInt8]) throws(StoreError) -> Frame {
    var reader = ByteReader(bytes, what: "a frame")
    let flags = try reader.byte()
    guard let kind = Frame.Kind(rawValue: flags & 3), let line = UInt32(exactly: try reader.varint()) else { throw reader.damage }
    let frame = Frame(
      function: try reader.string(), module: try reader.string(), kind: kind, isInlined: flags & inlined != 0,
      file: flags & hasFile != 0 ? try reader.string() : nil, line: line,
      mangled: flags & hasMangled != 0 ? try reader.string() : nil)
    guard reader.isAtEnd else { throw reader.damage }
    return frame
  }
}

/// Labels as bytes: names and values in turn.
enum LabelCoding {
  static func encode(_ labels: Labels) -> [UInt8] {
    var writer = ByteWriter()
    for label in labels.all {
      writer.write(label.name)
      writer.write(label.value)
    }
    return writer.bytes
  }

  static func decode(_ bytes: [UInt8]) throws(StoreError) -> Labels {
    var reader = ByteReader(bytes, what: "a series")
    var pairs: [(String, String)] = []
    while !reader.isAtEnd { pairs.append((try reader.string(), try reader.string())) }
    return Labels(pairs)
  }
}

/// A stack as bytes, from the root to the leaf.
///
/// Most calls go from a function to the one that it was first seen to call, its usual callee. A stack is written as the frames that are
/// not, and between them the number of those that are: odd numbers are a frame (`id << 1 | 1`), even ones a run (`length << 1`). A
/// frame's usual callee never changes once there is one, so that equal stacks have equal bytes.
enum StackCoding {
  /// The deepest stack. A run is short to write: without a bound a damaged byte would take all memory.
  static let deepest = 1 << 16

  /// - Parameter callee: the usual callee of a frame, which all frames but the leaf have.
  static func encode(_ frames: [Int64], callee: (Int64) -> Int64) -> [UInt8] {
    var writer = ByteWriter()
    var run: UInt64 = 0
    var expected: Int64 = 0
    for frame in frames {
      if frame == expected {
        run += 1
      } else {
        if run > 0 { writer.write(varint: run << 1) }
        run = 0
        writer.write(varint: UInt64(frame) << 1 | 1)
      }
      expected = callee(frame)
    }
    if run > 0 { writer.write(varint: run << 1) }
    return writer.bytes
  }

  /// - Parameter callee: the usual callee of a frame; 0 for none. Throws for frames that do not exist.
  static func decode(_ bytes: [UInt8], callee: (Int64) throws -> Int64) throws -> [Int64] {
    var reader = ByteReader(bytes, what: "a stack")
    var frames: [Int64] = []
    while !reader.isAtEnd {
      let token = try reader.varint()
      if token & 1 == 1 {
        frames.append(Int64(token >> 1))
      } else {
        let length = token >> 1
        guard length <= UInt64(deepest), frames.count + Int(length) <= deepest else { throw reader.damage }
        for _ in 0..<length {
          guard let last = frames.last else { throw reader.damage }
          frames.append(try callee(last))
        }
      }
      guard frames.count <= deepest else { throw reader.damage }
    }
    return frames
  }
}
