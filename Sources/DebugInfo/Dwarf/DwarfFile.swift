internal import Clibdw
internal import Clibelf
internal import Glibc
internal import Linux

/// The DWARF sections of one ELF file.
///
/// Everything in them is a stranger's: each read is checked against the end of its section.
final class DwarfFile {
  /// Kept open: the sections are in its memory.
  let elf: ELFFile
  let info: Bytes
  let abbreviations: Bytes
  let lines: Bytes
  let strings: Bytes
  let lineStrings: Bytes
  let stringOffsets: Bytes
  let addresses: Bytes
  let ranges: Bytes
  let rangeLists: Bytes
  /// Of packages of split units (`.dwp`).
  let unitIndex: Bytes
  /// What reading it may still cost.
  private(set) var budget = DwarfBudget()
  private(set) var tables: [AbbreviationTable.Key: AbbreviationTable] = [:]

  /// Nil without DWARF that can be used.
  ///
  /// - Parameters:
  ///   - isSplit: reads the sections of split units (`.debug_info.dwo`).
  ///   - copyLimit: more bytes are not read where they have to be copied: of a file that cannot be mapped, and what is compressed.
  init?(_ elf: ELFFile, isSplit: Bool = false, copyLimit: Int = .max) {
    guard elf.hasHostByteOrder, elf.decompressesWithinLimit else { return nil }
    guard copyLimit == .max || elf.copiedDebugBytes <= copyLimit else { return nil }
    self.elf = elf
    let ending = isSplit ? ".dwo" : ""
    let wanted =
      ["info", "abbrev", "line", "str", "line_str", "str_offsets", "rnglists"].map { $0 + ending } + ["addr", "ranges", "cu_index"]
    guard let found = elf.debugSections(Set(wanted)) else { return nil }
    func section(_ name: String) -> Bytes { found[name + ending] ?? Bytes() }
    info = section("info")
    abbreviations = section("abbrev")
    lines = section("line")
    strings = section("str")
    lineStrings = section("line_str")
    stringOffsets = section("str_offsets")
    addresses = found["addr"] ?? Bytes()
    ranges = found["ranges"] ?? Bytes()
    rangeLists = section("rnglists")
    unitIndex = found["cu_index"] ?? Bytes()
    guard info.count > 0, abbreviations.count > 0 else { return nil }
  }

  /// The table at an offset; read once.
  func table(_ key: AbbreviationTable.Key, _ bytes: Bytes) -> AbbreviationTable {
    if let known = tables[key] { return known }
    let table = AbbreviationTable(bytes.cursor(at: key.offset), key, budget)
    tables[key] = table
    return table
  }

  /// Gives up the tables, and what may be read begins anew.
  func settle() {
    tables = [:]
    budget = DwarfBudget()
  }
}

/// What one file may cost, in entries of each kind; whoever wrote it is a stranger, and may refer to one list a thousand times.
final class DwarfBudget {
  /// Of tables of abbreviations, 8 bytes each.
  var attributes = 8 << 20
  /// Of units and functions, 24 to 32 bytes each.
  var ranges = 4 << 20
  /// Of tables of lines, 16 bytes each.
  var rows = 8 << 20
  /// Entries of the trees that are walked, which cost time only.
  var entries = 128 << 20

  init() {}
}

extension ELFFile {
  /// Whether numbers are written as this machine has them.
  var hasHostByteOrder: Bool {
    var size = 0
    guard let identity = unsafe elf_getident(handle, &size), size > EI_DATA else { return false }
    return unsafe Int32(identity[Int(EI_DATA)]) == ELFDATA2LSB
  }

  /// The wanted debug sections, decompressed, by what follows `.debug_` in their names; nil where they are larger than the file.
  fileprivate func debugSections(_ wanted: Set<String>) -> [String: Bytes]? {
    var found: [String: Bytes] = [:]
    // Headers of several sections may claim the same bytes, and each may be copied.
    var size: UInt64 = 0
    unsafe forEachSection { _, section, pointer in
      let isOld = section.name.hasPrefix(".zdebug_")
      guard isOld || section.name.hasPrefix(".debug_"), section.type != UInt32(SHT_NOBITS) else { return }
      let name = String(section.name.dropFirst(isOld ? 8 : 7))
      guard wanted.contains(name), found[name] == nil else { return }
      size = size.addingReportingOverflow(section.size).overflow ? .max : size + section.size
      guard identity.map({ size <= $0.size }) ?? true else { return }
      if section.flags & UInt64(SHF_COMPRESSED) != 0 {
        guard unsafe decompress(pointer) else { return }
      } else if isOld {
        guard unsafe decompress(pointer, isOld: true) else { return }
      }
      guard let data = unsafe elf_getdata(pointer, nil), let start = unsafe data.pointee.d_buf else { return }
      found[name] = unsafe Bytes(UnsafeRawBufferPointer(start: start, count: data.pointee.d_size))
    }
    return identity.map { size <= $0.size } ?? true ? found : nil
  }
}
