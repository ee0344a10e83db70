internal import CUnwind

/// What the instructions of an async function say that its records do not.
private struct AsyncCode {
  /// Where the context can be found.
  struct Context: Equatable {
    var isInRegister = true
    var isSpilled = false

    /// What holds where two ways meet.
    func merged(_ other: Self) -> Self {
      Self(isInRegister: isInRegister && other.isInRegister, isSpilled: isSpilled && other.isSpilled)
    }
  }

  /// Where frames are complete, from the beginning of the function: behind `lea 8(%rsp), %rbp`.
  private(set) var frames: [Int] = []
  /// Behind each `pop %rbp`, up to the end of the jump or return that follows.
  private(set) var epilogues: [Range<Int>] = []
  /// Where the context, or an address in it, is put on the stack: behind which instruction, how far above the stack pointer, and how far
  /// into the context.
  private(set) var spill: (end: Int, displacement: Int32, inside: Int32)?
  /// From which place on the context is elsewhere than before.
  private(set) var contexts: [(offset: Int, context: Context)] = []

  /// `push %rbp; push %r14; lea 8(%rsp), %rbp`: what LLVM begins frames of async functions with, wherever in the function.
  fileprivate static let prologue: UInt64 = 0x0824_6c8d_4856_4155
  /// Contexts are spilled near the beginning.
  private static let maximumInstructions = 400
  /// Of frames, of epilogues, and of places where the context changes.
  private static let maximumPlaces = 64
  /// Of jumps that are followed.
  private static let maximumJumps = 1024

  init(_ code: Bytes) {
    findFrames(code)
    var arrivals: [Int: Context] = [:]
    // Twice, for what jumps back.
    follow(code, &arrivals)
    follow(code, &arrivals)
  }

  private mutating func findFrames(_ code: Bytes) {
    var cursor = code.cursor()
    var popped: Int?
    while !cursor.isAtEnd {
      let start = cursor.position
      if code.slice(UInt64(start), 8).firstWord == Self.prologue, frames.count < Self.maximumPlaces { frames.append(start + 8) }
      guard let instruction = Instruction(&cursor) else { break }
      if instruction.opcode == 0x5d, instruction.rex & 1 == 0 {
        popped = cursor.position
      } else if instruction.isEndOfWay {
        if let start = popped, epilogues.count < Self.maximumPlaces { epilogues.append(start..<cursor.position) }
        popped = nil
      }
    }
    if let start = popped { epilogues.append(start..<cursor.position) }
  }

  /// Whether r14 has a context behind an instruction that gives it another value: `mov (%r14), %r14`, by which it is passed on, and what
  /// takes it from where it was kept.
  private func keepsContext(_ instruction: Instruction) -> Bool {
    guard instruction.opcode == 0x8b, instruction.isWide else { return false }
    if instruction.isAtR14 { return instruction.displacement == 0 }
    if instruction.isAtFramePointer { return instruction.displacement == -8 && !frames.isEmpty }
    guard let spill, spill.inside == 0 else { return false }
    return instruction.isAtStackPointer && instruction.displacement == spill.displacement
  }

