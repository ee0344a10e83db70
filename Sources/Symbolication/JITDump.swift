internal import Linux

/// The file in which a just-in-time compiler records its code, `jit-PID.dump`; the process maps it as code, so that it is found
/// (tools/perf/Documentation/jitdump-specification.txt of Linux, version 1).
enum JITDump {
  /// Whether a mapped file is called as such files are.
  static func isMeant(by name: String) -> Bool {
    guard name.hasPrefix("jit-"), name.hasSuffix(".dump") else { return false }
    let number = name.dropFirst(4).dropLast(5)
    return !number.isEmpty && number.allSatisfy(\.isNumber)
  }

  /// Reads the records; those that are cut off are still being written. Nil when it is no such file, or of a foreign machine.
  static func parse(_ file: [UInt8]) -> CodeMap? {
    var header = Reader(file)
    guard header.number(4) == 0x4A69_5444, header.number(4) == 1, let size = header.number(4), size >= 40, size <= file.count else {
      return nil
    }
    var builder = CodeMap.Builder()
    var position = Int(size)
    /// Lines come before the code that they are of.
    var pending: [(address: UInt64, line: UInt32, file: ArraySlice<UInt8>)] = []
    while !builder.isFull {
      var record = Reader(file, position)
      guard let kind = record.number(4), let length = record.number(4), length >= 16, record.number(8) != nil,
        length <= file.count - position
      else { break }
      record.end = position + Int(length)
      position = record.end
      switch kind {
      case 0:
        guard record.number(8) != nil, record.number(8) != nil, let address = record.number(8), let size = record.number(8),
          record.number(8) != nil, let name = record.text()
        else { continue }
        builder.add(address, size, name: name)
        for line in pending { builder.add(line: line.line, of: line.file, at: line.address) }
        pending = []
      case 1:
        guard record.number(8) != nil, record.number(8) != nil, let old = record.number(8), let new = record.number(8),
          let size = record.number(8), let name = builder.name(at: old)
        else { continue }
        builder.add(new, size, name: name.utf8)
      case 2:
        guard record.number(8) != nil, let count = record.number(8) else { continue }
        pending = []
        var number: UInt64 = 0
        // A name of FF 00 stands for the one before.
        while number < count, let address = record.number(8), let line = record.number(4), record.number(4) != nil, let name = record.text()
        {
          pending.append((address, UInt32(truncatingIfNeeded: line), name.elementsEqual([0xff]) ? pending.last?.file ?? [] : name))
          number += 1
        }
      default: continue
      }
    }
    return CodeMap(builder)
  }

  private struct Reader {
    private let bytes: [UInt8]
    private var position: Int
    var end: Int

    init(_ bytes: [UInt8], _ position: Int = 0) { (self.bytes, self.position, end) = (bytes, position, bytes.count) }

    /// In the byte order of the machine, little-endian.
    mutating func number(_ size: Int) -> UInt64? {
      guard end - position >= size else { return nil }
      defer { position += size }
      return (0..<size).reduce(0) { $0 | UInt64(bytes[position + $1]) << UInt64(8 * $1) }
    }

    mutating func text() -> ArraySlice<UInt8>? {
      guard position <= end, let zero = bytes[position..<end].firstIndex(of: 0) else { return nil }
      defer { position = zero + 1 }
      return bytes[position..<zero]
    }
  }
}
