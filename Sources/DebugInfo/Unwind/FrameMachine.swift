internal import CUnwind

/// What holds at an instruction: where the CFA is, and of three registers where the caller's value is.
struct FrameState {
  /// DWARF's numbers of registers (System V ABI x86-64, 3.36).
  static let rbpColumn: UInt64 = 6
  static let rspColumn: UInt64 = 7
  static let r14Column: UInt64 = 14
  static let returnAddressColumn: UInt64 = 16

  /// Where a register of the caller is: one number, because millions are compared.
  struct Place: Equatable {
    enum Kind: UInt8 { case same, undefined, offset, expression, other }
    fileprivate let bits: UInt64

    init(kind: Kind = .same, count: UInt8 = 0, offset: Int32 = 0) {
      bits = UInt64(kind.rawValue) | UInt64(count) << 8 | UInt64(UInt32(bitPattern: offset)) << 32
    }

    var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: bits)) ?? .other }
    /// Bytes of an expression; no honest one has more than this can say.
    var count: UInt8 { UInt8(truncatingIfNeeded: bits >> 8) }
    /// From the CFA.
    var offset: Int32 { Int32(truncatingIfNeeded: bits >> 32) }

    /// Of an expression, where it begins in the section.
    var position: UInt64 { UInt64(UInt32(bitPattern: offset)) }
  }

  /// None at first, and where the number has no meaning.
  var cfaRegister: UInt8 = .max
  /// 0 for no expression.
  var cfaExpressionCount: UInt8 = 0
  /// Of an expression, where it begins in the section.
  var cfaOffset: Int64 = 0
  var rbp = Place()
  var r14 = Place()
  var returnAddress = Place()

  /// All of it, in bits that a place leaves free, as four numbers that are compared sooner than members.
  var words: (UInt64, UInt64, UInt64, UInt64) {
    let cfa = UInt64(cfaRegister) << 16 | UInt64(cfaExpressionCount) << 24
    return (UInt64(bitPattern: cfaOffset), rbp.bits, r14.bits, returnAddress.bits | cfa)
  }

  /// Whether it means something only beside the section that it was read from.
  var hasExpressions: Bool {
    cfaExpressionCount > 0 || rbp.kind == .expression || r14.kind == .expression || returnAddress.kind == .expression
  }
}

/// Runs call frame instructions (DWARF 5, 6.4.2).
struct FrameMachine {
  /// What `next` stopped at.
  enum Stop: Equatable {
    /// The state holds for so many bytes of code.
    case advance(UInt64)
    /// The state holds for the rest.
    case end
    /// What follows is not understood, and the state does not hold.
    case failure
  }

  private var cursor = Bytes().cursor()
  private var codeAlignment: UInt64 = 1
  private var dataAlignment: Int64 = 1
  /// What is restored.
  private var initial = FrameState()
  private(set) var state = FrameState()
  /// Whether `next` did anything to the state.
  private(set) var hasChanged = false
  private var saved: [FrameState] = []

  /// Compilers use two levels.
  private static let maximumSaved = 16

  /// Begins anew: there are tens of thousands of functions, and one machine for them.
  ///
  /// - Parameter cursor: the instructions.
  mutating func start(_ cursor: Cursor, _ common: borrowing CallFrames.Common) {
    self.cursor = cursor
    codeAlignment = common.codeAlignment
    dataAlignment = common.dataAlignment
    initial = common.state
    state = common.state
    saved.removeAll(keepingCapacity: true)
  }

