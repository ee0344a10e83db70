internal import Clibdw

/// One function at an address, as the programmer wrote it.
package struct SourceCall: Sendable {
  /// Mangled where the compiler says so; nil for a function without a name.
  package var name: String?
  /// Where the instruction is in it: the line of the address itself, or of the call that was merged into this function.
  package var file: String?
  /// 0 when not known.
  package var line: UInt32
  /// Whether it was merged into the next of the list.
  package var isInlined: Bool
  /// Equal for equal names of one file, so that what is made of a name can be kept; 0 without a name.
  package var nameKey: UInt64 = 0
}

/// Functions, inlined calls and source lines of one file, by address, from its DWARF 2 to 5.
///
/// Each unit is walked once, when an address first falls into it, into sorted segments that do not overlap; a look-up is two binary
/// searches, and one in the unit's line table. libdw's own look-ups would walk a unit's whole tree for every address. Owned by one task.
final class CallIndex {
  /// What one file may cost: whoever wrote it is a stranger.
  private enum Limit {
    static let nodes = 2 << 20
    static let depth = 512
    static let inlined = 256
    /// From an instance to what it is an instance of.
    static let origins = 16
  }

  private static let none: Int32 = -1

  /// A function or an inlined call.
  private struct Node {
    /// The entry that has its name, as far as that is known: what it is an instance of, or itself.
    var named: UInt64
    /// The function that it is merged into, or `none`.
    var parent: Int32
    var callFile: UInt32
    var callLine: UInt32
    var isInlined: Bool
  }

  /// From `start` up to the next segment's start the innermost node is `node`.
  private struct Segment {
    var start: UInt64
    var node: Int32
  }

  private struct Unit {
    /// What has the ranges and the lines.
    var skeleton: DwarfUnit
    /// What has the functions.
    var tree: DwarfUnit
    var isIndexed = false
    var segments: [Segment] = []
    var lines: LineTable?
  }

  private struct UnitRange {
    var low: UInt64
    var high: UInt64
    var unit: Int32
  }

  private let list: UnitList
  /// What several debug files have in common.
  private let shared: UnitList?
  private let split: SplitUnits
  private var units: [Unit] = []
  private var ranges: [UnitRange] = []
  private var nodes: [Node] = []
  private var names: [NameKey: String?] = [:]

  private struct NameKey: Hashable {
    /// 0 for those of the main file.
    var unit: Int32
    var offset: UInt64
  }

  /// - Parameters:
  ///   - shared: the file that this one refers to (DWZ).
  ///   - split: finds what was split from the units.
  init(_ file: DwarfFile, shared: DwarfFile?, split: SplitUnits) {
    list = UnitList(file)
    self.shared = shared.map { UnitList($0) }
    self.split = split
    for index in list.headers.indices {
      // Partial units have no code of their own.
      guard Int(list.headers[index].type) != DW_UT_partial, let unit = list[index] else { continue }
      let covered = unit.ranges
      guard !covered.isEmpty, covered.count <= file.budget.ranges else { continue }
      file.budget.ranges -= covered.count
      ranges += covered.map { UnitRange(low: $0.low, high: $0.high, unit: Int32(units.count)) }
      units.append(Unit(skeleton: unit, tree: unit))
    }
    ranges.sort { ($0.low, $0.high) < ($1.low, $1.high) }
  }

  /// Whether there is anything to find.
  var isEmpty: Bool { ranges.isEmpty }

