internal import Clibdw

/// One compilation unit: where its entries are, and how to read their attributes (DWARF 2 to 5, and split units of GNU before 5).
final class DwarfUnit {
  /// Where a package of split units (`.dwp`) has a unit's parts; all 0 elsewhere.
  struct Parts {
    var abbreviations: UInt64 = 0
    var lines: UInt64 = 0
    var stringOffsets: UInt64 = 0
    var rangeLists: UInt64 = 0
  }

  /// Which entry of the list of units is next, whether or not this one can be used.
  struct Header {
    /// In `.debug_info`.
    var offset: UInt64
    var end: UInt64
    var version: UInt16
    /// `DW_UT_…`.
    var type: UInt8 = UInt8(DW_UT_compile)
    var addressSize: UInt8
    var offsetSize: UInt8
    var abbreviations: UInt64
    /// Of skeletons and of what was split from them.
    var identifier: UInt64 = 0
    /// Where the first entry is.
    var root: UInt64
    var isUsable: Bool

    /// Nil at the end, or where the list cannot be followed.
    init?(_ info: Bytes, at offset: UInt64) {
      guard offset < UInt64(info.count) else { return nil }
      var cursor = info.cursor(at: offset)
      var length = UInt64(cursor.u32())
      offsetSize = 4
      if length == 0xffff_ffff {
        length = cursor.u64()
        offsetSize = 8
      } else if length >= 0xffff_fff0 {
        return nil
      }
      let start = UInt64(cursor.position)
      guard !cursor.hasFailed, length > 0, length <= UInt64(info.count) - start else { return nil }
      self.offset = offset
      end = start + length
      version = cursor.u16()
      if version >= 5 {
        type = cursor.u8()
        addressSize = cursor.u8()
        abbreviations = cursor.unsigned(Int(offsetSize))
        if [DW_UT_skeleton, DW_UT_split_compile].contains(Int(type)) { identifier = cursor.u64() }
        if [DW_UT_type, DW_UT_split_type].contains(Int(type)) { cursor.skip(8 + UInt64(offsetSize)) }
      } else {
        abbreviations = cursor.unsigned(Int(offsetSize))
        addressSize = cursor.u8()
      }
      root = UInt64(cursor.position)
      isUsable =
        !cursor.hasFailed && root < end && 2...5 ~= version && [4, 8].contains(addressSize)
        && ![DW_UT_type, DW_UT_split_type].contains(Int(type))
    }
  }

  let file: DwarfFile
  let header: Header
  /// Given up with the file's, and then read again.
  var table: AbbreviationTable {
    if let kept { return kept }
    let made = file.table(key, file.abbreviations)
    kept = made
    return made
  }
  private let key: AbbreviationTable.Key
  private var kept: AbbreviationTable?
  /// What is left of the unit in the main file, where its functions were split from it.
  let skeleton: DwarfUnit?
  private let parts: Parts

  private(set) var low: UInt64 = 0
  private(set) var folder: String?
  private(set) var splitName: String?
  /// Of the skeleton and of the split unit, GNU's form before DWARF 5.
  private(set) var splitIdentifier: UInt64
  private var lineOffset: UInt64?
  private var rootValues = EntryValues()
  private var addressBase: UInt64
  private var stringOffsetsBase: UInt64
  private var rangeListsBase: UInt64
  private var rangesBase: UInt64 = 0

  /// Attributes of an entry that matter here.
  struct EntryValues {
    var name = AttributeValue.none
    var linkageName = AttributeValue.none
    var low = AttributeValue.none
    var high = AttributeValue.none
    var ranges = AttributeValue.none
    /// DW_AT_abstract_origin or DW_AT_specification: the entry that has what this one lacks.
    var origin = AttributeValue.none
    var sibling = AttributeValue.none
    var callFile: UInt32 = 0
    var callLine: UInt32 = 0
  }

  init(_ file: DwarfFile, _ header: Header, parts: Parts = Parts(), skeleton: DwarfUnit? = nil) {
    self.file = file
    self.header = header
    self.parts = parts
    self.skeleton = skeleton
    key = AbbreviationTable.Key(
      offset: parts.abbreviations &+ header.abbreviations, addressSize: header.addressSize, offsetSize: header.offsetSize,
      version: UInt8(header.version))
    splitIdentifier = header.identifier
    let isWide = header.offsetSize == 8
    // Split units do not say where their tables begin: behind the header of their part.
    let isSplit = skeleton != nil && header.version >= 5
    stringOffsetsBase = parts.stringOffsets &+ (isSplit ? (isWide ? 16 : 8) : 0)
    rangeListsBase = parts.rangeLists &+ (isSplit ? (isWide ? 20 : 12) : 0)
    addressBase = 0
    readRoot()
  }

