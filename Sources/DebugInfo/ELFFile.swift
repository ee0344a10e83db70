internal import Clibdw
internal import Clibelf
internal import Glibc
package import Linux
package import SystemPackage

/// One open ELF file, through libelf.
///
/// A class, because the tables made from it point into its memory and keep it alive. Not safe to use from two tasks at once.
/// The file may be hostile: sizes are checked before anything is read, and nobody but root or ourselves can shrink what is mapped.
@safe package final class ELFFile {
  package static let maximumSize: UInt64 = 4 << 30
  private static let maximumSegments = 4096
  private static let maximumSections = 1 << 16

  /// A `PT_LOAD` segment.
  package struct Segment: Hashable, Sendable {
    package var offset: FileOffset
    package var fileSize: UInt64
    package var address: ELFAddress
    package var memorySize: UInt64
    package var isExecutable: Bool
  }

  /// A section header, as far as symbols need it.
  struct Section {
    var name: String
    var type: UInt32
    var flags: UInt64
    var address: UInt64
    var offset: UInt64
    var size: UInt64
    var link: Int

    init(_ header: GElf_Shdr, name: String) {
      self.name = name
      (type, flags, address) = (header.sh_type, header.sh_flags, header.sh_addr)
      (offset, size, link) = (header.sh_offset, header.sh_size, Int(header.sh_link))
    }
  }

  /// For messages and reports; not a path to open again.
  package let name: String
  /// Nil for an image in memory.
  package let identity: FileIdentity?
  package let buildID: BuildID?
  /// In the file's order.
  package let segments: [Segment]

  let handle: OpaquePointer
  /// Whether libelf keeps the content of a section decompressed, which cannot be done twice.
  private(set) var hasDecompressed = false
  /// Held as long as libelf may read; nil for what is in memory.
  private let descriptor: CInt?
  private let memory: UnsafeMutableRawBufferPointer?

  /// Takes an open file and reads its headers.
  ///
  /// - Parameter isOurs: whether the file is seen where swtrace itself runs: root of a container is a stranger.
  /// - Throws: for what is not a regular ELF file, is too large or contradicts itself.
  package convenience init(_ file: consuming Descriptor, name: String, isOurs: Bool = true) throws(ELFError) {
    guard let identity = File.identity(of: file) else { throw ELFError(name, .notRegular) }
    guard identity.size <= Self.maximumSize else { throw ELFError(name, .tooLarge(bytes: identity.size, limit: Self.maximumSize)) }
    let magic: [UInt8]
    do { magic = try File.read(file, at: 0, count: 4, name: name) } catch { throw ELFError(name, .file(error)) }
    guard magic == Self.magic else { throw ELFError(name, .notELF) }
    // Where a file system cannot map it, libelf would read it into memory that must not be taken for a mapping.
    let isTrusted = isOurs && File.isTrusted(file) && Self.canMap(file, size: identity.size)
    _ = elf_version(UInt32(EV_CURRENT))
    guard let handle = unsafe elf_begin(file.rawValue, isTrusted ? ELF_C_READ_MMAP : ELF_C_READ, nil) else {
      throw ELFError(name, .malformed(Self.problem()))
    }
    // What is mapped needs its descriptor no longer; hundreds of libraries would use up the limit of them.
    let isComplete = unsafe isTrusted && elf_cntl(handle, ELF_C_FDREAD) == 0
    unsafe try self.init(
      handle, name: name, identity: identity, descriptor: isComplete ? nil : file.release(), memory: nil)
  }

  private static func canMap(_ file: borrowing Descriptor, size: UInt64) -> Bool {
    guard let size = Int(exactly: size), size > 0, let start = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, file.rawValue, 0),
      unsafe start != MAP_FAILED
    else { return false }
    unsafe munmap(start, size)
    return true
  }

  /// Opens a file by its path.
  ///
  /// - Parameter isOurs: as above.
  package convenience init(path: FilePath, isOurs: Bool = true) throws(ELFError) {
    let file: Descriptor
    do { file = try File.open(path) } catch {
      throw ELFError(path.string, error.errno == .invalidArgument ? .notRegular : .file(error))
    }
    try self.init(file, name: path.string, isOurs: isOurs)
  }

  /// Takes an image that is no file, such as the vDSO; the bytes are copied.
  package convenience init(image: [UInt8], name: String) throws(ELFError) {
    guard image.starts(with: Self.magic) else { throw ELFError(name, .notELF) }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: image.count, alignment: 16)
    unsafe memory.copyBytes(from: image)
    _ = elf_version(UInt32(EV_CURRENT))
    guard let handle = unsafe elf_memory(memory.baseAddress!.assumingMemoryBound(to: CChar.self), image.count) else {
      unsafe memory.deallocate()
      throw ELFError(name, .malformed(Self.problem()))
    }
    unsafe try self.init(handle, name: name, identity: nil, descriptor: nil, memory: memory)
  }

  private init(
    _ handle: OpaquePointer, name: String, identity: FileIdentity?, descriptor: CInt?, memory: UnsafeMutableRawBufferPointer?
  ) throws(ELFError) {
    unsafe self.handle = unsafe handle
    self.name = name
    self.identity = identity
    self.descriptor = descriptor
    unsafe self.memory = unsafe memory
    // An archive would make libelf look at files inside it.
    guard unsafe elf_kind(handle) == ELF_K_ELF else {
      segments = []
      buildID = nil
      throw ELFError(name, .notELF)
    }
    do {
      if descriptor != nil { try unsafe Self.checkKept(handle, name) }
      segments = try unsafe Self.segments(handle, name)
    } catch {
      segments = []
      buildID = nil
      throw error
    }
    var identifier: UnsafeRawPointer?
    let count = unsafe dwelf_elf_gnu_build_id(handle, &identifier)
    if let identifier = unsafe identifier, count > 0 {
      buildID = unsafe BuildID([UInt8](UnsafeRawBufferPointer(start: identifier, count: count)))
    } else {
      buildID = nil
    }
  }

  deinit {
    unsafe elf_end(handle)
    if let descriptor { close(descriptor) }
    if let memory = unsafe memory { unsafe memory.deallocate() }
  }

  /// Refuses a file of which libelf would keep much though it is not mapped: the names of sections, and notes, where the build ID is.
  private static func checkKept(_ handle: OpaquePointer, _ name: String) throws(ELFError) {
    func check(_ size: UInt64) throws(ELFError) {
      if size > keptLimit { throw ELFError(name, .tooLarge(bytes: size, limit: keptLimit)) }
    }
    var (count, names) = (0, 0)
    if unsafe elf_getphdrnum(handle, &count) == 0, count <= maximumSegments {
      for index in 0..<count {
        var header = GElf_Phdr()
        guard unsafe gelf_getphdr(handle, Int32(index), &header) != nil else { break }
        if header.p_type == UInt32(PT_NOTE) { try check(header.p_filesz) }
      }
    }
    guard unsafe elf_getshdrnum(handle, &count) == 0, count <= maximumSections, unsafe elf_getshdrstrndx(handle, &names) == 0 else {
      return
    }
    for index in 0..<count {
      var header = GElf_Shdr()
      guard let section = unsafe elf_getscn(handle, index), unsafe gelf_getshdr(section, &header) != nil else { return }
      if index == names || header.sh_type == UInt32(SHT_NOTE) { try check(header.sh_size) }
    }
  }

  /// In bytes.
  private static let keptLimit: UInt64 = 16 << 20

  private static let magic: [UInt8] = [0x7F, 0x45, 0x4C, 0x46]

  private static func segments(_ handle: OpaquePointer, _ name: String) throws(ELFError) -> [Segment] {
    var count = 0
    guard unsafe elf_getphdrnum(handle, &count) == 0 else { throw ELFError(name, .malformed(problem())) }
    guard count <= maximumSegments else {
      throw ELFError(name, .tooMany("segments", count: UInt64(count), limit: UInt64(maximumSegments)))
    }
    var segments: [Segment] = []
    for index in 0..<count {
      var header = GElf_Phdr()
      guard unsafe gelf_getphdr(handle, Int32(index), &header) != nil else { throw ELFError(name, .malformed(problem())) }
      guard header.p_type == UInt32(PT_LOAD) else { continue }
      segments.append(
        Segment(
          offset: FileOffset(header.p_offset), fileSize: header.p_filesz, address: ELFAddress(header.p_vaddr),
          memorySize: header.p_memsz, isExecutable: header.p_flags & UInt32(PF_X) != 0))
    }
    return segments
  }

  /// The program that the kernel starts to load this one (`PT_INTERP`); nil where it needs none: it is static, or no program.
  package var interpreter: String? {
    var count = 0
    guard unsafe elf_getphdrnum(handle, &count) == 0 else { return nil }
    for index in 0..<min(count, Self.maximumSegments) {
      var header = GElf_Phdr()
      guard unsafe gelf_getphdr(handle, Int32(index), &header) != nil else { return nil }
      // The kernel takes no longer one than a path.
      guard header.p_type == UInt32(PT_INTERP), header.p_filesz <= 4096,
        let part = part(at: FileOffset(header.p_offset), count: header.p_filesz)
      else { continue }
      part.load(0..<part.bytes.count)
      return String(decoding: part.bytes.copy.prefix { $0 != 0 }, as: UTF8.self)
    }
    return nil
  }

  /// What libelf found wrong last.
  static func problem() -> String {
    guard let text = unsafe elf_errmsg(-1) else { return "unknown error" }
    return unsafe String(cString: text)
  }

  /// The address of a byte of the file, by the segment that loads it.
  package func address(at offset: FileOffset) -> ELFAddress? {
    for segment in segments where segment.offset <= offset && offset.rawValue - segment.offset.rawValue < segment.fileSize {
      return ELFAddress(segment.address.rawValue &+ (offset.rawValue - segment.offset.rawValue))
    }
    return nil
  }

  /// Where the byte at an address lies in the file; what a uprobe is attached to.
  package func offset(of address: ELFAddress) -> FileOffset? {
    for segment in segments where segment.address <= address && address.rawValue - segment.address.rawValue < segment.fileSize {
      return FileOffset(segment.offset.rawValue &+ (address.rawValue - segment.address.rawValue))
    }
    return nil
  }

  /// Gives up the pages of bytes that are not needed soon: they count as memory until the kernel needs them. Reading them again works.
  func discard(_ bytes: UnsafeRawBufferPointer) {
    // Pages of a mapped file only: the content of any other memory would be lost.
    guard isMapped, let address = bytes.baseAddress, let file = unsafe mappedFile, unsafe file.contains(address, bytes.count) else {
      return
    }
    let page = UInt(getpagesize())
    let start = (UInt(bitPattern: address) &+ page &- 1) / page * page
    let end = (UInt(bitPattern: address) &+ UInt(bytes.count)) / page * page
    guard start < end, let first = unsafe UnsafeMutableRawPointer(bitPattern: start) else { return }
    unsafe madvise(first, Int(end - start), MADV_DONTNEED)
  }

  /// Decompresses a section's content in place, of either kind; false where it cannot be. Its header tells its new size from then on.
  func decompress(_ section: OpaquePointer, isOld: Bool = false) -> Bool {
    hasDecompressed = true
    return unsafe (isOld ? elf_compress_gnu(section, 0, 0) : elf_compress(section, 0, 0)) >= 0
  }

  /// As `discard`, of the whole file.
  func discardAll() { if let file = unsafe mappedFile { unsafe discard(file) } }

  /// Where libelf has mapped the file.
  private lazy var mappedFile: UnsafeRawBufferPointer? = {
    var size = 0
    guard isMapped, let start = unsafe elf_rawfile(handle, &size) else { return nil }
    return unsafe UnsafeRawBufferPointer(start: start, count: size)
  }()

  /// Whether libelf reads from a mapping of the file.
  var isMapped: Bool { unsafe descriptor == nil && memory == nil }

  /// Whether what is read of the file is a copy, because others could cut it short.
  var isCopied: Bool { descriptor != nil }

  /// Reads from a place in the file, which is held; what is behind its end stays as it was.
  @unsafe
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) {
    guard let descriptor else { return }
    var filled = 0
    while filled < buffer.count {
      let count = unsafe pread(descriptor, buffer.baseAddress! + filled, buffer.count - filled, off_t(offset) + off_t(filled))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      filled += count
    }
  }

  /// Visits the section headers in order, with their indices; ends without an error where libelf cannot go on.
  func forEachSection(_ body: (Int, Section, OpaquePointer) -> Void) {
    var count = 0
    var names = 0
    guard unsafe elf_getshdrnum(handle, &count) == 0, count <= Self.maximumSections,
      unsafe elf_getshdrstrndx(handle, &names) == 0
    else { return }
    for index in 0..<count {
      guard let section = unsafe elf_getscn(handle, index) else { return }
      var header = GElf_Shdr()
      guard unsafe gelf_getshdr(section, &header) != nil else { return }
      let name = unsafe elf_strptr(handle, names, Int(header.sh_name)).map { unsafe boundedString($0, limit: 256) } ?? ""
      unsafe body(index, Section(header, name: name), section)
    }
  }

  /// Bytes of all sections whose names begin so.
  ///
  /// - Parameter isCopied: only of those that are not used where the file is mapped: they are compressed, or it is not mapped.
  func size(ofSections prefixes: [String], isCopied: Bool = false) -> Int {
    var size = 0
    unsafe forEachSection { _, section, pointer in
      guard section.type != UInt32(SHT_NOBITS), prefixes.contains(where: { section.name.hasPrefix($0) }) else { return }
      let isPlain = isMapped && !hasDecompressed && section.flags & UInt64(SHF_COMPRESSED) == 0 && !section.name.hasPrefix(".z")
      guard !(isCopied && isPlain) else { return }
      var header = GElf_Chdr()
      let isCompressed = unsafe section.flags & UInt64(SHF_COMPRESSED) != 0 && gelf_getchdr(pointer, &header) != nil
      // More than there can be in memory is more than any limit.
      size += Int(clamping: min(isCompressed ? header.ch_size : min(section.size, identity?.size ?? 0), 1 << 40))
    }
    return size
  }

  /// Bytes of the DWARF that has to be copied to be read, decompressed.
  var copiedDebugBytes: Int { size(ofSections: [".debug_", ".zdebug_"], isCopied: true) }

  /// Whether there are symbols of more than the dynamic linker's, and DWARF.
  var strippedParts: (symbols: Bool, debugInformation: Bool) {
    var (symbols, debugInformation) = (true, true)
    unsafe forEachSection { _, section, _ in
      guard section.type != UInt32(SHT_NOBITS) else { return }
      if section.type == UInt32(SHT_SYMTAB) { symbols = false }
      if section.name == ".debug_info" || section.name == ".zdebug_info" { debugInformation = false }
    }
    return (symbols, debugInformation)
  }

  /// libdw decompresses whole sections, to the size that their headers claim.
  var decompressesWithinLimit: Bool {
    var total: UInt64 = 0
    unsafe forEachSection { _, section, pointer in
      guard section.name.hasPrefix(".debug_") || section.name.hasPrefix(".zdebug_") else { return }
      var header = GElf_Chdr()
      // The older form has its size in its first bytes, and libelf checks it against what zlib can reach.
      let isCompressed = unsafe section.flags & UInt64(SHF_COMPRESSED) != 0 && gelf_getchdr(pointer, &header) != nil
      let size = isCompressed ? header.ch_size : section.name.hasPrefix(".z") ? section.size &* 1032 : 0
      total = total.addingReportingOverflow(size).overflow ? .max : total + size
    }
    return total <= Self.maximumDecompressed
  }

  private static let maximumDecompressed: UInt64 = 512 << 20

  /// A section's bytes, at most `limit`; nil when there is none of that name, or it has no bytes in the file.
  func content(ofSection name: String, limit: UInt64) -> [UInt8]? {
    var found: [UInt8]?
    unsafe forEachSection { _, section, pointer in
      guard found == nil, section.name == name, section.size <= limit, let part = unsafe part(section, pointer) else { return }
      part.load(0..<part.bytes.count)
      found = part.bytes.copy
    }
    return found
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func contains(_ start: UnsafeRawPointer, _ count: Int) -> Bool {
    guard let base = baseAddress else { return false }
    return unsafe start >= base && start + count <= base + self.count
  }
}

/// A C string, cut where it is longer than any honest one.
func boundedString(_ start: UnsafePointer<CChar>, limit: Int) -> String {
  unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: strnlen(start, limit)), as: UTF8.self)
}
