internal import Clibdw
internal import Glibc

/// One entry of DWARF: libdw's `Dwarf_Die`, which points into the mapped sections and lives as long as its `Dwarf`.
@safe
struct DebugEntry {
  private var die: Dwarf_Die

  /// Names are cut at this length: longer ones are of no use to people.
  private static let nameLimit = 4096
  /// Ranges of one entry; each is a few bytes of a file that a stranger wrote.
  private static let rangeLimit = 1 << 16

  init(_ die: Dwarf_Die) { unsafe self.die = unsafe die }

  /// `DW_TAG_…`.
  var tag: Int32 {
    var die = unsafe self.die
    return unsafe dwarf_tag(&die)
  }

  var firstChild: DebugEntry? {
    var (die, child) = unsafe (self.die, Dwarf_Die())
    return unsafe dwarf_child(&die, &child) == 0 ? DebugEntry(child) : nil
  }

  var nextSibling: DebugEntry? {
    var (die, sibling) = unsafe (self.die, Dwarf_Die())
    return unsafe dwarf_siblingof(&die, &sibling) == 0 ? DebugEntry(sibling) : nil
  }

  /// The addresses that it covers; end excluded.
  var ranges: [(low: UInt64, high: UInt64)] {
    var die = unsafe self.die
    var result: [(low: UInt64, high: UInt64)] = []
    var (base, low, high): (Dwarf_Addr, Dwarf_Addr, Dwarf_Addr) = (0, 0, 0)
    var offset = 0
    for _ in 0..<Self.rangeLimit {
      offset = unsafe dwarf_ranges(&die, offset, &base, &low, &high)
      guard offset > 0 else { break }
      // Functions that the linker dropped stay behind at 0 or at the largest addresses.
      if low < high, low != 0, high < UInt64.max - 1 { result.append((low, high)) }
    }
    return result
  }

  /// The mangled name where there is one, else the plain one; also those of the entry that it is an instance of.
  var name: String? {
    var die = unsafe self.die
    for kind in [DW_AT_linkage_name, DW_AT_MIPS_linkage_name] {
      var attribute = unsafe Dwarf_Attribute()
      if unsafe dwarf_attr_integrate(&die, UInt32(kind), &attribute) != nil, let name = unsafe Self.string(dwarf_formstring(&attribute)) {
        return name
      }
    }
    return unsafe Self.string(dwarf_diename(&die))
  }

  /// The text of an attribute of its own.
  func text(_ kind: Int32) -> String? {
    var (die, attribute) = unsafe (self.die, Dwarf_Attribute())
    guard unsafe dwarf_attr(&die, UInt32(kind), &attribute) != nil else { return nil }
    return unsafe Self.string(dwarf_formstring(&attribute))
  }

  /// The number of an attribute of its own.
  func number(_ kind: Int32) -> UInt64? {
    var (die, attribute) = unsafe (self.die, Dwarf_Attribute())
    var number: Dwarf_Word = 0
    guard unsafe dwarf_attr(&die, UInt32(kind), &attribute) != nil, unsafe dwarf_formudata(&attribute, &number) == 0 else { return nil }
    return number
  }

  /// Of a unit: the source position of an address, from the line table. The path is as the compiler was given it.
  func line(at address: UInt64) -> (file: String?, line: UInt32)? {
    var die = unsafe self.die
    guard let line = unsafe dwarf_getsrc_die(&die, address) else { return nil }
    var number: Int32 = 0
    guard unsafe dwarf_lineno(line, &number) == 0 else { return nil }
    return unsafe (Self.string(dwarf_linesrc(line, nil, nil)), UInt32(max(0, number)))
  }

  /// Of a unit: a path of its list of sources.
  func source(_ index: UInt64) -> String? {
    var die = unsafe self.die
    var files: OpaquePointer?
    var count = 0
    guard unsafe dwarf_getsrcfiles(&die, &files, &count) == 0, index < count else { return nil }
    return unsafe Self.string(dwarf_filesrc(files, Int(index), nil, nil))
  }

  private static func string(_ text: UnsafePointer<CChar>?) -> String? {
    guard let text = unsafe text, unsafe text.pointee != 0 else { return nil }
    let bytes = unsafe UnsafeRawBufferPointer(start: text, count: strnlen(text, nameLimit))
    return unsafe String(decoding: bytes, as: UTF8.self)
  }
}

/// The units of a file's DWARF, with what has their ranges and lines, and what has their functions.
///
/// The two are the same entry, unless a unit was split into another file (`.dwo`).
@safe
struct DebugUnits: Sequence, IteratorProtocol {
  private let dwarf: OpaquePointer
  private var unit: OpaquePointer?
  private var hasEnded = false
  private let opensSplit: Bool

  /// - Parameters:
  ///   - dwarf: libdw's handle, which must outlive the entries.
  ///   - opensSplit: whether libdw may open what the file names as its parts: it waits for a FIFO's writer.
  init(_ dwarf: OpaquePointer, opensSplit: Bool) {
    unsafe self.dwarf = unsafe dwarf
    self.opensSplit = opensSplit
  }

  mutating func next() -> (skeleton: DebugEntry, tree: DebugEntry)? {
    while !hasEnded {
      var next: OpaquePointer?
      var (skeleton, split) = unsafe (Dwarf_Die(), Dwarf_Die())
      var type: UInt8 = 0
      guard unsafe dwarf_get_units(dwarf, unit, &next, nil, &type, &skeleton, nil) == 0 else { return nil }
      if opensSplit, Int(type) == Int(DW_UT_skeleton) { unsafe dwarf_cu_info(skeleton.cu, nil, nil, nil, &split, nil, nil, nil) }
      unsafe unit = unsafe next
      hasEnded = unsafe next == nil
      switch Int(type) {
      case Int(DW_UT_compile), Int(DW_UT_partial): return unsafe (DebugEntry(skeleton), DebugEntry(skeleton))
      case Int(DW_UT_skeleton): return unsafe (DebugEntry(skeleton), DebugEntry(split.addr == nil ? skeleton : split))
      default: continue
      }
    }
    return nil
  }
}
