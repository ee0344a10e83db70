internal import CUnwind

/// Follows the stack pointer through the instructions of one function, from the first to the last, to find rules where the compiler
/// wrote none.
///
/// Right for what swiftc makes of Swift, but for one of thousands of bytes; wrong too often for C and C++, whose functions save
/// registers on some of their paths only.
struct FrameTracker {
  /// A rule's beginning, from that of the function.
  struct Row {
    var offset: Int
    var rule: UnwindRule
  }

  /// Four numbers, because one is compared at each instruction.
  private struct State: Equatable {
    private var numbers = SIMD4<Int32>(8, unknown, 0, 0)

    /// Stands for nil: no distance is as long.
    private static let unknown = Int32.min

    /// From the stack pointer up to the CFA; nil where the function moved it by amounts that it computed.
    var depth: Int32? {
      get { numbers.x == Self.unknown ? nil : numbers.x }
      set { numbers.x = newValue ?? Self.unknown }
    }
    /// From rbp up to the CFA, once it is the frame pointer.
    var frame: Int32? {
      get { numbers.y == Self.unknown ? nil : numbers.y }
      set { numbers.y = newValue ?? Self.unknown }
    }
    /// Below the CFA, where the caller's registers are; 0 for still in place.
    var rbp: Int32 {
      get { numbers.z }
      set { numbers.z = newValue }
    }
    var r14: Int32 {
      get { numbers.w }
      set { numbers.w = newValue }
    }

    /// How much of the stack is in use; a frame pointer is set up when all of it is.
    var rank: Int32 { frame != nil ? .max : depth ?? 0 }

    /// Nil without any way to the CFA.
    var rule: UnwindRule? {
      var rule: UnwindRule
      if let frame {
        rule = UnwindRule(SWTRACE_CFA_RBP, offset: frame)
      } else if let depth {
        rule = UnwindRule(SWTRACE_CFA_RSP, offset: depth)
      } else {
        return nil
      }
      guard let rbp = Int16(exactly: -rbp), let r14 = Int16(exactly: -r14) else { return nil }
      if rbp != 0 { (rule.rbp, rule.rbp_offset) = (UInt8(SWTRACE_RBP_AT_CFA.rawValue), rbp) }
      rule.r14_offset = r14
      rule.flags = UInt8(SWTRACE_RULE_GUESSED.rawValue)
      return rule
    }
  }

  private var state = State()
  private var deepest = State()
  /// What jumps forward bring along. Few are open at once.
  private var targets: [(offset: Int, state: State)] = []

  private static let maximumTargets = 64
  /// No function that somebody wrote has so many.
  private static let maximumRows = 1 << 16
  private static let maximumDepth: Int32 = 1 << 20
  /// Far beyond any depth, but without overflows.
  fileprivate static let maximumDistance: Int32 = 1 << 28

  /// Of the last function that was followed.
  private(set) var rows: [Row] = []

  /// Finds the rows of a function; false where an instruction is not known, or the stack pointer goes where none should be.
  mutating func follow(_ code: Bytes) -> Bool {
    state = State()
    deepest = State()
    targets.removeAll(keepingCapacity: true)
    rows.removeAll(keepingCapacity: true)
    var cursor = code.cursor()
    var instruction = Instruction()
    var last: State?
    var mayDiffer = true
    /// Whether only a jump can lead here, and what it brings along is not known.
    var isAssumed = false
    while !cursor.isAtEnd {
      if isAssumed, let known = targets.first(where: { $0.offset == cursor.position })?.state {
        state = known
        isAssumed = false
        mayDiffer = true
      }
      if mayDiffer, last != state {
        guard let rule = state.rule, rows.count < Self.maximumRows else { return false }
        rows.append(Row(offset: cursor.position, rule: rule))
        last = state
      }
      guard instruction.read(&cursor, margin: code.margin) else { return false }
      mayDiffer = instruction.concernsStack
      guard mayDiffer else { continue }
      switch follow(instruction, to: cursor.position, of: code.count) {
      case .next: break
      case .elsewhere:
        state = deepest
        isAssumed = true
      case .lost: return false
      case .leaving:
        // The rest of the arguments goes, and the return address has been put where the stack pointer is.
        state = State()
        rows.append(Row(offset: cursor.position, rule: State().rule ?? .gap))
        guard instruction.read(&cursor, margin: code.margin), follow(instruction, to: cursor.position, of: code.count) == .elsewhere else {
          return false
        }
        state = deepest
        isAssumed = true
        last = nil
      }
      if state.rank > deepest.rank { deepest = state }
    }
    return true
  }

  private enum Continuation { case next, elsewhere, lost, leaving }