  /// The calls at an address of the file, innermost first; the last one is the function itself.
  ///
  /// Where no function is known, only the line may be, in a call without a name.
  func calls(at address: UInt64) -> [SourceCall] {
    guard let unit = unit(at: address) else { return [] }
    if !units[unit].isIndexed { index(unit) }
    let segments = units[unit].segments
    var (low, high) = (0, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    var position = line(at: address, in: unit)
    var node = low > 0 ? segments[low - 1].node : Self.none
    guard node != Self.none else {
      return position.line == 0 ? [] : [SourceCall(name: nil, file: position.file, line: position.line, isInlined: false)]
    }
    var result: [SourceCall] = []
    while node != Self.none, result.count < Limit.inlined {
      let each = nodes[Int(node)]
      let key =
        units[unit].tree === units[unit].skeleton
        ? NameKey(unit: 0, offset: each.named) : NameKey(unit: Int32(unit + 1), offset: each.named)
      let name = name(key, in: unit)
      result.append(
        SourceCall(
          name: name, file: position.file, line: position.line, isInlined: each.isInlined,
          nameKey: name == nil ? 0 : UInt64(key.unit) << 40 | key.offset))
      guard each.isInlined else { break }
      // Where the inlined function was called from.
      position = (lines(unit)?.path(each.callFile), each.callLine)
      node = each.parent
    }
    return result
  }

  /// Gives up what was read of units; which addresses they have stays.
  func settle() {
    (nodes, names) = ([], [:])
    for number in units.indices where units[number].isIndexed {
      units[number] = Unit(skeleton: units[number].skeleton, tree: units[number].skeleton)
    }
    list.settle()
    shared?.settle()
    split.settle()
  }

  /// Bytes of memory after `settle`, about.
  var memoryUse: Int { ranges.count * 24 + units.count * 80 + list.memoryUse + (shared?.memoryUse ?? 0) }

  // MARK: Units

  private func unit(at address: UInt64) -> Int? {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].low <= address { low = middle + 1 } else { high = middle }
    }
    // Ranges of units should not overlap; a few steps back serve those that do.
    for index in stride(from: low - 1, through: max(0, low - 4), by: -1) where address < ranges[index].high {
      return Int(ranges[index].unit)
    }
    return nil
  }

  // MARK: The tree of a unit

  /// A node's range, and how deep in the tree it is.
  private struct Extent {
    var low: UInt64
    var high: UInt64
    var depth: Int32
    var node: Int32
  }

  private func index(_ number: Int) {
    units[number].isIndexed = true
    if let tree = split.unit(of: units[number].skeleton) { units[number].tree = tree }
    units[number].lines = units[number].skeleton.lineTable()
    let unit = units[number].tree
    var extents: [Extent] = []
    var cursor = unit.file.info.cursor(at: unit.header.root, end: Int(unit.header.end))
    // The nodes around the entry, from the unit's own on; and how deep it is in entries that have no functions.
    var owners: [Int32] = []
    var owner = Self.none
    var ignored = 0
    let budget = unit.file.budget
    walk: while !cursor.isAtEnd, budget.entries > 0 {
      budget.entries -= 1
      let offset = UInt64(cursor.position)
      let code = cursor.uleb()
      guard code != 0 else {
        if ignored > 0 {
          ignored -= 1
        } else if let outer = owners.popLast() {
          owner = outer
        }
        if ignored == 0, owners.isEmpty { break }
        continue
      }
      guard let entry = unit.table.entry(code) else { break }
      let kind = ignored > 0 ? .other : Kind(entry.tag)
      var node = owner
      switch kind {
      case .function, .inlined:
        let values = unit.values(&cursor, entry)
        let count = extents.count
        unit.forEachRange(values) { low, high in
          guard extents.count < budget.ranges else { return }
          extents.append(Extent(low: low, high: high, depth: Int32(owners.count), node: Int32(nodes.count)))
        }
        // Abstract functions have no code, but lambdas and functions of local types are inside of them.
        guard extents.count > count else { break }
        guard nodes.count < Limit.nodes else { break walk }
        node = Int32(nodes.count)
        var named = offset
        if !values.linkageName.isPresent, case .reference(let origin) = values.origin { named = origin }
        nodes.append(
          Node(
            named: named, parent: kind == .inlined ? owner : Self.none, callFile: values.callFile, callLine: values.callLine,
            isInlined: kind == .inlined))
      case .container, .other:
        if entry.fixedSize >= 0 {
          let start = cursor
          cursor.skip(UInt64(entry.fixedSize))
          if kind == .other, entry.hasChildren, skipChildren(unit, entry, start, &cursor) { continue walk }
        } else {
          let values = unit.values(&cursor, entry)
          if kind == .other, entry.hasChildren, Self.jump(values.sibling, &cursor) { continue walk }
        }
      }
      guard entry.hasChildren else { continue }
      if kind == .other {
        ignored += 1
      } else {
        guard owners.count < Limit.depth else { break }
        owners.append(owner)
        owner = node
      }
    }
    units[number].segments = Self.segments(&extents)
    unit.file.info.discard(Int(unit.header.offset)..<Int(unit.header.end), of: unit.file.elf)
  }

  private enum Kind {
    case function, inlined
    /// May have functions inside.
    case container
    case other

    @inline(__always)
    init(_ tag: UInt16) {
      switch Int(tag) {
      case DW_TAG_subprogram: self = .function
      case DW_TAG_inlined_subroutine: self = .inlined
      case DW_TAG_lexical_block, DW_TAG_namespace, DW_TAG_class_type, DW_TAG_structure_type, DW_TAG_union_type, DW_TAG_enumeration_type,
        DW_TAG_module, DW_TAG_try_block, DW_TAG_catch_block, DW_TAG_compile_unit, DW_TAG_partial_unit, DW_TAG_skeleton_unit:
        self = .container
      default: self = .other
      }
    }
  }

  /// Passes what is inside an entry whose attributes were skipped, if it says where that ends.
  private func skipChildren(
    _ unit: DwarfUnit, _ entry: AbbreviationTable.Entry, _ start: Cursor, _ cursor: inout Cursor
  ) -> Bool {
    guard unit.table.attributes[Int(entry.first)..<Int(entry.first + entry.count)].contains(where: { Int($0.name) == DW_AT_sibling })
    else { return false }
    var again = start
    return Self.jump(unit.values(&again, entry).sibling, &cursor)
  }

  /// Goes forward to the next entry of the same depth; a way back would have no end.
  private static func jump(_ sibling: AttributeValue, _ cursor: inout Cursor) -> Bool {
    guard case .reference(let offset) = sibling, offset > UInt64(cursor.position), offset < UInt64(cursor.end) else { return false }
    cursor.skip(offset - UInt64(cursor.position))
    return true
  }

  /// Cuts nested ranges into a list without overlaps, in which each has the innermost node.
  private static func segments(_ extents: inout [Extent]) -> [Segment] {
    extents.sort { $0.low != $1.low ? $0.low < $1.low : $0.depth < $1.depth }
    var segments: [Segment] = []
    var open: [Extent] = []
    func emit(_ start: UInt64, _ node: Int32) {
      if let last = segments.last, last.start == start {
        segments[segments.count - 1].node = node
      } else if segments.last?.node != node {
        segments.append(Segment(start: start, node: node))
      }
    }
    /// Ends the innermost range, and those around it that ended inside of it.
    func close() {
      let ended = open.removeLast()
      while let outer = open.last, outer.high <= ended.high { open.removeLast() }
      emit(ended.high, open.last?.node ?? none)
    }
    for extent in extents {
      while let top = open.last, top.high <= extent.low { close() }
      open.append(extent)
      emit(extent.low, extent.node)
    }
    while !open.isEmpty { close() }
    return segments
  }

  // MARK: Names and lines

  private func name(_ key: NameKey, in unit: Int) -> String? {
    if let known = names[key] { return known }
    let name = name(at: key.offset, units[unit].tree)
    names[key] = .some(name)
    return name
  }

  /// The mangled name where there is one, else the plain one; also those of the entry that it is an instance of.
  private func name(at offset: UInt64, _ unit: DwarfUnit) -> String? {
    var (offset, unit) = (offset, unit)
    var plain: String?
    for _ in 0..<Limit.origins {
      if offset < unit.header.offset || offset >= unit.header.end {
        guard unit.skeleton == nil, let other = (unit.file === list.file ? list : shared)?.unit(containing: offset) else { return plain }
        unit = other
      }
      let values = unit.values(at: offset)
      if let name = text(values.linkageName, unit) { return name }
      if plain == nil { plain = text(values.name, unit) }
      switch values.origin {
      case .reference(let origin): offset = origin
      case .sharedReference(let origin):
        guard let other = shared?.unit(containing: origin) else { return plain }
        (offset, unit) = (origin, other)
      default: return plain
      }
    }
    return plain
  }

  private func text(_ value: AttributeValue, _ unit: DwarfUnit) -> String? {
    if case .sharedString(let offset) = value { return shared?.file.strings.text(at: offset) }
    return unit.text(value)
  }

  private func lines(_ unit: Int) -> LineTable? { units[unit].lines }

  private func line(at address: UInt64, in unit: Int) -> (file: String?, line: UInt32) {
    guard let table = lines(unit), let found = table.lookUp(address) else { return (nil, 0) }
    return (table.path(found.file), found.line)
  }
}
