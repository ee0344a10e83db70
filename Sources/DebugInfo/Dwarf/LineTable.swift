internal import Clibdw

/// Which source line each instruction of a unit belongs to: the result of its line program (DWARF 5, section 6.2).
final class LineTable {
  private struct Row {
    var address: UInt64
    var file: UInt32
    var line: UInt32
  }

  /// Rows of ascending addresses.
  private struct Sequence {
    var low: UInt64
    var high: UInt64
    var first: Int32
    var count: Int32
  }

  private struct Source {
    var name: AttributeValue
    var folder: UInt64
  }

  private let unit: DwarfUnit
  private var rows: [Row] = []
  private var sequences: [Sequence] = []
  private var folders: [AttributeValue] = []
  private var sources: [Source] = []
  private var paths: [UInt32: String?] = [:]
  private let version: UInt16

  /// What one unit may cost.
  private enum Limit {
    static let names = 1 << 20
  }

  /// Nil where the table cannot be read.
  init?(_ unit: DwarfUnit, at offset: UInt64) {
    self.unit = unit
    let bytes = unit.file.lines
    var cursor = bytes.cursor(at: offset)
    var length = UInt64(cursor.u32())
    var offsetSize = 4
    if length == 0xffff_ffff {
      length = cursor.u64()
      offsetSize = 8
    }
    version = cursor.u16()
    guard !cursor.hasFailed, 2...5 ~= version, length <= UInt64(bytes.count - cursor.position + 2) else { return nil }
    let end = cursor.position - 2 + Int(length)
    cursor = bytes.cursor(at: UInt64(cursor.position), end: end)
    var addressSize = Int(unit.header.addressSize)
    if version >= 5 {
      addressSize = Int(cursor.u8())
      _ = cursor.u8()
    }
    let headerLength = cursor.unsigned(offsetSize)
    let program = UInt64(cursor.position) &+ headerLength
    let minimumLength = UInt64(cursor.u8())
    if version >= 4 { _ = cursor.u8() }
    _ = cursor.u8()
    let lineBase = Int64(Int8(bitPattern: cursor.u8()))
    let lineRange = UInt64(cursor.u8())
    let firstSpecial = cursor.u8()
    guard lineRange > 0, firstSpecial > 0, addressSize == 4 || addressSize == 8 else { return nil }
    let operands = (1..<firstSpecial).map { _ in cursor.u8() }
    if version >= 5 {
      folders = readNames(&cursor, offsetSize).map(\.name)
      sources = readNames(&cursor, offsetSize)
    } else {
      readOldNames(&cursor)
    }
    guard !cursor.hasFailed, program <= UInt64(end) else { return nil }
    run(
      bytes.cursor(at: program, end: end),
      Machine(
        minimumLength: minimumLength, lineBase: lineBase, lineRange: lineRange, firstSpecial: firstSpecial, operands: operands,
        addressSize: addressSize))
    bytes.discard(Int(program)..<end, of: unit.file.elf)
    sequences.sort { ($0.low, $0.high) < ($1.low, $1.high) }
  }

  // MARK: Names

  private func readOldNames(_ cursor: inout Cursor) {
    while !cursor.hasFailed, folders.count < Limit.names {
      let start = cursor.text()
      if UInt64(cursor.position) == start + 1 { break }
      folders.append(.text(start))
    }
    while !cursor.hasFailed, sources.count < Limit.names {
      let start = cursor.text()
      if UInt64(cursor.position) == start + 1 { break }
      let folder = cursor.uleb()
      _ = (cursor.uleb(), cursor.uleb())
      sources.append(Source(name: .text(start), folder: folder))
    }
  }

  private func readNames(_ cursor: inout Cursor, _ offsetSize: Int) -> [Source] {
    let kinds = (0..<cursor.u8()).map { _ in (content: cursor.uleb(), form: cursor.uleb()) }
    let count = cursor.uleb()
    // Each name takes a byte at least.
    guard count <= UInt64(Limit.names), count <= UInt64(cursor.end - cursor.position), kinds.count <= 16, !kinds.isEmpty else { return [] }
    var result: [Source] = []
    for _ in 0..<count {
      guard !cursor.hasFailed else { break }
      var source = Source(name: .none, folder: 0)
      for (content, form) in kinds {
        let value: AttributeValue
        // The table has its own size of offsets.
        switch Int(form) {
        case DW_FORM_strp: value = .string(cursor.unsigned(offsetSize))
        case DW_FORM_line_strp: value = .lineString(cursor.unsigned(offsetSize))
        default: value = unit.value(&cursor, UInt16(clamping: form), 0)
        }
        switch Int(content) {
        case DW_LNCT_path: source.name = value
        case DW_LNCT_directory_index: source.folder = value.number ?? 0
        default: break
        }
      }
      result.append(source)
    }
    return result
  }

  /// The path of a file by its number; relative ones start in the folder that the compiler ran in.
  func path(_ number: UInt32) -> String? {
    if let known = paths[number] { return known }
    let path = makePath(number)
    paths[number] = .some(path)
    return path
  }