  /// Gives up what is read again when it is needed.
  func settle() { kept = nil }

  private func readRoot() {
    var cursor = file.info.cursor(at: header.root, end: Int(header.end))
    guard let entry = table.entry(cursor.uleb()) else { return }
    var (lowValue, folderValue, splitValue) = (AttributeValue.none, AttributeValue.none, AttributeValue.none)
    for attribute in table.attributes[Int(entry.first)..<Int(entry.first + entry.count)] {
      let value = value(&cursor, attribute.form, attribute.constant)
      switch Int(attribute.name) {
      case DW_AT_low_pc: lowValue = value
      case DW_AT_high_pc: rootValues.high = value
      case DW_AT_ranges: rootValues.ranges = value
      case DW_AT_comp_dir: folderValue = value
      case DW_AT_dwo_name, DW_AT_GNU_dwo_name: splitValue = value
      case DW_AT_stmt_list: lineOffset = value.number
      case DW_AT_addr_base, DW_AT_GNU_addr_base: addressBase = value.number ?? 0
      case DW_AT_str_offsets_base: stringOffsetsBase = parts.stringOffsets &+ (value.number ?? 0)
      case DW_AT_rnglists_base: rangeListsBase = parts.rangeLists &+ (value.number ?? 0)
      case DW_AT_GNU_ranges_base: rangesBase = value.number ?? 0
      case DW_AT_GNU_dwo_id: splitIdentifier = value.number ?? 0
      default: break
      }
    }
    // The bases of the tables may come after what refers to them.
    rootValues.low = lowValue
    low = address(lowValue) ?? skeleton?.low ?? 0
    folder = text(folderValue)
    splitName = text(splitValue)
  }

  // MARK: Attributes

  /// Reads an attribute and goes on behind it.
  @inline(__always)
  func value(_ cursor: inout Cursor, _ form: UInt16, _ constant: Int32) -> AttributeValue {
    switch Int(form) {
    case DW_FORM_addr: return .address(cursor.unsigned(Int(header.addressSize)))
    case DW_FORM_data1, DW_FORM_flag: return .constant(UInt64(cursor.u8()))
    case DW_FORM_data2: return .constant(UInt64(cursor.u16()))
    case DW_FORM_data4:
      // Before DWARF 4 also an offset of another section; `number` serves both.
      return .constant(UInt64(cursor.u32()))
    case DW_FORM_data8: return .constant(cursor.u64())
    case DW_FORM_udata: return .constant(cursor.uleb())
    case DW_FORM_sdata: return .constant(UInt64(bitPattern: cursor.sleb()))
    case DW_FORM_implicit_const: return .constant(UInt64(bitPattern: table.constants[Int(constant)]))
    case DW_FORM_flag_present: return .constant(1)
    case DW_FORM_strp: return .string(cursor.unsigned(Int(header.offsetSize)))
    case DW_FORM_line_strp: return .lineString(cursor.unsigned(Int(header.offsetSize)))
    case DW_FORM_strp_sup, DW_FORM_GNU_strp_alt: return .sharedString(cursor.unsigned(Int(header.offsetSize)))
    case DW_FORM_string: return .text(cursor.text())
    case DW_FORM_strx, DW_FORM_GNU_str_index: return .stringIndex(cursor.uleb())
    case DW_FORM_strx1: return .stringIndex(UInt64(cursor.u8()))
    case DW_FORM_strx2: return .stringIndex(UInt64(cursor.u16()))
    case DW_FORM_strx3: return .stringIndex(cursor.unsigned(3))
    case DW_FORM_strx4: return .stringIndex(UInt64(cursor.u32()))
    case DW_FORM_addrx, DW_FORM_GNU_addr_index: return .addressIndex(cursor.uleb())
    case DW_FORM_addrx1: return .addressIndex(UInt64(cursor.u8()))
    case DW_FORM_addrx2: return .addressIndex(UInt64(cursor.u16()))
    case DW_FORM_addrx3: return .addressIndex(cursor.unsigned(3))
    case DW_FORM_addrx4: return .addressIndex(UInt64(cursor.u32()))
    case DW_FORM_ref1: return .reference(header.offset &+ UInt64(cursor.u8()))
    case DW_FORM_ref2: return .reference(header.offset &+ UInt64(cursor.u16()))
    case DW_FORM_ref4: return .reference(header.offset &+ UInt64(cursor.u32()))
    case DW_FORM_ref8: return .reference(header.offset &+ cursor.u64())
    case DW_FORM_ref_udata: return .reference(header.offset &+ cursor.uleb())
    case DW_FORM_ref_addr: return .reference(cursor.unsigned(Int(header.version <= 2 ? header.addressSize : header.offsetSize)))
    case DW_FORM_GNU_ref_alt: return .sharedReference(cursor.unsigned(Int(header.offsetSize)))
    case DW_FORM_ref_sup4: return .sharedReference(UInt64(cursor.u32()))
    case DW_FORM_ref_sup8: return .sharedReference(cursor.u64())
    case DW_FORM_sec_offset: return .section(cursor.unsigned(Int(header.offsetSize)))
    case DW_FORM_rnglistx: return .listIndex(cursor.uleb())
    default: return other(&cursor, form)
    }
  }

