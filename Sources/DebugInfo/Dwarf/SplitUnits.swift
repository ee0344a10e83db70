internal import Linux
internal import SystemPackage

/// The units that a compiler left in files of their own (`.dwo`), or a linker's helper put together (`.dwp`).
///
/// DWARF 5, sections 7.3.2 and 7.3.5, and GNU's forms before it (DebugFission).
final class SplitUnits {
  private let path: FilePath?
  private let search: DebugFileSearch
  private var found: SplitPackage??
  private var package: SplitPackage? {
    if let found { return found }
    let made = makePackage()
    found = .some(made)
    return made
  }

  /// - Parameter path: of the program, in the search's first root.
  init(_ path: FilePath?, _ search: DebugFileSearch) {
    self.path = path
    self.search = search
  }

  /// Gives up what is read again when it is needed.
  func settle() { if let package = found ?? nil { package.file.settle() } }

  /// What was split from a unit; nil where it is not found, or is of another build.
  func unit(of skeleton: DwarfUnit) -> DwarfUnit? {
    guard let name = skeleton.splitName else { return nil }
    if let unit = package?.unit(of: skeleton) { return unit }
    let file = FilePath(name)
    var candidates: [FilePath] = []
    if file.isAbsolute {
      candidates.append(file)
    } else {
      if let folder = skeleton.folder { candidates.append(FilePath(folder).pushing(file)) }
      // Where both were moved together.
      if let folder = path?.removingLastComponent() { candidates.append(folder.pushing(file)) }
    }
    if let folder = path?.removingLastComponent(), let last = file.lastComponent { candidates.append(folder.appending(last)) }
    for candidate in candidates {
      guard let elf = search.open(candidate), let dwarf = DwarfFile(elf, isSplit: true, copyLimit: search.copyLimit) else { continue }
      for header in UnitList(dwarf).headers where header.isUsable {
        let unit = DwarfUnit(dwarf, header, skeleton: skeleton)
        if unit.splitIdentifier == skeleton.splitIdentifier { return unit }
      }
    }
    return nil
  }

  private func makePackage() -> SplitPackage? {
    guard let path, let elf = search.open(FilePath(path.string + ".dwp")),
      let dwarf = DwarfFile(elf, isSplit: true, copyLimit: search.copyLimit)
    else { return nil }
    return SplitPackage(dwarf)
  }
}

/// A package of split units.
struct SplitPackage {
  let file: DwarfFile
  /// The place of a unit, and of its parts of the other sections.
  private var rows: [UInt64: (info: UInt64, parts: DwarfUnit.Parts)] = [:]

  private static let limit = 1 << 20

  /// Reads `.debug_cu_index`: a hash table of identifiers, then for each unit where its parts begin.
  init?(_ file: DwarfFile) {
    self.file = file
    var cursor = file.unitIndex.cursor()
    let version = cursor.u32() & 0xffff
    let (columns, units, slots) = (Int(cursor.u32()), Int(cursor.u32()), Int(cursor.u32()))
    guard !cursor.hasFailed, version == 2 || version == 5, columns <= 16, units <= Self.limit, slots <= 4 * Self.limit else { return nil }
    let identifiers = cursor.position
    let indexes = identifiers + 8 * slots
    let kinds = indexes + 4 * slots
    let offsets = kinds + 4 * columns
    func number(_ position: Int) -> UInt32 {
      var cursor = file.unitIndex.cursor(at: UInt64(position))
      return cursor.u32()
    }
    for slot in 0..<slots {
      let row = Int(number(indexes + 4 * slot))
      guard row > 0, row <= units else { continue }
      var at = file.unitIndex.cursor(at: UInt64(identifiers + 8 * slot))
      let identifier = at.u64()
      var info: UInt64 = 0
      var parts = DwarfUnit.Parts()
      for column in 0..<columns {
        let offset = UInt64(number(offsets + 4 * ((row - 1) * columns + column)))
        // DW_SECT_…: INFO, ABBREV, LINE and STR_OFFSETS are called alike in both versions; RNGLISTS is new.
        switch number(kinds + 4 * column) {
        case 1: info = offset
        case 3: parts.abbreviations = offset
        case 4: parts.lines = offset
        case 6: parts.stringOffsets = offset
        case 8 where version == 5: parts.rangeLists = offset
        default: break
        }
      }
      rows[identifier] = (info, parts)
    }
  }

  func unit(of skeleton: DwarfUnit) -> DwarfUnit? {
    guard let row = rows[skeleton.splitIdentifier], let header = DwarfUnit.Header(file.info, at: row.info), header.isUsable else {
      return nil
    }
    return DwarfUnit(file, header, parts: row.parts, skeleton: skeleton)
  }
}
