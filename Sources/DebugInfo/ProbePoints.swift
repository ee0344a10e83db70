internal import Clibdw
internal import Clibelf
package import SystemPackage

/// The places of an ELF file where a uprobe can be put.
///
/// The file is hostile input: every position is checked, and what does not fit is left out.
package struct ProbePoints: Sendable {
  /// A named function.
  package struct Function: Hashable, Sendable {
    package var name: String
    /// In the file.
    package var offset: UInt64
    /// Whether the name stands for code that chooses the real function at load time (STT_GNU_IFUNC).
    package var isIndirect: Bool
  }

  /// One place of a static probe (USDT): a note of type 3 in `.note.stapsdt`.
  package struct StaticProbe: Hashable, Sendable {
    package var provider: String
    package var name: String
    /// In the file.
    package var offset: UInt64
    /// The counter that switches the probe on, in the file; 0 without one.
    package var semaphore: UInt64
  }

  package var functions: [Function] = []
  package var staticProbes: [StaticProbe] = []

  /// - Throws: when the file cannot be read or is no ELF program or library.
  package init(_ path: FilePath) throws(ELFError) {
    let file = try ELFFile(path: path)
    unsafe read(file.handle)
    // Keeps open what was read from.
    _ = file.name
  }

  /// Where functions lie in a library that may be anybody's, such as a container's: nothing of it is mapped, and little of it is held.
  ///
  /// - Parameter names: as the dynamic linker knows them.
  /// - Returns: places in the file by name, without those whose real function is chosen at load time; none for a 32-bit library.
  /// - Throws: when the file cannot be read, is no ELF file, or exports more than any C library does.
  package static func offsets(ofExported names: [String], in path: FilePath) throws(ELFError) -> [String: UInt64] {
    let file = try ELFFile(path: path, isOurs: false)
    guard unsafe gelf_getclass(file.handle) == ELFCLASS64 else { return [:] }
    let count = file.countSymbols(Int32(SHT_DYNSYM))
    guard count <= maximumExported else {
      throw ELFError(file.name, .tooMany("exported symbols", count: UInt64(count), limit: UInt64(maximumExported)))
    }
    let segments = unsafe Segments(file.handle)
    let wanted = names.map { (name: $0, bytes: [UInt8]($0.utf8)) }
    var offsets: [String: UInt64] = [:]
    _ = try file.forEachSymbol(Int32(SHT_DYNSYM)) { symbol, strings in
      guard UInt32(symbol.st_info & 15) == STT_FUNC, symbol.st_value != 0 else { return }
      strings.withWholeName(at: Int(symbol.st_name)) { text in
        for (name, bytes) in wanted where bytes.count == text.count && offsets[name] == nil {
          var position = 0
          while position < bytes.count, bytes[position] == text[position] { position += 1 }
          if position == bytes.count { offsets[name] = segments.offset(of: symbol.st_value, executable: true) }
        }
      }
    }
    return offsets
  }

  /// glibc exports about 3,000.
  private static let maximumExported = 1 << 16

  private mutating func read(_ elf: OpaquePointer) {
    let segments = unsafe Segments(elf)
    var notes: [(section: OpaquePointer, header: GElf_Shdr)] = unsafe []
    var base: UInt64?
    var names = 0
    _ = unsafe elf_getshdrstrndx(elf, &names)
    var section = unsafe elf_nextscn(elf, nil)
    while let each = unsafe section {
      var header = GElf_Shdr()
      if unsafe gelf_getshdr(each, &header) != nil {
        let name = unsafe elf_strptr(elf, names, Int(header.sh_name)).map { unsafe boundedString($0, limit: 256) }
        if header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM {
          unsafe readSymbols(elf, each, header, segments)
        } else if header.sh_type == SHT_NOTE, name == ".note.stapsdt" {
          unsafe notes.append((each, header))
        } else if name == ".stapsdt.base" {
          base = header.sh_addr
        }
      }
      unsafe section = unsafe elf_nextscn(elf, each)
    }
    for index in unsafe notes.indices { unsafe readNotes(notes[index].section, base: base, segments) }
    var seen: Set<Function> = []
    functions = functions.filter { seen.insert($0).inserted }
  }

  private mutating func readSymbols(_ elf: OpaquePointer, _ section: OpaquePointer, _ header: GElf_Shdr, _ segments: Segments) {
    guard let data = unsafe elf_getdata(section, nil), header.sh_entsize > 0 else { return }
    for index in 0..<Int32(clamping: header.sh_size / header.sh_entsize) {
      var symbol = GElf_Sym()
      guard unsafe gelf_getsym(data, index, &symbol) != nil else { break }
      let type = UInt32(symbol.st_info & 15)
      guard type == STT_FUNC || type == STT_GNU_IFUNC, symbol.st_shndx != SHN_UNDEF, symbol.st_value != 0,
        let offset = segments.offset(of: symbol.st_value, executable: true),
        let name = unsafe elf_strptr(elf, Int(header.sh_link), Int(symbol.st_name))
      else { continue }
      functions.append(
        Function(name: unsafe boundedString(name, limit: SymbolTable.maximumNameLength), offset: offset, isIndirect: type == STT_GNU_IFUNC))
    }
  }

  /// The descriptor of a note: three addresses (place, base, semaphore), then provider, name and arguments, each ended by a zero.
  private mutating func readNotes(_ section: OpaquePointer, base: UInt64?, _ segments: Segments) {
    guard let data = unsafe elf_getdata(section, nil), let start = unsafe data.pointee.d_buf else { return }
    let bytes = unsafe UnsafeRawBufferPointer(start: start, count: Int(data.pointee.d_size))
    var at = 0
    while true {
      var note = GElf_Nhdr()
      var nameAt = 0
      var textAt = 0
      let next = unsafe gelf_getnote(data, at, &note, &nameAt, &textAt)
      guard next > at else { break }
      at = next
      let end = textAt + Int(note.n_descsz)
      guard note.n_type == 3, end <= bytes.count, note.n_descsz > 24 else { continue }
      // 32-bit programs have shorter addresses; they are not read here.
      let address = unsafe bytes.loadUnaligned(fromByteOffset: textAt, as: UInt64.self)
      let linkedBase = unsafe bytes.loadUnaligned(fromByteOffset: textAt + 8, as: UInt64.self)
      let semaphore = unsafe bytes.loadUnaligned(fromByteOffset: textAt + 16, as: UInt64.self)
      let texts = unsafe bytes[textAt + 24..<end].split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
      // A file that was moved after linking (prelink) has its base elsewhere, and with it everything.
      let moved = base.map { $0 &- linkedBase } ?? 0
      guard unsafe texts.count == 3, let offset = segments.offset(of: address &+ moved, executable: true) else { continue }
      staticProbes.append(
        StaticProbe(
          provider: unsafe String(decoding: texts[0], as: UTF8.self), name: unsafe String(decoding: texts[1], as: UTF8.self),
          offset: offset, semaphore: semaphore == 0 ? 0 : segments.offset(of: semaphore &+ moved, executable: false) ?? 0))
    }
  }

  /// The parts of the file that are mapped.
  private struct Segments {
    private var loaded: [GElf_Phdr] = []

    init(_ elf: OpaquePointer) {
      var count = 0
      guard unsafe elf_getphdrnum(elf, &count) == 0 else { return }
      for index in 0..<min(count, 65_535) {
        var header = GElf_Phdr()
        if unsafe gelf_getphdr(elf, Int32(index), &header) != nil, header.p_type == PT_LOAD { loaded.append(header) }
      }
    }

    func offset(of address: UInt64, executable: Bool) -> UInt64? {
      for header in loaded where address >= header.p_vaddr && address - header.p_vaddr < header.p_filesz {
        if executable, header.p_flags & UInt32(PF_X) == 0 { return nil }
        return address - header.p_vaddr &+ header.p_offset
      }
      return nil
    }
  }
}