  /// Forms that nothing here asks for are passed.
  private func other(_ cursor: inout Cursor, _ form: UInt16) -> AttributeValue {
    switch Int(form) {
    case DW_FORM_block1: cursor.skip(UInt64(cursor.u8()))
    case DW_FORM_block2: cursor.skip(UInt64(cursor.u16()))
    case DW_FORM_block4: cursor.skip(UInt64(cursor.u32()))
    case DW_FORM_block, DW_FORM_exprloc: cursor.skip(cursor.uleb())
    case DW_FORM_loclistx: _ = cursor.uleb()
    case DW_FORM_ref_sig8: cursor.skip(8)
    case DW_FORM_data16: cursor.skip(16)
    case DW_FORM_indirect:
      let form = cursor.uleb()
      // One that leads to itself, or that has its constant elsewhere, is no one's work.
      guard form != UInt64(DW_FORM_indirect), form != UInt64(DW_FORM_implicit_const) else {
        cursor.skip(.max)
        return .none
      }
      return value(&cursor, UInt16(clamping: form), 0)
    default: cursor.skip(.max)
    }
    return .none
  }

  /// Reads the attributes of an entry and goes on behind it.
  @inline(__always)
  func values(_ cursor: inout Cursor, _ entry: AbbreviationTable.Entry) -> EntryValues {
    var values = EntryValues()
    for index in Int(entry.first)..<Int(entry.first &+ entry.count) {
      let attribute = table.attributes[index]
      let value = value(&cursor, attribute.form, attribute.constant)
      switch Int(attribute.name) {
      case DW_AT_low_pc: values.low = value
      case DW_AT_high_pc: values.high = value
      case DW_AT_ranges: values.ranges = value
      case DW_AT_name: values.name = value
      case DW_AT_linkage_name, DW_AT_MIPS_linkage_name: values.linkageName = value
      case DW_AT_abstract_origin: values.origin = value
      case DW_AT_specification: if !values.origin.isPresent { values.origin = value }
      case DW_AT_sibling: values.sibling = value
      case DW_AT_call_file: values.callFile = UInt32(clamping: value.number ?? 0)
      case DW_AT_call_line: values.callLine = UInt32(clamping: value.number ?? 0)
      default: break
      }
    }
    return values
  }

  /// The attributes of the entry at a place of the section.
  func values(at offset: UInt64) -> EntryValues {
    var cursor = file.info.cursor(at: offset, end: Int(header.end))
    guard let entry = table.entry(cursor.uleb()) else { return EntryValues() }
    return values(&cursor, entry)
  }

  // MARK: Texts and addresses

  /// The text of a value; nil for what is none, and for those in a shared file.
  func text(_ value: AttributeValue) -> String? {
    switch value {
    case .text(let offset): return file.info.text(at: offset)
    case .string(let offset): return file.strings.text(at: offset)
    case .lineString(let offset): return file.lineStrings.text(at: offset)
    case .stringIndex(let index):
      let size = UInt64(header.offsetSize)
      guard index < 1 << 32 else { return nil }
      var cursor = file.stringOffsets.cursor(at: stringOffsetsBase &+ index * size)
      let offset = cursor.unsigned(Int(size))
      return cursor.hasFailed ? nil : file.strings.text(at: offset)
    default: return nil
    }
  }

  func address(_ value: AttributeValue) -> UInt64? {
    switch value {
    case .address(let address): return address
    case .addressIndex(let index): return address(number: index)
    default: return nil
    }
  }

  private func address(number index: UInt64) -> UInt64? {
    let owner = skeleton ?? self
    guard index < 1 << 32 else { return nil }
    var cursor = owner.file.addresses.cursor(at: owner.addressBase &+ index * UInt64(header.addressSize))
    let address = cursor.unsigned(Int(header.addressSize))
    return cursor.hasFailed ? nil : address
  }