  /// Runs instructions as far as they are about one place in the code.
  ///
  /// DW_CFA_set_loc is not among those that are understood: no compiler writes it.
  mutating func next() -> Stop {
    let data = dataAlignment
    hasChanged = false
    while !cursor.isAtEnd {
      let code = cursor.u8()
      let low = UInt64(code & 0x3f)
      switch code {
      case 0x00, 0x2d: break
      case 0x40...0x7f: return .advance(low &* codeAlignment)
      case 0x80...0xbf: set(low, Int64(bitPattern: cursor.uleb()) &* data)
      case 0xc0...0xff: restore(low)
      case 0x02...0x04:
        let distance = cursor.unsigned(1 << Int(code - 2))
        return cursor.hasFailed ? .failure : .advance(distance &* codeAlignment)
      case 0x05:
        let column = cursor.uleb()
        set(column, Int64(bitPattern: cursor.uleb()) &* data)
      case 0x06: restore(cursor.uleb())
      case 0x07: set(cursor.uleb(), FrameState.Place(kind: .undefined))
      case 0x08: set(cursor.uleb(), FrameState.Place(kind: .same))
      case 0x09:
        set(cursor.uleb(), FrameState.Place(kind: .other))
        _ = cursor.uleb()
      case 0x0a:
        guard saved.count < Self.maximumSaved else { return .failure }
        saved.append(state)
      case 0x0b:
        guard let last = saved.popLast() else { return .failure }
        state = last
        hasChanged = true
      case 0x0c:
        let register = cursor.uleb()
        defineCFA(register, Int64(bitPattern: cursor.uleb()))
      case 0x0d: defineCFA(cursor.uleb(), state.cfaOffset)
      case 0x0e: defineOffset(Int64(bitPattern: cursor.uleb()))
      case 0x0f:
        let count = cursor.uleb()
        (state.cfaOffset, state.cfaExpressionCount) = (Int64(cursor.position), UInt8(clamping: count))
        hasChanged = true
        cursor.skip(count)
      case 0x10:
        let column = cursor.uleb()
        let count = cursor.uleb()
        let position = Int32(bitPattern: UInt32(truncatingIfNeeded: cursor.position))
        set(column, FrameState.Place(kind: .expression, count: UInt8(clamping: count), offset: position))
        cursor.skip(count)
      case 0x11:
        let column = cursor.uleb()
        set(column, cursor.sleb() &* data)
      case 0x12:
        let register = cursor.uleb()
        defineCFA(register, cursor.sleb() &* data)
      case 0x13: defineOffset(cursor.sleb() &* data)
      case 0x14:
        set(cursor.uleb(), FrameState.Place(kind: .other))
        _ = cursor.uleb()
      case 0x15:
        set(cursor.uleb(), FrameState.Place(kind: .other))
        _ = cursor.sleb()
      case 0x16:
        set(cursor.uleb(), FrameState.Place(kind: .other))
        let count = cursor.uleb()
        cursor.skip(count)
      case 0x2e: _ = cursor.uleb()
      case 0x2f:
        let column = cursor.uleb()
        set(column, 0 &- Int64(bitPattern: cursor.uleb()) &* data)
      default: return .failure
      }
      if cursor.hasFailed { return .failure }
    }
    return .end
  }

  private mutating func defineCFA(_ register: UInt64, _ offset: Int64) {
    (state.cfaRegister, state.cfaExpressionCount) = (UInt8(clamping: register), 0)
    defineOffset(offset)
  }

  private mutating func defineOffset(_ offset: Int64) {
    state.cfaOffset = offset
    hasChanged = true
  }

  /// In memory, so far from the CFA.
  private mutating func set(_ column: UInt64, _ offset: Int64) {
    set(column, Int32(exactly: offset).map { FrameState.Place(kind: .offset, offset: $0) } ?? FrameState.Place(kind: .other))
  }

  private mutating func set(_ column: UInt64, _ place: FrameState.Place) {
    switch column {
    case FrameState.rbpColumn: state.rbp = place
    case FrameState.r14Column: state.r14 = place
    case FrameState.returnAddressColumn: state.returnAddress = place
    default: return
    }
    hasChanged = true
  }

  private mutating func restore(_ column: UInt64) {
    switch column {
    case FrameState.rbpColumn: set(column, initial.rbp)
    case FrameState.r14Column: set(column, initial.r14)
    case FrameState.returnAddressColumn: set(column, initial.returnAddress)
    default: break
    }
  }
}

