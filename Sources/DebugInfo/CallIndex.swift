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
}

/// Functions, inlined calls and source lines of one file, by address, from its DWARF 2 to 5.
///
/// libdw's own answers walk a unit's whole tree for every address. Here each unit is walked once, when an address first falls into it,
/// into sorted segments that do not overlap; a look-up is two binary searches. Owned by one task: libdw has no locks.
final class CallIndex {
  /// What one file may cost: whoever wrote it is a stranger.
  private enum Limit {
    static let units = 1 << 20
    static let nodes = 4 << 20
    /// Of one unit; a sibling may be said to lie before its brother, so that a list has no end.
    static let entries = 8 << 20
    static let depth = 512
    static let inlined = 256
  }

  private static let none: Int32 = -1

  /// A function or an inlined call.
  private struct Node {
    var entry: DebugEntry
    /// The function that it is merged into, or `none`.
    var parent: Int32
    var isInlined: Bool
  }

  /// From `start` up to the next segment's start the innermost node is `node`.
  private struct Segment {
    var start: UInt64
    var node: Int32
  }

  private struct Unit {
    /// What has the ranges and the lines.
    var skeleton: DebugEntry
    /// What has the functions.
    var tree: DebugEntry
    var isIndexed = false
    var segments: [Segment] = []
  }

  private struct UnitRange {
    var low: UInt64
    var high: UInt64
    var unit: Int32
  }

  private var units: [Unit] = []
  private var ranges: [UnitRange] = []
  private var nodes: [Node] = []
  private var names: [Int32: String] = [:]

  /// - Parameters:
  ///   - dwarf: libdw's handle; it must outlive the index.
  ///   - opensSplit: whether the file may name others that have its functions.
  init(_ dwarf: OpaquePointer, opensSplit: Bool) {
    for (skeleton, tree) in unsafe DebugUnits(dwarf, opensSplit: opensSplit).prefix(Limit.units) {
      let covered = skeleton.ranges
      // Without ranges, as partial units are, nothing can be asked of it.
      guard !covered.isEmpty else { continue }
      ranges += covered.map { UnitRange(low: $0.low, high: $0.high, unit: Int32(units.count)) }
      units.append(Unit(skeleton: skeleton, tree: tree))
    }
    ranges.sort { ($0.low, $0.high) < ($1.low, $1.high) }
  }

  /// Whether there is anything to find.
  var isEmpty: Bool { ranges.isEmpty }

  /// The calls at an address of the file, innermost first; the last one is the function itself.
  ///
  /// Empty where no function is known; then `line(at:)` may still know the line.
  func calls(at address: UInt64) -> [SourceCall] {
    guard let unit = unit(at: address) else { return [] }
    if !units[unit].isIndexed { index(unit) }
    let segments = units[unit].segments
    var (low, high) = (0, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, segments[low - 1].node != Self.none else { return [] }
    var position = line(at: address, in: unit)
    var result: [SourceCall] = []
    var node = segments[low - 1].node
    while node != Self.none, result.count < Limit.inlined {
      let isInlined = nodes[Int(node)].isInlined
      result.append(SourceCall(name: name(node), file: position.file, line: position.line, isInlined: isInlined))
      guard isInlined else { break }
      position = callSite(of: node, in: unit)
      node = nodes[Int(node)].parent
    }
    return result
  }

  /// The source position of an address.
  func line(at address: UInt64) -> (file: String?, line: UInt32) {
    guard let unit = unit(at: address) else { return (nil, 0) }
    return line(at: address, in: unit)
  }

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

  private func index(_ unit: Int) {
    units[unit].isIndexed = true
    var extents: [Extent] = []
    // Entries whose siblings are still to be visited, with the node they are in: the tree is as deep as its writer likes.
    var path: [(entry: DebugEntry, node: Int32)] = []
    var owner = Self.none
    var next = units[unit].tree.firstChild
    var visited = 0
    while let entry = next, visited < Limit.entries {
      visited += 1
      let (node, descends) = visit(entry, owner, depth: Int32(path.count), &extents)
      if descends, path.count < Limit.depth, let child = entry.firstChild {
        path.append((entry, owner))
        owner = node
        next = child
        continue
      }
      next = entry.nextSibling
      while next == nil, let up = path.popLast() {
        owner = up.node
        next = up.entry.nextSibling
      }
    }
    units[unit].segments = Self.segments(&extents)
  }

  /// Takes in an entry.
  ///
  /// - Returns: the node that its children are in, and whether to look at them.
  private func visit(_ entry: DebugEntry, _ owner: Int32, depth: Int32, _ extents: inout [Extent]) -> (Int32, Bool) {
    switch Int(entry.tag) {
    case DW_TAG_subprogram, DW_TAG_inlined_subroutine:
      let covered = entry.ranges
      // Abstract functions have no code, but lambdas and functions of local types are inside of them.
      guard !covered.isEmpty else { return (owner, true) }
      guard nodes.count < Limit.nodes else { return (owner, false) }
      let node = Int32(nodes.count)
      extents += covered.map { Extent(low: $0.low, high: $0.high, depth: depth, node: node) }
      let isInlined = Int(entry.tag) == DW_TAG_inlined_subroutine
      nodes.append(Node(entry: entry, parent: isInlined ? owner : Self.none, isInlined: isInlined))
      return (node, true)
    case DW_TAG_lexical_block, DW_TAG_namespace, DW_TAG_class_type, DW_TAG_structure_type, DW_TAG_union_type, DW_TAG_enumeration_type,
      DW_TAG_module, DW_TAG_try_block, DW_TAG_catch_block:
      return (owner, true)
    default: return (owner, false)
    }
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

  private func name(_ node: Int32) -> String? {
    if let known = names[node] { return known.isEmpty ? nil : known }
    let name = nodes[Int(node)].entry.name
    names[node] = name ?? ""
    return name
  }

  private func line(at address: UInt64, in unit: Int) -> (file: String?, line: UInt32) {
    guard let (file, line) = units[unit].skeleton.line(at: address) else { return (nil, 0) }
    return (absolute(file, in: unit), line)
  }

  /// Where an inlined function was called from.
  private func callSite(of node: Int32, in unit: Int) -> (file: String?, line: UInt32) {
    let entry = nodes[Int(node)].entry
    let line = entry.number(Int32(DW_AT_call_line)).map { UInt32(truncatingIfNeeded: $0) } ?? 0
    return (absolute(entry.number(Int32(DW_AT_call_file)).flatMap { units[unit].tree.source($0) }, in: unit), line)
  }

  /// A source path; relative ones start in the folder that the compiler ran in.
  private func absolute(_ path: String?, in unit: Int) -> String? {
    guard let path, !path.hasPrefix("/"), let folder = units[unit].skeleton.text(Int32(DW_AT_comp_dir)) else { return path }
    return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
  }
}
