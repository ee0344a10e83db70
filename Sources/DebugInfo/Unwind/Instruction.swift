/// One x86-64 instruction: how long it is, and the parts of it that say what it does to the stack (Intel SDM, volume 2, 2.1 and A.3).
struct Instruction: Equatable {
  /// The bytes after `0F` in the second byte, `0F 38` and `0F 3A` in the third; above `vector` for those of VEX and EVEX.
  private(set) var opcode: UInt32 = 0
  /// REX, ModRM and SIB: parts of one number, because instructions of many small members are put together and taken apart at each call.
  private var bytes: UInt32 = 0
  /// Of the operand in memory.
  private(set) var displacement: Int32 = 0
  /// With its sign; the low half where it has 8 bytes.
  private(set) var immediate: Int32 = 0

  private(set) var rex: UInt8 {
    get { UInt8(truncatingIfNeeded: bytes) }
    set { bytes = bytes & ~0xff | UInt32(newValue) }
  }
  private(set) var modRM: UInt8 {
    get { UInt8(truncatingIfNeeded: bytes >> 8) }
    set { bytes = bytes & ~0xff00 | UInt32(newValue) << 8 }
  }
  private(set) var sib: UInt8 {
    get { UInt8(truncatingIfNeeded: bytes >> 16) }
    set { bytes = bytes & ~0xff_0000 | UInt32(newValue) << 16 }
  }

  private static let vector: UInt32 = 1 << 24
  private static let maximumLength = 15
  /// As many prefixes, an opcode of 3 bytes, ModRM, SIB, a displacement and an immediate.
  private static let maximumRead = maximumLength + 3 + 2 + 4 + 8

  /// What follows an opcode, a letter for each:
  /// `-` nothing, `m` ModRM, `b` 1 byte, `w` 2 bytes, `z` 4 bytes or 2 with the prefix 66, `v` the same or 8 with REX.W, `j` 4 bytes,
  /// `B` ModRM and 1 byte, `Z` ModRM and `z`, `a` an address, `E` 3 bytes, `6` and `7` ModRM and `b` or `z` for TEST only,
  /// `p` it is a prefix, `*` it leads to another map, `x` it is none.
  private static let oneByte = OpcodeMap(
    """
    mmmmbzxxmmmmbzx*\
    mmmmbzxxmmmmbzxx\
    mmmmbzpxmmmmbzpx\
    mmmmbzpxmmmmbzpx\
    pppppppppppppppp\
    ----------------\
    xx*mppppzZbB----\
    bbbbbbbbbbbbbbbb\
    BZxBmmmmmmmmmmmm\
    ----------x-----\
    aaaa----bz------\
    bbbbbbbbvvvvvvvv\
    BBw-**BZE-w--bx-\
    mmmmxxx-mmmmmmmm\
    bbbbbbbbjjxb----\
    p-pp--67------mm
    """)
  private static let twoBytes = OpcodeMap(
    """
    mmmmx-----x-xm-B\
    mmmmmmmmmmmmmmmm\
    mmmmxxxxmmmmmmmm\
    ------x-*x*xxxxx\
    mmmmmmmmmmmmmmmm\
    mmmmmmmmmmmmmmmm\
    mmmmmmmmmmmmmmmm\
    BBBBmmm-mmxxmmmm\
    jjjjjjjjjjjjjjjj\
    mmmmmmmmmmmmmmmm\
    ---mBmxx---mBmmm\
    mmmmmmmmmmBmmmmm\
    mmBmBBBm--------\
    mmmmmmmmmmmmmmmm\
    mmmmmmmmmmmmmmmm\
    mmmmmmmmmmmmmmmm
    """)

  /// Of the opcodes of the first map that need no closer look: a digit for the bytes of the immediate, or a letter where ModRM comes
  /// before it, `@` for none, `A` for 1, `D` for 4; `-` for all others.
  private static let shapes = OpcodeMap(
    """
    @@@@14--@@@@14--\
    @@@@14--@@@@14--\
    @@@@14--@@@@14--\
    @@@@14--@@@@14--\
    ----------------\
    0000000000000000\
    ---@----4D1A----\
    1111111111111111\
    AD-A@@@@@@@@@@@-\
    0000000000-0000-\
    --------14------\
    11111111--------\
    AA-0--AD-0-00---\
    @@@@----@@@@@@@@\
    1111----44-1----\
    ----00--------@@
    """)
  /// A letter for each of 256 bytes, in the program's own constants: an array would be looked for at each use.
  private struct OpcodeMap {
    private let letters: StaticString

    init(_ letters: StaticString) {
      precondition(letters.utf8CodeUnitCount == 256)
      self.letters = letters
    }

    subscript(byte: UInt8) -> UInt8 { unsafe letters.utf8Start[Int(byte)] }
  }

  init() {}

  /// Reads the instruction that begins there; nil where there is none that is known.
  init?(_ cursor: inout Cursor) { guard read(&cursor, margin: 0) else { return nil } }