extension UnwindRule {
  /// What a state says.
  ///
  /// - Parameter section: where its expressions are.
  init(_ state: FrameState, isSignalFrame: Bool, in section: Bytes) {
    if isSignalFrame {
      self.init(SWTRACE_CFA_SIGNAL)
      return
    }
    switch state.returnAddress.kind {
    case .undefined:
      self = .stop
      return
    case .offset where state.returnAddress.offset == -8: break
    default:
      self = .unsupported
      return
    }
    self.init()
    if state.cfaExpressionCount > 0 {
      setCFA(section.slice(UInt64(state.cfaOffset), UInt64(state.cfaExpressionCount)))
    } else if let offset = Int32(exactly: state.cfaOffset), state.cfaRegister <= 16 {
      cfa_offset = offset
      switch UInt64(state.cfaRegister) {
      case FrameState.rspColumn: cfa = UInt8(SWTRACE_CFA_RSP.rawValue)
      case FrameState.rbpColumn: cfa = UInt8(SWTRACE_CFA_RBP.rawValue)
      default: (cfa, reg) = (UInt8(SWTRACE_CFA_REGISTER.rawValue), state.cfaRegister)
      }
    } else {
      cfa = UInt8(SWTRACE_CFA_UNSUPPORTED.rawValue)
    }
    guard kind != SWTRACE_CFA_UNSUPPORTED else {
      self = .unsupported
      return
    }
    setRBP(state.rbp, section)
    if state.r14.kind == .offset, let offset = Int16(exactly: state.r14.offset) { r14_offset = offset }
  }

  private mutating func setRBP(_ place: FrameState.Place, _ section: Bytes) {
    switch place.kind {
    case .same: break
    case .offset:
      if let offset = Int16(exactly: place.offset) {
        (rbp, rbp_offset) = (UInt8(SWTRACE_RBP_AT_CFA.rawValue), offset)
      } else {
        rbp = UInt8(SWTRACE_RBP_LOST.rawValue)
      }
    case .expression:
      // DW_OP_breg6: *(rbp + n), of functions that align their stack.
      var cursor = section.slice(place.position, UInt64(place.count)).cursor()
      if cursor.u8() == 0x76, case let value = cursor.sleb(), let offset = Int16(exactly: value), cursor.isAtEnd, !cursor.hasFailed {
        (rbp, rbp_offset) = (UInt8(SWTRACE_RBP_AT_RBP.rawValue), offset)
      } else {
        rbp = UInt8(SWTRACE_RBP_LOST.rawValue)
      }
    case .undefined, .other: rbp = UInt8(SWTRACE_RBP_LOST.rawValue)
    }
  }

  /// Recognizes the expressions that compilers, linkers and assembly use.
  private mutating func setCFA(_ expression: Bytes) {
    self = .unsupported
    var cursor = expression.cursor()
    let code = cursor.u8()
    let offset = cursor.sleb()
    guard code == 0x76 || code == 0x77, let offset = Int32(exactly: offset) else { return }
    let next = cursor.u8()
    if next == 0x06 {
      // DW_OP_breg6 or 7, DW_OP_deref, and perhaps DW_OP_plus_uconst.
      var add: UInt64 = 0
      if !cursor.isAtEnd {
        guard cursor.u8() == 0x23 else { return }
        add = cursor.uleb()
      }
      guard cursor.isAtEnd, !cursor.hasFailed, let add = Int32(exactly: add) else { return }
      self = UnwindRule(code == 0x76 ? SWTRACE_CFA_RBP_DEREF : SWTRACE_CFA_RSP_DEREF, offset: offset)
      self.add = add
    } else if code == 0x77, offset == 8, next == 0x80, expression.count == 11 {
      // The linkers' for the PLT: rsp + 8 + ((rip & 15) >= n) * 8.
      guard cursor.u8() == 0, cursor.u8() == 0x3f, cursor.u8() == 0x1a, case let literal = cursor.u8(), (0x30...0x3f).contains(literal),
        cursor.u8() == 0x2a, cursor.u8() == 0x33, cursor.u8() == 0x24, cursor.u8() == 0x22
      else { return }
      self = UnwindRule(SWTRACE_CFA_PLT, offset: Int32(literal) - 0x30)
    } else if code == 0x77, (0x70...0x7f).contains(next), next != 0x77 {
      // OpenSSL's multiplications keep it at the end of an array on the stack: *(rsp + n + register * 8) + m.
      guard cursor.u8() == 0, cursor.u8() == 0x38, cursor.u8() == 0x1e, cursor.u8() == 0x22, cursor.u8() == 0x06, cursor.u8() == 0x23,
        case let add = cursor.uleb(), cursor.isAtEnd, !cursor.hasFailed, let add = Int32(exactly: add)
      else { return }
      self = UnwindRule(SWTRACE_CFA_RSP_INDEXED, offset: offset)
      (reg, self.add) = (next - 0x70, add)
    }
  }
}