  /// Follows the context through the function, by what is known of it where jumps arrive.
  private mutating func follow(_ code: Bytes, _ arrivals: inout [Int: Context]) {
    contexts = []
    spill = nil
    var cursor = code.cursor()
    var count = 0
    var context = Context()
    // `lea inside(%r14), %register` right before.
    var derived: (register: UInt8, inside: Int32)?
    var isReached = true
    func note(_ offset: Int, _ context: Context, in contexts: inout [(offset: Int, context: Context)]) {
      if context != contexts.last?.context ?? Context(), contexts.count < Self.maximumPlaces { contexts.append((offset, context)) }
    }
    while !cursor.isAtEnd {
      if let arriving = arrivals[cursor.position] {
        context = isReached ? context.merged(arriving) : arriving
      } else if !isReached {
        // By a table of jumps, or by one that was not followed.
        context = Context(isInRegister: true, isSpilled: spill != nil)
      }
      isReached = true
      note(cursor.position, context, in: &contexts)
      guard let instruction = Instruction(&cursor) else { break }
      count += 1
      let inside = derived
      derived = nil
      if instruction.opcode == 0x8d, instruction.isWide, instruction.isAtR14 {
        derived = (instruction.register, instruction.displacement)
      } else if instruction.opcode == 0x89, instruction.isWide, instruction.isAtStackPointer, spill == nil, context.isInRegister,
        count <= Self.maximumInstructions
      {
        if instruction.register == Instruction.r14 {
          spill = (cursor.position, instruction.displacement, 0)
        } else if let inside, inside.register == instruction.register {
          spill = (cursor.position, instruction.displacement, inside.inside)
        }
        context.isSpilled = spill != nil
      }
      if instruction.destination == Instruction.r14 { context.isInRegister = keepsContext(instruction) }
      if let distance = instruction.jump, case let target = cursor.position + Int(distance), arrivals.count < Self.maximumJumps {
        arrivals[target] = arrivals[target].map { $0.merged(context) } ?? context
      }
      isReached = !instruction.isEndOfWay
    }
  }
}

extension Bytes {
  /// Its first 8 bytes; 0 where there are fewer.
  fileprivate var firstWord: UInt64 {
    var cursor = cursor()
    return cursor.u64()
  }
}

extension UnwindTableBuilder {
  /// Marks the last rows that are of async functions, says where each has its context, and mends what swiftc writes wrongly.
  ///
  /// An async function with a frame keeps its context right below the caller's rbp; others in r14, or where they spill it. The records of
  /// such frames lag behind in the first instructions, and stay behind in the last: they do not say what `push %r14` and `pop %rbp` do.
  ///
  /// Functions of the runtime that begin so (`swift_task_switch`) are mended, but not marked: their context is another function's.
  ///
  /// - Parameter functions: ascending; all their rows are there. What is before the first stays as it is.
  mutating func mark(_ functions: ArraySlice<SwiftFunctions.Function>, _ text: SegmentBytes) {
    let functions = functions.filter {
      $0.end > code.lowerBound && $0.start < code.upperBound
        && ($0.isAsync || text.bytes(from: $0.start, to: $0.end).firstWord == AsyncCode.prologue)
    }
    guard let first = functions.first else { return }
    let old = removeRows(from: max(first.start, code.lowerBound))
    var next = 0
    /// Adds rows as they are.
    func copy(until limit: UInt64) {
      while next < old.rows.count, old.rows[next].start < limit {
        append(old.rows[next].start, old.rows[next].number)
        next += 1
      }
    }
    for function in functions {
      let (start, end) = (max(function.start, code.lowerBound), min(function.end, code.upperBound))
      copy(until: start)
      let first = next
      while next < old.rows.count, old.rows[next].start < end { next += 1 }
      func number(before index: Int) -> UInt16 { index > 0 ? old.rows[index - 1].number : old.before }
      var rows: [(offset: Int, rule: UnwindRule)] = []
      if first == old.rows.count || old.rows[first].start > start { rows.append((0, rules[Int(number(before: first))])) }
      for row in old.rows[first..<next] { rows.append((Int(row.start - start), rules[Int(row.number)])) }
      let instructions = AsyncCode(text.bytes(from: start, to: end))
      if rows.count <= Self.maximumMendedRows { mend(&rows, instructions) }
      if function.isAsync { mark(&rows, instructions) }
      for row in rows where start + UInt64(row.offset) < end {
        append(start + UInt64(row.offset), self.number(of: row.rule))
      }
      if end < code.upperBound { append(end, number(before: next)) }
    }
    copy(until: code.upperBound)
  }

  /// Each place to mend looks at all rows of its function.
  private static let maximumMendedRows = 4096

  private typealias Rows = [(offset: Int, rule: UnwindRule)]

  private func index(at offset: Int, _ rows: Rows) -> Int { (rows.firstIndex { $0.offset > offset } ?? rows.count) - 1 }