  /// Reads the instruction that begins there in place of this one; false where there is none that is known.
  ///
  /// - Parameter margin: how many bytes behind the cursor's end can be read, which makes it faster.
  mutating func read(_ cursor: inout Cursor, margin: Int) -> Bool {
    self = Instruction()
    if let isKnown = cursor.withUncheckedReader(Self.maximumRead, margin: margin, { decodeCommon(&$0) || decode(&$0) }) {
      return isKnown && !cursor.hasFailed
    }
    return decode(&cursor)
  }

  /// Reads an instruction without prefixes but REX whose parts are as large as its opcode says; false, and nothing read, for any other.
  ///
  /// Most are such, and their parts cannot be predicted: it branches little.
  @inline(__always)
  private mutating func decodeCommon(_ reader: inout UncheckedReader) -> Bool {
    let start = reader.position
    var byte = reader.u8()
    var rex: UInt8 = 0
    if byte & 0xf0 == 0x40 { (rex, byte) = (byte, reader.u8()) }
    var opcode = UInt32(byte)
    var shape = Self.shapes[byte]
    if byte == 0x0f {
      let second = reader.u8()
      opcode = 0x0f00 | UInt32(second)
      switch Self.twoBytes[second] {
      case UInt8(ascii: "m"): shape = UInt8(ascii: "@")
      case UInt8(ascii: "j"): shape = UInt8(ascii: "4")
      default: break
      }
    }
    guard shape != UInt8(ascii: "-") else {
      reader.rewind(to: start)
      return false
    }
    (self.opcode, self.rex) = (opcode, rex)
    // The bits of a digit or a letter from "@" on: bytes of the immediate, and whether there is ModRM.
    if shape & 0x40 != 0 {
      modRM = reader.u8()
      let (mode, base) = (modRM >> 6, modRM & 7)
      if mode != 3 {
        if base == 4 { sib = reader.u8() }
        let isWide = mode == 2 || mode == 0 && (base == 5 || base == 4 && sib & 7 == 5)
        displacement = reader.signed(isWide ? 4 : mode == 1 ? 1 : 0)
      }
    }
    immediate = reader.signed(Int(shape & 7))
    return true
  }

  @inline(__always)
  private mutating func decode(_ cursor: inout some NumberReader) -> Bool {
    let start = cursor.position
    var hasOperandSize = false
    var hasAddressSize = false
    var byte = cursor.u8()
    // REX is one only right before the opcode.
    while Self.oneByte[byte] == UInt8(ascii: "p") {
      rex = byte & 0xf0 == 0x40 ? byte : 0
      if byte == 0x66 { hasOperandSize = true }
      if byte == 0x67 { hasAddressSize = true }
      byte = cursor.u8()
      guard !cursor.hasFailed, cursor.position - start < Self.maximumLength else { return false }
    }
    opcode = UInt32(byte)
    var operands = Self.oneByte[byte]
    if operands == UInt8(ascii: "*") {
      guard let found = byte == 0x0f ? readEscaped(&cursor) : readVector(&cursor, byte) else { return false }
      operands = found
    }
    let size = hasOperandSize ? 2 : 4
    switch operands {
    case UInt8(ascii: "-"): break
    case UInt8(ascii: "m"): readModRM(&cursor)
    case UInt8(ascii: "b"): readImmediate(&cursor, 1)
    case UInt8(ascii: "w"): readImmediate(&cursor, 2)
    case UInt8(ascii: "j"): readImmediate(&cursor, 4)
    case UInt8(ascii: "z"): readImmediate(&cursor, size)
    case UInt8(ascii: "v"): readImmediate(&cursor, rex & 8 != 0 ? 8 : size)
    case UInt8(ascii: "a"): cursor.skip(hasAddressSize ? 4 : 8)
    case UInt8(ascii: "E"): cursor.skip(3)
    case UInt8(ascii: "B"), UInt8(ascii: "Z"):
      readModRM(&cursor)
      readImmediate(&cursor, operands == UInt8(ascii: "B") ? 1 : size)
    case UInt8(ascii: "6"), UInt8(ascii: "7"):
      readModRM(&cursor)
      if operation < 2 { readImmediate(&cursor, operands == UInt8(ascii: "6") ? 1 : size) }
    default: return false
    }
    // 8F is POP, or leads to a map of old AMD processors.
    guard !cursor.hasFailed, cursor.position - start <= Self.maximumLength, opcode != 0x8f || operation == 0 else { return false }
    return true
  }

  private mutating func readEscaped(_ cursor: inout some NumberReader) -> UInt8? {
    let second = cursor.u8()
    opcode = 0x0f00 | UInt32(second)
    guard second == 0x38 || second == 0x3a else { return Self.twoBytes[second] }
    opcode = opcode << 8 | UInt32(cursor.u8())
    return UInt8(ascii: second == 0x38 ? "m" : "B")
  }

