internal import CUnwind

/// The records of an `.eh_frame` or `.debug_frame` section (LSB Core 5.0, 10.6; DWARF 5, 6.4).
///
/// They are a stranger's. Records follow each other without overlapping, so the work is bounded by the section's size.
struct CallFrames {
  /// What the functions of one compilation have in common (CIE).
  struct Common {
    var codeAlignment: UInt64 = 1
    var dataAlignment: Int64 = 1
    /// DW_EH_PE of addresses.
    var encoding: UInt8 = 0
    var hasAugmentation = false
    var isSignalFrame = false
    /// What holds at the beginning of each function.
    var state = FrameState()
  }

  /// A function's instructions (FDE).
  struct Function: Placed {
    var start: UInt64
    var end: UInt64
    var instructions: UInt32
    var instructionsEnd: UInt32
    var common: UInt32

    func comesBefore(_ other: Self) -> Bool { end < other.end }
  }

  /// Honest ones have tens of bytes. Each function may name another place in the same bytes.
  private static let maximumCommonLength = 1024
  /// Honest ones have thousands.
  private static let maximumInstructions = FilePart.copyLimit
  /// What stands before the instructions of a function.
  private static let headLength = 64

  private let part: FilePart
  var section: Bytes { part.bytes }
  private let address: UInt64
  private let isDebugFrame: Bool
  private(set) var commons: [Common] = []
  /// Sorted by start.
  private(set) var functions: [Function] = []
  private var commonAt: [UInt64: UInt32?] = [:]
  private var lastCommon: (offset: UInt64, index: UInt32)?

  /// - Parameters:
  ///   - address: of the section, which addresses in it are relative to.
  ///   - isDebugFrame: whether it is `.debug_frame`.
  init(_ section: FilePart, address: UInt64, isDebugFrame: Bool) {
    part = section
    self.address = address
    self.isDebugFrame = isDebugFrame
    // Few have less than this.
    functions.reserveCapacity(section.bytes.count / 32)
    var position: UInt64 = 0
    while position &+ 4 <= UInt64(section.bytes.count), let next = readRecord(at: position) { position = next }
    functions.sortByStart()
    discard()
  }

  /// Gives up the pages of many records, which are read again as they are needed.
  func discard() { if section.count > Bytes.keptSize { part.discard() } }

  /// Sees to it that the expressions of a state can be looked at, beside the instructions that it comes from.
  func loadExpressions(of state: FrameState) {
    func load(_ position: Int, _ count: UInt8) {
      guard count > 0, 0..<section.count ~= position else { return }
      part.load(position..<position + Int(count), keepingOthers: true)
    }
    load(Int(state.cfaOffset), state.cfaExpressionCount)
    if state.rbp.kind == .expression { load(Int(state.rbp.position), state.rbp.count) }
  }

  /// Lets a machine run a function's instructions, from its beginning.
  @inline(__always)
  func start(_ machine: inout FrameMachine, _ function: Function) {
    part.load(Int(function.instructions)..<Int(function.instructionsEnd))
    machine.start(
      section.cursor(at: UInt64(function.instructions), end: Int(function.instructionsEnd)), commons[Int(function.common)])
  }

  /// Takes in one record; nil where it does not lie within the section.
  private mutating func readRecord(at position: UInt64) -> UInt64? {
    part.load(Int(position)..<Int(position) + Self.headLength)
    var cursor = section.cursor(at: position)
    guard let (end, offsetSize) = length(&cursor) else { return nil }
    // A zero ends what the linker took from one file, not the section.
    guard end > cursor.position else { return UInt64(cursor.position) }
    let field = UInt64(cursor.position)
    let identifier = cursor.unsigned(offsetSize)
    guard !isCommon(identifier, offsetSize) else { return UInt64(end) }
    let (start, overflows) = isDebugFrame ? (identifier, false) : field.subtractingReportingOverflow(identifier)
    if !overflows, let index = common(at: start) { readFunction(&cursor, end, index) }
    return UInt64(end)
  }

  /// The record's end, and the size of its offsets; the cursor stands behind the length.
  private func length(_ cursor: inout Cursor) -> (end: Int, offsetSize: Int)? {
    var length = UInt64(cursor.u32())
    var offsetSize = 4
    if length == 0xffff_ffff {
      length = cursor.u64()
      offsetSize = isDebugFrame ? 8 : 4
    }
    guard !cursor.hasFailed, length <= UInt64(section.count - cursor.position) else { return nil }
    return (cursor.position + Int(length), offsetSize)
  }

  private func isCommon(_ identifier: UInt64, _ offsetSize: Int) -> Bool {
    isDebugFrame ? identifier == (offsetSize == 8 ? .max : 0xffff_ffff) : identifier == 0
  }

