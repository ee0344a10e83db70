internal import Clibdw

/// What kinds of entries a unit has, and which attributes each kind has (DWARF 5, section 7.5.3).
final class AbbreviationTable {
  /// Sizes of attributes depend on the unit.
  struct Key: Hashable {
    var offset: UInt64
    var addressSize: UInt8
    var offsetSize: UInt8
    var version: UInt8
  }

  struct Attribute {
    /// `DW_AT_…`.
    var name: UInt16
    /// `DW_FORM_…`.
    var form: UInt16
    /// Of `DW_FORM_implicit_const`: in `constants`.
    var constant: Int32
  }

  struct Entry {
    /// `DW_TAG_…`.
    var tag: UInt16
    var hasChildren: Bool
    /// In `attributes`.
    var first: Int32
    var count: Int32
    /// Bytes of all attributes, or -1 when they differ.
    var fixedSize: Int32
  }

  private(set) var attributes: [Attribute] = []
  private(set) var constants: [Int64] = [0]
  private var entries: [Entry] = []
  /// By code, where codes do not simply count from 1.
  private var places: [UInt64: Int32] = [:]

  init(_ start: Cursor, _ key: Key, _ budget: DwarfBudget) {
    var cursor = start
    while !cursor.hasFailed, budget.attributes > 0 {
      budget.attributes -= 4
      let code = cursor.uleb()
      guard code != 0 else { break }
      let tag = cursor.uleb()
      let hasChildren = cursor.u8() != 0
      let first = attributes.count
      var size: Int32 = 0
      while !cursor.hasFailed, budget.attributes > 0 {
        let (name, form) = (cursor.uleb(), cursor.uleb())
        let constant = form == UInt64(DW_FORM_implicit_const) ? cursor.sleb() : 0
        if name == 0, form == 0 { break }
        budget.attributes -= 1
        if constant != 0 { constants.append(constant) }
        let place = constant == 0 ? 0 : Int32(constants.count - 1)
        attributes.append(Attribute(name: UInt16(clamping: name), form: UInt16(clamping: form), constant: place))
        let each = Form.size(UInt16(clamping: form), key)
        size = size < 0 || each < 0 || size > 1 << 20 ? -1 : size + each
      }
      guard !cursor.hasFailed else { break }
      if code != UInt64(entries.count) + 1 || !places.isEmpty {
        if places.isEmpty { for index in entries.indices { places[UInt64(index) + 1] = Int32(index) } }
        places[code] = Int32(entries.count)
      }
      entries.append(
        Entry(
          tag: UInt16(clamping: tag), hasChildren: hasChildren, first: Int32(first), count: Int32(attributes.count - first), fixedSize: size
        ))
    }
  }

  /// The kind of entries with a code.
  @inline(__always)
  func entry(_ code: UInt64) -> Entry? {
    if places.isEmpty { return code &- 1 < UInt64(entries.count) ? entries[Int(code &- 1)] : nil }
    return places[code].map { entries[Int($0)] }
  }
}

/// How attributes are written (DWARF 5, section 7.5.6, and the extensions that GNU tools use before it).
enum Form {
  /// Bytes of a form; -1 when they differ.
  static func size(_ form: UInt16, _ unit: AbbreviationTable.Key) -> Int32 {
    switch Int(form) {
    case DW_FORM_flag_present, DW_FORM_implicit_const: 0
    case DW_FORM_data1, DW_FORM_ref1, DW_FORM_flag, DW_FORM_strx1, DW_FORM_addrx1: 1
    case DW_FORM_data2, DW_FORM_ref2, DW_FORM_strx2, DW_FORM_addrx2: 2
    case DW_FORM_strx3, DW_FORM_addrx3: 3
    case DW_FORM_data4, DW_FORM_ref4, DW_FORM_strx4, DW_FORM_addrx4, DW_FORM_ref_sup4: 4
    case DW_FORM_data8, DW_FORM_ref8, DW_FORM_ref_sig8, DW_FORM_ref_sup8: 8
    case DW_FORM_data16: 16
    case DW_FORM_addr: Int32(unit.addressSize)
    case DW_FORM_strp, DW_FORM_line_strp, DW_FORM_sec_offset, DW_FORM_strp_sup, DW_FORM_GNU_strp_alt, DW_FORM_GNU_ref_alt:
      Int32(unit.offsetSize)
    case DW_FORM_ref_addr: Int32(unit.version <= 2 ? unit.addressSize : unit.offsetSize)
    default: -1
    }
  }
}

/// The value of an attribute, as it is written.
enum AttributeValue {
  case none
  case address(UInt64)
  /// In the table of addresses.
  case addressIndex(UInt64)
  case constant(UInt64)
  /// In the section of the entry itself.
  case text(UInt64)
  case string(UInt64)
  case lineString(UInt64)
  case stringIndex(UInt64)
  /// In the file that several debug files share.
  case sharedString(UInt64)
  /// An entry, by its place in the section.
  case reference(UInt64)
  case sharedReference(UInt64)
  case section(UInt64)
  case listIndex(UInt64)

  var isPresent: Bool { if case .none = self { false } else { true } }

  var number: UInt64? {
    switch self {
    case .constant(let number), .section(let number): number
    default: nil
    }
  }
}