  /// VEX of 2 and 3 bytes, and EVEX (2.3 and 2.7).
  private mutating func readVector(_ cursor: inout some NumberReader, _ first: UInt8) -> UInt8? {
    guard rex == 0 else { return nil }
    let map: UInt8
    switch first {
    case 0xc5:
      map = 1
      cursor.skip(1)
    case 0xc4:
      map = cursor.u8() & 0x1f
      cursor.skip(1)
    case 0x62:
      map = cursor.u8() & 7
      cursor.skip(2)
    default: return nil
    }
    let code = cursor.u8()
    opcode = Self.vector | UInt32(map) << 8 | UInt32(code)
    switch (map, code) {
    case (1, 0x77) where first != 0x62: return UInt8(ascii: "-")
    case (1, 0x70...0x73), (1, 0xc2), (1, 0xc4...0xc6), (3, _): return UInt8(ascii: "B")
    case (1, _), (2, _), (5, _), (6, _): return UInt8(ascii: "m")
    default: return nil
    }
  }

  private mutating func readModRM(_ cursor: inout some NumberReader) {
    modRM = cursor.u8()
    let (mode, base) = (modRM >> 6, modRM & 7)
    guard mode != 3 else { return }
    if base == 4 { sib = cursor.u8() }
    switch mode {
    case 1: displacement = Int32(Int8(bitPattern: cursor.u8()))
    case 2: displacement = Int32(bitPattern: cursor.u32())
    default: if base == 5 || base == 4 && sib & 7 == 5 { displacement = Int32(bitPattern: cursor.u32()) }
    }
  }

  private mutating func readImmediate(_ cursor: inout some NumberReader, _ size: Int) {
    switch size {
    case 1: immediate = Int32(Int8(bitPattern: cursor.u8()))
    case 2: immediate = Int32(Int16(bitPattern: cursor.u16()))
    case 4: immediate = Int32(bitPattern: cursor.u32())
    default: immediate = Int32(truncatingIfNeeded: Int64(bitPattern: cursor.u64()))
    }
  }

  /// Which of a group of eight.
  var operation: UInt8 { modRM >> 3 & 7 }
  var isRegisterForm: Bool { modRM >> 6 == 3 }
  var isWide: Bool { rex & 8 != 0 }
  /// The registers' numbers in instructions, which are not DWARF's.
  var register: UInt8 { modRM >> 3 & 7 | (rex & 4) << 1 }
  var otherRegister: UInt8 { modRM & 7 | (rex & 1) << 3 }
  /// Whether its operand in memory is `displacement(%rsp)`.
  var isAtStackPointer: Bool { !isRegisterForm && modRM & 7 == 4 && sib & 0x3f == 0x24 && rex & 3 == 0 }

  /// The register that an instruction for integers gives another value; nil where it is none, or not known.
  var destination: UInt8? {
    switch opcode {
    case 0x8b, 0x8a, 0x8d, 0x63, 0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33, 0x69, 0x6b, 0x0f40...0x0f4f, 0x0faf, 0x0fb6, 0x0fb7,
      0x0fbc...0x0fbf:
      register
    case 0x89, 0x88, 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0xc7, 0xc1, 0xd1, 0xd3: isRegisterForm ? otherRegister : nil
    // All but CMP; NOT and NEG; INC and DEC.
    case 0x81, 0x83: isRegisterForm && operation != 7 ? otherRegister : nil
    case 0xf7: isRegisterForm && (operation == 2 || operation == 3) ? otherRegister : nil
    case 0xff: isRegisterForm && operation < 2 ? otherRegister : nil
    case 0x58...0x5f, 0xb8...0xbf: UInt8(opcode & 7) | (rex & 1) << 3
    default: nil
    }
  }
  /// How far behind its end a direct jump leads, not a call.
  var jump: Int32? {
    switch opcode {
    case 0x70...0x7f, 0x0f80...0x0f8f, 0xe9, 0xeb: immediate
    default: nil
    }
  }
  /// Whether what stands behind it does not run after it: jumps, returns, traps.
  var isEndOfWay: Bool {
    switch opcode {
    case 0xc2, 0xc3, 0xe9, 0xeb, 0x0f0b: true
    case 0xff: operation == 4
    default: false
    }
  }
  /// Whether it may change the stack pointer or the frame pointer, or is a jump or the end of a way; few do. Calls leave both alone.
  @inline(__always)
  var concernsStack: Bool {
    switch opcode {
    case 0x89, 0x8b, 0x8d, 0x01, 0x03, 0x29, 0x2b, 0x81, 0x83:
      isWide && (register & 6 == 4 || isRegisterForm && otherRegister & 6 == 4)
    case 0x50...0x5f, 0x68, 0x6a, 0x70...0x7f, 0x8f, 0x9c, 0x9d, 0xc2, 0xc3, 0xc9, 0xcc, 0xe9, 0xeb, 0xf4, 0xff, 0x0f0b, 0x0f80...0x0f8f:
      true
    default: false
    }
  }
  /// Whether its operand in memory is `displacement(%r14)`.
  var isAtR14: Bool { !isRegisterForm && modRM & 7 == 6 && rex & 3 == 1 }

  /// Whether its operand in memory is `displacement(%rbp)`.
  var isAtFramePointer: Bool { !isRegisterForm && modRM >> 6 != 0 && modRM & 7 == 5 && rex & 1 == 0 }

  static let rsp: UInt8 = 4
  static let rbp: UInt8 = 5
  static let r14: UInt8 = 14
}