  private mutating func follow(_ instruction: Instruction, to next: Int, of count: Int) -> Continuation {
    let (opcode, wide) = (instruction.opcode, instruction.isWide)
    switch opcode {
    case 0x50...0x57: push(UInt8(opcode & 7) | (instruction.rex & 1) << 3)
    case 0x58...0x5f: return pop(UInt8(opcode & 7) | (instruction.rex & 1) << 3)
    case 0x68, 0x6a, 0x9c: move(8)
    case 0x8f, 0x9d: return move(-8)
    case 0xff:
      switch instruction.operation {
      case 6: return move(8)
      case 4, 5: return .elsewhere
      default: return .next
      }
    case 0x81, 0x83:
      guard wide, instruction.isRegisterForm, instruction.otherRegister == Instruction.rsp else { return .next }
      guard instruction.immediate > -Self.maximumDepth, instruction.immediate < Self.maximumDepth else { return .lost }
      switch instruction.operation {
      // A tail call to a function with fewer arguments: Swift's functions remove theirs.
      case 0: return state.depth ?? 8 < 8 + instruction.immediate && state.frame == nil ? .leaving : move(-instruction.immediate)
      case 5: return move(instruction.immediate)
      case 7: return .next
      default: return loseDepth()
      }
    case 0x8d where wide: return loadAddress(instruction)
    case 0x89 where wide && instruction.isRegisterForm: return copy(instruction.register, to: instruction.otherRegister)
    case 0x8b where wide && instruction.isRegisterForm: return copy(instruction.otherRegister, to: instruction.register)
    case 0x8b where wide && instruction.register == Instruction.rsp: return loseDepth()
    case 0x29, 0x2b, 0x01, 0x03:
      let target = opcode & 2 == 0 ? (instruction.isRegisterForm ? instruction.otherRegister : nil) : instruction.register
      return wide && target == Instruction.rsp ? loseDepth() : .next
    case 0xc9: return popFrame()
    case 0xc2, 0xc3, 0xe9, 0xeb, 0x0f0b, 0xcc, 0xf4:
      if opcode == 0xe9 || opcode == 0xeb { remember(next, instruction.immediate, count) }
      return .elsewhere
    case 0x70...0x7f, 0x0f80...0x0f8f: remember(next, instruction.immediate, count)
    default: break
    }
    return .next
  }

  private mutating func remember(_ next: Int, _ distance: Int32, _ count: Int) {
    let target = next + Int(distance)
    guard distance >= 0, target < count else { return }
    if targets.count == Self.maximumTargets { targets.removeAll { $0.offset < next } }
    if targets.count < Self.maximumTargets { targets.append((target, state)) }
  }

  @discardableResult
  private mutating func move(_ distance: Int32) -> Continuation {
    guard let old = state.depth else { return .next }
    let depth = old + distance
    if state.frame == nil, depth < 8 || depth > Self.maximumDepth { return .lost }
    guard abs(depth) <= Self.maximumDistance else { return loseDepth() }
    state.depth = depth
    // What lies below the stack pointer is gone; the registers have been read before.
    if state.rbp > depth, state.frame == nil { state.rbp = 0 }
    if state.r14 > depth { state.r14 = 0 }
    return .next
  }

  private mutating func push(_ register: UInt8) {
    move(8)
    guard let depth = state.depth else { return }
    if register == Instruction.rbp, state.rbp == 0 { state.rbp = depth }
    if register == Instruction.r14, state.r14 == 0 { state.r14 = depth }
  }

  private mutating func pop(_ register: UInt8) -> Continuation {
    if register == Instruction.rbp, state.frame != nil { return popFrame() }
    if register == Instruction.rsp { return loseDepth() }
    if register == Instruction.r14 { state.r14 = 0 }
    return move(-8)
  }

  /// The frame pointer shows where the caller's rbp is, and nothing but the return address is above that, as a rule.
  private mutating func popFrame() -> Continuation {
    guard let frame = state.frame else { return .lost }
    state = State()
    state.depth = frame - 8
    return .next
  }

  private mutating func loadAddress(_ instruction: Instruction) -> Continuation {
    let isFromStack = instruction.isAtStackPointer
    if instruction.register == Instruction.rsp {
      if isFromStack { return move(-instruction.displacement.clampedToDepth) }
      let isFromFrame = !instruction.isRegisterForm && instruction.modRM & 7 == 5 && instruction.modRM >> 6 != 0 && instruction.rex & 1 == 0
      guard isFromFrame, let frame = state.frame else { return loseDepth() }
      state.depth = frame - instruction.displacement.clampedToDepth
    } else if instruction.register == Instruction.rbp, isFromStack, let depth = state.depth, state.rbp > 0 {
      // As in the beginning of async functions: where the caller's rbp is. Elsewhere rbp is any pointer.
      if depth - instruction.displacement.clampedToDepth == state.rbp { state.frame = state.rbp }
    }
    return .next
  }

  private mutating func copy(_ source: UInt8, to target: UInt8) -> Continuation {
    if source == Instruction.rsp, target == Instruction.rbp {
      // Saved just before; else it is no frame pointer.
      if let depth = state.depth, state.rbp == depth { state.frame = depth }
    } else if target == Instruction.rsp {
      guard source == Instruction.rbp, let frame = state.frame else { return loseDepth() }
      state.depth = frame
    }
    return .next
  }

  /// The stack pointer is computed: only a frame pointer leads to the CFA then.
  private mutating func loseDepth() -> Continuation {
    state.depth = nil
    return state.frame == nil ? .lost : .next
  }
}

extension Int32 {
  fileprivate var clampedToDepth: Int32 { Swift.max(-FrameTracker.maximumDistance, Swift.min(self, FrameTracker.maximumDistance)) }
}