  private func mend(_ rows: inout Rows, _ code: AsyncCode) {
    func index(at offset: Int) -> Int { self.index(at: offset, rows) }
    /// Puts a rule over what holds between two places.
    func put(_ rule: UnwindRule, from start: Int, to end: Int) {
      let after = rows[index(at: end)].rule
      rows.removeAll { start <= $0.offset && $0.offset <= end }
      rows.insert(contentsOf: [(start, rule), (end, after)], at: index(at: start) + 1)
    }
    for frame in code.frames {
      // After `push %rbp` the records are right: the CFA is as far away as rbp is below it.
      let before = index(at: frame - 6)
      guard before >= 0, case let pushed = rows[before].rule, pushed.kind == SWTRACE_CFA_RSP,
        pushed.cfa_offset == -Int32(pushed.rbp_offset),
        let known = rows[before...].first(where: { $0.rule.kind == SWTRACE_CFA_RBP }), known.offset >= frame
      else { continue }
      // Room for arguments of a tail call comes first, and is not counted.
      if pushed.cfa_offset != 16 { put(UnwindRule(SWTRACE_CFA_RSP, offset: pushed.cfa_offset &- 8), from: frame - 8, to: frame - 7) }
      var complete = pushed
      complete.cfa_offset += 8
      put(complete, from: frame - 5, to: frame)
      if known.offset > frame { put(known.rule, from: frame, to: known.offset) }
    }
    for epilogue in code.epilogues where !code.frames.isEmpty {
      let place = index(at: epilogue.lowerBound)
      guard place >= 0 else { continue }
      if rows[place].rule.kind == SWTRACE_CFA_RBP {
        let end = place + 1 < rows.count ? min(rows[place + 1].offset, epilogue.upperBound) : epilogue.upperBound
        put(UnwindRule(SWTRACE_CFA_RSP, offset: rows[place].rule.cfa_offset &- 8), from: epilogue.lowerBound, to: end)
      }
      // The caller's rbp is back in its register, and what it was saved in may have other content.
      let last = rows[index(at: epilogue.upperBound)].rule
      if !rows.contains(where: { $0.offset == epilogue.upperBound }) {
        rows.insert((epilogue.upperBound, last), at: index(at: epilogue.upperBound) + 1)
      }
      for index in rows.indices where epilogue.contains(rows[index].offset) && rows[index].rule.kind == SWTRACE_CFA_RSP {
        (rows[index].rule.rbp, rows[index].rule.rbp_offset) = (UInt8(SWTRACE_RBP_SAME.rawValue), 0)
      }
    }
  }

  private func mark(_ rows: inout Rows, _ code: AsyncCode) {
    var spilled: Int32?
    if let spill = code.spill, case let place = index(at: spill.end - 1, rows), place >= 0, rows[place].rule.kind == SWTRACE_CFA_RSP {
      spilled = spill.displacement &- rows[place].rule.cfa_offset
    }
    for (offset, _) in code.contexts {
      let place = index(at: offset, rows)
      if place >= 0, rows[place].offset != offset { rows.insert((offset, rows[place].rule), at: place + 1) }
    }
    var contexts = code.contexts[...]
    var context = AsyncCode.Context()
    for index in rows.indices {
      while let next = contexts.first, next.offset <= rows[index].offset { context = contexts.removeFirst().context }
      switch rows[index].rule.kind {
      case SWTRACE_CFA_RBP: rows[index].rule.r14_offset = Int16(exactly: -8 &- rows[index].rule.cfa_offset) ?? 0
      case SWTRACE_CFA_RSP:
        // As long as that place is in use.
        if context.isSpilled, let spill = code.spill, let spilled, spilled >= 0 &- rows[index].rule.cfa_offset, spilled < 0,
          let offset = Int16(exactly: spilled)
        {
          rows[index].rule.r14_offset = offset
          rows[index].rule.add = 0 &- spill.inside
        } else {
          rows[index].rule.r14_offset = context.isInRegister ? 0 : Int16(SWTRACE_CONTEXT_LOST)
        }
      default: continue
      }
      rows[index].rule.flags |= UInt8(SWTRACE_RULE_ASYNC.rawValue)
    }
  }
}
