internal import Clibdw
internal import Clibelf
internal import Linux

/// What a file has at the addresses where it is loaded: instructions and data, read when they are asked for.
final class SegmentBytes {
  private let file: ELFFile
  /// Code first, if there are too many.
  private let segments: [ELFFile.Segment]
  /// Of the segments, nil for what has not been read.
  private var parts: [Bytes?]
  private var left = maximumSize

  /// More is not read: the file may be a stranger's, and is in memory then. The Swift compiler has 166 MB.
  private static let maximumSize: UInt64 = 256 << 20
  /// There are four or so.
  private static let maximumSegments = 16

  init(_ file: ELFFile) {
    self.file = file
    segments = Array((file.segments.filter(\.isExecutable) + file.segments.filter { !$0.isExecutable }).prefix(Self.maximumSegments))
    parts = Array(repeating: nil, count: segments.count)
  }

  /// Those between two addresses; empty when not all are there.
  func bytes(from start: UInt64, to end: UInt64) -> Bytes {
    for (index, segment) in segments.enumerated() {
      let offset = start &- segment.address.rawValue
      guard offset < segment.fileSize, end > start else { continue }
      return (parts[index] ?? read(index)).slice(offset, end - start)
    }
    return Bytes()
  }

  private func read(_ index: Int) -> Bytes {
    let segment = segments[index]
    var found = Bytes()
    if segment.fileSize <= left, let offset = Int64(exactly: segment.offset.rawValue),
      let data = unsafe elf_getdata_rawchunk(file.handle, offset, Int(segment.fileSize), ELF_T_BYTE),
      let start = unsafe data.pointee.d_buf
    {
      found = unsafe Bytes(UnsafeRawBufferPointer(start: start, count: data.pointee.d_size))
      left -= segment.fileSize
    }
    parts[index] = found
    return found
  }

  /// The number of 8 bytes at an address.
  func word(at address: UInt64) -> UInt64? {
    let (end, overflows) = address.addingReportingOverflow(8)
    var cursor = bytes(from: address, to: overflows ? address : end).cursor()
    let word = cursor.u64()
    return cursor.hasFailed ? nil : word
  }

  /// Gives up what has been read, which is read again as it is needed; but for small parts, whose pages cost more than they take.
  func discard() { for case let part? in parts where part.count > Bytes.keptSize { part.discard(0..<part.count, of: file) } }
}