  // MARK: Ranges

  /// The addresses that the unit covers; end excluded.
  var ranges: [(low: UInt64, high: UInt64)] {
    var result: [(low: UInt64, high: UInt64)] = []
    forEachRange(rootValues, isRoot: true) { result.append(($0, $1)) }
    return result
  }

  /// Ranges of one entry; each is a few bytes of a file that a stranger wrote.
  private static let rangeLimit = 1 << 16

  /// Visits the addresses that an entry covers; end excluded.
  @inline(__always)
  func forEachRange(_ values: EntryValues, isRoot: Bool = false, _ body: (_ low: UInt64, _ high: UInt64) -> Void) {
    if values.ranges.isPresent { return list(values.ranges, isRoot: isRoot, body) }
    guard let low = address(values.low) else { return }
    let high: UInt64
    switch values.high {
    case .constant(let size): high = low &+ size
    case let other:
      guard let end = address(other) else { return }
      high = end
    }
    if Self.isReal(low, high) { body(low, high) }
  }

  /// Functions that the linker dropped stay behind at 0 or at the largest addresses.
  @inline(__always)
  private static func isReal(_ low: UInt64, _ high: UInt64) -> Bool { low < high && low != 0 && high < UInt64.max - 1 }

  private func list(_ value: AttributeValue, isRoot: Bool, _ body: (UInt64, UInt64) -> Void) {
    switch value {
    case .listIndex(let index):
      guard index < 1 << 32 else { return }
      var cursor = file.rangeLists.cursor(at: rangeListsBase &+ index * UInt64(header.offsetSize))
      let offset = cursor.unsigned(Int(header.offsetSize))
      if !cursor.hasFailed { rangeList(at: rangeListsBase &+ offset, body) }
    case .section(let offset), .constant(let offset):
      if header.version >= 5 { return rangeList(at: parts.rangeLists &+ offset, body) }
      // The skeleton's own list is not counted from its base.
      pairs(at: isRoot && skeleton == nil ? offset : offset &+ (skeleton ?? self).rangesBase, body)
    default: break
    }
  }

  /// `.debug_rnglists`, DWARF 5, section 7.25.
  private func rangeList(at offset: UInt64, _ body: (UInt64, UInt64) -> Void) {
    var cursor = file.rangeLists.cursor(at: offset)
    var base = low
    let size = Int(header.addressSize)
    for _ in 0..<Self.rangeLimit where file.budget.entries > 0 {
      file.budget.entries -= 1
      var (start, end): (UInt64, UInt64) = (0, 0)
      switch Int(cursor.u8()) {
      case DW_RLE_base_addressx:
        base = address(number: cursor.uleb()) ?? 0
        continue
      case DW_RLE_base_address:
        base = cursor.unsigned(size)
        continue
      case DW_RLE_startx_endx: (start, end) = (address(number: cursor.uleb()) ?? 0, address(number: cursor.uleb()) ?? 0)
      case DW_RLE_startx_length:
        start = address(number: cursor.uleb()) ?? 0
        end = start &+ cursor.uleb()
      case DW_RLE_offset_pair: (start, end) = (base &+ cursor.uleb(), base &+ cursor.uleb())
      case DW_RLE_start_end: (start, end) = (cursor.unsigned(size), cursor.unsigned(size))
      case DW_RLE_start_length:
        start = cursor.unsigned(size)
        end = start &+ cursor.uleb()
      default: return
      }
      guard !cursor.hasFailed else { return }
      if Self.isReal(start, end) { body(start, end) }
    }
  }

  /// `.debug_ranges`, DWARF 4, section 2.17.3.
  private func pairs(at offset: UInt64, _ body: (UInt64, UInt64) -> Void) {
    var cursor = (skeleton ?? self).file.ranges.cursor(at: offset)
    var base = low
    let size = Int(header.addressSize)
    let largest: UInt64 = size == 8 ? .max : 0xffff_ffff
    for _ in 0..<Self.rangeLimit where file.budget.entries > 0 {
      file.budget.entries -= 1
      let (start, end) = (cursor.unsigned(size), cursor.unsigned(size))
      guard !cursor.hasFailed, start != 0 || end != 0 else { return }
      if start == largest {
        base = end
      } else if Self.isReal(base &+ start, base &+ end) {
        body(base &+ start, base &+ end)
      }
    }
  }

  /// The unit's line table; nil without one.
  func lineTable() -> LineTable? {
    lineOffset.flatMap { LineTable(self, at: parts.lines &+ $0) }
  }
}