  private func makePath(_ number: UInt32) -> String? {
    // Files count from 1, and the first folder is the compiler's own, before DWARF 5.
    let index = version >= 5 ? Int(number) : Int(number) - 1
    guard sources.indices.contains(index), let name = text(sources[index].name) else { return nil }
    if name.hasPrefix("/") { return name }
    let place = version >= 5 ? Int(clamping: sources[index].folder) : Int(clamping: sources[index].folder) - 1
    let folder = folders.indices.contains(place) ? text(folders[place]) : nil
    let inner = folder.map { join($0, name) } ?? name
    return inner.hasPrefix("/") ? inner : (unit.skeleton ?? unit).folder.map { join($0, inner) } ?? inner
  }

  private func join(_ folder: String, _ name: String) -> String { folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)" }

  private func text(_ value: AttributeValue) -> String? {
    if case .text(let offset) = value { return unit.file.lines.text(at: offset) }
    return unit.text(value)
  }

  // MARK: Rows

  private struct Machine {
    var minimumLength: UInt64
    var lineBase: Int64
    var lineRange: UInt64
    var firstSpecial: UInt8
    /// How many numbers follow each standard operation, from 1 on.
    var operands: [UInt8]
    var addressSize: Int
  }

  private func run(_ start: Cursor, _ machine: Machine) {
    var cursor = start
    var row = Row(address: 0, file: 1, line: 1)
    var first = 0
    func append() {
      // Of several rows for one address the last holds; a row that says nothing new is left out.
      if rows.count > first, rows[rows.count - 1].address == row.address {
        rows[rows.count - 1] = row
      } else if rows.count == first || rows[rows.count - 1].line != row.line || rows[rows.count - 1].file != row.file {
        rows.append(row)
      }
    }
    func finish() {
      let low = rows.count > first ? rows[first].address : 0
      // Code that the linker dropped stays behind at 0 or at the largest addresses.
      if rows.count > first, low != 0, low < row.address, row.address < UInt64.max - 1 {
        if !rows[first...].isAscending(\.address) { rows[first...].sort { $0.address < $1.address } }
        sequences.append(Sequence(low: rows[first].address, high: row.address, first: Int32(first), count: Int32(rows.count - first)))
      } else {
        rows.removeSubrange(first...)
      }
      first = rows.count
      row = Row(address: 0, file: 1, line: 1)
    }
    let budget = unit.file.budget
    defer { budget.rows -= rows.count }
    while !cursor.isAtEnd, rows.count < budget.rows {
      let operation = cursor.u8()
      if operation >= machine.firstSpecial {
        let adjusted = UInt64(operation - machine.firstSpecial)
        row.address &+= adjusted / machine.lineRange &* machine.minimumLength
        row.line = UInt32(truncatingIfNeeded: Int64(row.line) &+ machine.lineBase &+ Int64(adjusted % machine.lineRange))
        append()
        continue
      }
      switch Int(operation) {
      case 0:
        let length = cursor.uleb()
        let next = UInt64(cursor.position) &+ length
        guard length > 0, next <= UInt64(cursor.end) else { return }
        switch Int(cursor.u8()) {
        case DW_LNE_end_sequence: finish()
        case DW_LNE_set_address: row.address = cursor.unsigned(length == 5 ? 4 : machine.addressSize)
        default: break
        }
        if UInt64(cursor.position) < next { cursor.skip(next - UInt64(cursor.position)) }
      case DW_LNS_copy: append()
      case DW_LNS_advance_pc: row.address &+= cursor.uleb() &* machine.minimumLength
      case DW_LNS_advance_line: row.line = UInt32(truncatingIfNeeded: Int64(row.line) &+ cursor.sleb())
      case DW_LNS_set_file: row.file = UInt32(truncatingIfNeeded: cursor.uleb())
      case DW_LNS_const_add_pc:
        row.address &+= UInt64(255 - machine.firstSpecial) / machine.lineRange &* machine.minimumLength
      case DW_LNS_fixed_advance_pc: row.address &+= UInt64(cursor.u16())
      default:
        // The rest say how a debugger should stop, or are of a later standard.
        let count = Int(operation) <= machine.operands.count ? machine.operands[Int(operation) - 1] : 0
        for _ in 0..<count { _ = cursor.uleb() }
      }
    }
  }

  /// The number of the file and the line of an address.
  func lookUp(_ address: UInt64) -> (file: UInt32, line: UInt32)? {
    var (low, high) = (0, sequences.count)
    while low < high {
      let middle = (low &+ high) / 2
      if sequences[middle].low <= address { low = middle &+ 1 } else { high = middle }
    }
    guard low > 0, address < sequences[low - 1].high else { return nil }
    let sequence = sequences[low - 1]
    (low, high) = (Int(sequence.first), Int(sequence.first) + Int(sequence.count))
    let first = low
    while low < high {
      let middle = (low &+ high) / 2
      if rows[middle].address <= address { low = middle &+ 1 } else { high = middle }
    }
    guard low > first else { return nil }
    return (rows[low - 1].file, rows[low - 1].line)
  }
}

extension ArraySlice {
  fileprivate func isAscending(_ value: (Element) -> UInt64) -> Bool {
    guard var before = first.map(value) else { return true }
    for element in self {
      let next = value(element)
      if next < before { return false }
      before = next
    }
    return true
  }
}