  private mutating func readFunction(_ cursor: inout Cursor, _ end: Int, _ index: UInt32) {
    let (encoding, hasAugmentation) = (commons[Int(index)].encoding, commons[Int(index)].hasAugmentation)
    guard let start = pointer(&cursor, encoding), let length = pointer(&cursor, encoding & 0x0f) else { return }
    if hasAugmentation {
      let size = cursor.uleb()
      cursor.skip(size)
    }
    // Functions that the linker left out have address 0.
    let (last, overflows) = start.addingReportingOverflow(length)
    guard !cursor.hasFailed, cursor.position <= end, start > 0, length > 0, !overflows, end - cursor.position <= Self.maximumInstructions
    else { return }
    functions.append(
      Function(
        start: start, end: last, instructions: UInt32(truncatingIfNeeded: cursor.position),
        instructionsEnd: UInt32(truncatingIfNeeded: end),
        common: index))
  }

  /// The CIE at an offset, read once; nil where there is none that can be used.
  private mutating func common(at offset: UInt64) -> UInt32? {
    if let lastCommon, lastCommon.offset == offset { return lastCommon.index }
    let index: UInt32?
    if let known = commonAt[offset] {
      index = known
    } else {
      let found = readCommon(at: offset)
      if let found { commons.append(found) }
      index = found.map { _ in UInt32(commons.count - 1) }
      commonAt[offset] = .some(index)
    }
    if let index { lastCommon = (offset, index) }
    return index
  }

  private func readCommon(at offset: UInt64) -> Common? {
    guard offset < UInt64(section.count) else { return nil }
    part.load(Int(offset)..<Int(offset) + Self.maximumCommonLength, keepingOthers: true)
    var cursor = section.cursor(at: offset)
    guard let (end, offsetSize) = length(&cursor), isCommon(cursor.unsigned(offsetSize), offsetSize),
      end - Int(offset) <= Self.maximumCommonLength
    else { return nil }
    var common = Common()
    let version = cursor.u8()
    guard [1, 3, 4].contains(version) else { return nil }
    var augmentation: [UInt8] = []
    while augmentation.count < 16, case let letter = cursor.u8(), letter != 0 { augmentation.append(letter) }
    // The sizes of addresses and of segment selectors.
    if version == 4, cursor.u16() != 8 { return nil }
    common.codeAlignment = cursor.uleb()
    common.dataAlignment = cursor.sleb()
    let returnColumn = version == 1 ? UInt64(cursor.u8()) : cursor.uleb()
    guard returnColumn == FrameState.returnAddressColumn else { return nil }
    var rest = augmentation[...]
    if rest.first == UInt8(ascii: "z") {
      rest.removeFirst()
      common.hasAugmentation = true
      let size = cursor.uleb()
      let data = cursor.position
      for letter in rest {
        switch letter {
        case UInt8(ascii: "R"): common.encoding = cursor.u8()
        case UInt8(ascii: "P"):
          let encoding = cursor.u8()
          guard pointer(&cursor, encoding) != nil else { return nil }
        case UInt8(ascii: "L"): _ = cursor.u8()
        case UInt8(ascii: "S"): common.isSignalFrame = true
        default: break
        }
      }
      guard size <= UInt64(max(end - data, 0)) else { return nil }
      cursor = section.cursor(at: UInt64(data) + size, end: end)
    } else if !rest.isEmpty {
      return nil
    }
    guard !cursor.hasFailed, cursor.position <= end else { return nil }
    var machine = FrameMachine()
    machine.start(section.cursor(at: UInt64(cursor.position), end: end), common)
    _ = machine.next()
    common.state = machine.state
    return common
  }

  /// Reads an address in the form that `encoding` says (LSB Core 5.0, 10.5.1); nil for forms that are not used here.
  @inline(__always)
  func pointer(_ cursor: inout Cursor, _ encoding: UInt8) -> UInt64? {
    let place = address &+ UInt64(cursor.position)
    let value: UInt64
    // What nearly all files have, for both.
    if encoding & 0x6f == 0x0b {
      value = UInt64(bitPattern: Int64(Int32(bitPattern: cursor.u32())))
      return cursor.hasFailed ? nil : encoding & 0x10 == 0 || value == 0 ? value : place &+ value
    }
    switch encoding & 0x0f {
    case 0x00, 0x04, 0x0c: value = cursor.u64()
    case 0x01: value = cursor.uleb()
    case 0x02: value = UInt64(cursor.u16())
    case 0x03: value = UInt64(cursor.u32())
    case 0x09: value = UInt64(bitPattern: cursor.sleb())
    case 0x0a: value = UInt64(bitPattern: Int64(Int16(bitPattern: cursor.u16())))
    case 0x0b: value = UInt64(bitPattern: Int64(Int32(bitPattern: cursor.u32())))
    default: return nil
    }
    switch encoding & 0x70 {
    case 0x00: return cursor.hasFailed ? nil : value
    // Relative to its own place. The value 0 stands for no address.
    case 0x10: return cursor.hasFailed ? nil : value == 0 ? 0 : place &+ value
    default: return nil
    }
  }
}
