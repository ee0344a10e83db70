internal import Linux

/// What a file has at the addresses where it is loaded: instructions and data, read when they are asked for.
final class SegmentBytes {
  private let file: ELFFile
  /// Code first, if there are too many.
  private let segments: [ELFFile.Segment]
  /// Of the segments; nil for what has not been asked for, or cannot be read.
  private var parts: [FilePart?]
  private var isAsked: [Bool]
  private var left = maximumSize

  /// More is not looked at: the file may be a stranger's. The Swift compiler has 166 MB.
  private static let maximumSize: UInt64 = 256 << 20
  /// There are four or so.
  private static let maximumSegments = 16

  init(_ file: ELFFile) {
    self.file = file
    segments = Array((file.segments.filter(\.isExecutable) + file.segments.filter { !$0.isExecutable }).prefix(Self.maximumSegments))
    parts = Array(repeating: nil, count: segments.count)
    isAsked = Array(repeating: false, count: segments.count)
  }

  /// Those between two addresses, until others are asked for; empty when not all are there, or they are more than any function has.
  func bytes(from start: UInt64, to end: UInt64) -> Bytes {
    for (index, segment) in segments.enumerated() {
      let offset = start &- segment.address.rawValue
      guard offset < segment.fileSize, end > start else { continue }
      guard end - start <= FilePart.copyLimit, end - start <= segment.fileSize - offset, let part = part(index) else { return Bytes() }
      part.load(Int(offset)..<Int(offset + (end - start)))
      return part.bytes.slice(offset, end - start)
    }
    return Bytes()
  }

  private func part(_ index: Int) -> FilePart? {
    if isAsked[index] { return parts[index] }
    isAsked[index] = true
    let segment = segments[index]
    guard segment.fileSize <= left else { return nil }
    parts[index] = file.part(at: segment.offset, count: segment.fileSize)
    if parts[index] != nil { left -= segment.fileSize }
    return parts[index]
  }

  /// The number of 8 bytes at an address.
  func word(at address: UInt64) -> UInt64? {
    let (end, overflows) = address.addingReportingOverflow(8)
    var cursor = bytes(from: address, to: overflows ? address : end).cursor()
    let word = cursor.u64()
    return cursor.hasFailed ? nil : word
  }

  /// Gives up what has been read, which is read again as it is needed; but for small parts, whose pages cost more than they take.
  func discard() { for case let part? in parts where part.bytes.count > Bytes.keptSize { part.discard() } }
}
