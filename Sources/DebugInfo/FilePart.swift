internal import Clibdw
internal import Clibelf
internal import Glibc
internal import Linux

/// The bytes of a part of an ELF file.
///
/// Where the file is mapped, or in memory, they lie there. What others could cut short is not mapped; libelf would read all of it, and keep
/// it. Pieces of such a file are copied when they are asked for, and given up when they are many. Owned by one task.
@safe
final class FilePart {
  /// All of the part; but where it is copied, only what has been loaded is there, and zeros elsewhere.
  let bytes: Bytes
  private let file: ELFFile
  private let copy: Copy?

  /// Bytes that lie in the file's memory.
  @unsafe
  init(_ file: ELFFile, _ buffer: UnsafeRawBufferPointer) {
    self.file = file
    bytes = unsafe Bytes(buffer)
    copy = nil
  }

  /// Bytes that are copied as they are needed; nil where they do not lie in the file, or there is no room for them.
  init?(copying file: ELFFile, at offset: UInt64, count: UInt64) {
    guard let size = file.identity?.size, offset <= size, count <= size - offset, let copy = Copy(at: offset, count: Int(count)) else {
      return nil
    }
    self.file = file
    self.copy = copy
    bytes = unsafe Bytes(UnsafeRawBufferPointer(copy.memory))
  }

  /// More than this of one part is not held, unless it is asked for at once: in bytes.
  static let copyLimit = 4 << 20

  /// Sees to it that bytes can be looked at.
  ///
  /// - Parameter keepingOthers: whether what was loaded before stays; else it may be given up.
  func load(_ range: Range<Int>, keepingOthers: Bool = false) {
    copy?.load(range.clamped(to: 0..<bytes.count), from: file, keepingOthers: keepingOthers)
  }

  /// Gives up the memory of a part that is not needed soon, all of it where it is a copy. What is needed later has to be loaded again.
  func discard(_ range: Range<Int>? = nil) {
    if let copy { return copy.discard() }
    bytes.discard(range ?? 0..<bytes.count, of: file)
  }

  /// Memory for the whole part, of which only some is used.
  @safe
  private final class Copy {
    let memory: UnsafeMutableRawBufferPointer
    private let offset: UInt64
    private var isLoaded: [Bool]
    private var loaded: [Int] = []

    private static let pieceSize = 1 << 14

    init?(at offset: UInt64, count: Int) {
      self.offset = offset
      guard count > 0 else {
        unsafe memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        isLoaded = []
        return
      }
      let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
      guard let start = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe start != MAP_FAILED else { return nil }
      unsafe memory = UnsafeMutableRawBufferPointer(start: start, count: count)
      isLoaded = [Bool](repeating: false, count: (count + Self.pieceSize - 1) / Self.pieceSize)
    }

    deinit { if let start = unsafe memory.baseAddress { unsafe munmap(start, memory.count) } }

    func load(_ range: Range<Int>, from file: ELFFile, keepingOthers: Bool) {
      guard !range.isEmpty else { return }
      let pieces = range.lowerBound / Self.pieceSize...(range.upperBound - 1) / Self.pieceSize
      if !keepingOthers, loaded.count * Self.pieceSize > FilePart.copyLimit { discard() }
      guard !pieces.allSatisfy({ isLoaded[$0] }) else { return }
      if !keepingOthers, (loaded.count + pieces.count) * Self.pieceSize > FilePart.copyLimit { discard() }
      var first = pieces.lowerBound
      while first <= pieces.upperBound {
        guard !isLoaded[first] else {
          first += 1
          continue
        }
        var end = first
        while end <= pieces.upperBound, !isLoaded[end] {
          isLoaded[end] = true
          loaded.append(end)
          end += 1
        }
        let start = first * Self.pieceSize
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[start..<min(end * Self.pieceSize, memory.count)])
        // What has been cut off meanwhile stays zero.
        unsafe file.read(into: part, at: offset + UInt64(start))
        first = end
      }
    }

    func discard() {
      guard let first = loaded.min(), let last = loaded.max(), let start = unsafe memory.baseAddress else { return }
      let end = unsafe min((last + 1) * Self.pieceSize, memory.count)
      unsafe madvise(start + first * Self.pieceSize, end - first * Self.pieceSize, MADV_DONTNEED)
      for piece in loaded { isLoaded[piece] = false }
      loaded.removeAll(keepingCapacity: true)
    }
  }
}

extension ELFFile {
  /// The bytes of a section, as they are in the file; nil where it has none.
  func part(_ section: Section, _ pointer: OpaquePointer) -> FilePart? {
    guard section.type != UInt32(SHT_NOBITS) else { return nil }
    if isCopied { return FilePart(copying: self, at: section.offset, count: section.size) }
    guard let data = unsafe elf_rawdata(pointer, nil), let start = unsafe data.pointee.d_buf else { return nil }
    return unsafe FilePart(self, UnsafeRawBufferPointer(start: start, count: data.pointee.d_size))
  }

  /// Bytes from a place in the file on; nil where they do not lie within.
  func part(at offset: FileOffset, count: UInt64) -> FilePart? {
    if isCopied { return FilePart(copying: self, at: offset.rawValue, count: count) }
    guard let place = Int64(exactly: offset.rawValue), let size = Int(exactly: count),
      let data = unsafe elf_getdata_rawchunk(handle, place, size, ELF_T_BYTE), let start = unsafe data.pointee.d_buf
    else { return nil }
    return unsafe FilePart(self, UnsafeRawBufferPointer(start: start, count: data.pointee.d_size))
  }
}
