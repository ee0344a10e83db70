/// A call stack in the order of the calls: the first frame is the root (`main`, `_start`), the last the leaf that ran.
package struct Stack: Hashable, Sendable {
  package var frames: [Frame]

  package init(_ frames: [Frame] = []) { self.frames = frames }

  /// With the source position behind each function's name, where it is known: `parse (reader.c:12)`.
  package func namingLines() -> Stack {
    Stack(
      frames.map { frame in
        guard frame.line > 0, let file = frame.file?.split(separator: "/").last else { return frame }
        var frame = frame
        frame.function += " (\(file):\(frame.line))"
        return frame
      })
  }

  /// With a function that calls itself as one frame.
  package func collapsingRecursion() -> Stack {
    var result: [Frame] = []
    for frame in frames {
      if let last = result.last, last.function == frame.function, last.module == frame.module, last.kind == frame.kind { continue }
      result.append(frame)
    }
    return Stack(result)
  }

  /// A stack's place in the `StackTable` that made it; without meaning in any other table.
  package struct ID: Hashable, Sendable {
    /// The stack without frames, which every table has.
    package static let empty = ID(rawValue: 0)
    let rawValue: UInt32
  }
}

extension Frame {
  /// A frame's place in the `StackTable` that made it.
  package struct ID: Hashable, Sendable {
    let rawValue: UInt32
    /// In `StackTable.frames`.
    package var index: Int { Int(rawValue) }
  }

  /// Whether it is what the compiler made of a Swift function to call it, or a part of an async one, by the end of its mangled name:
  /// `TW` a witness, `TA` a partial application, `TQ0_` a part (swift/docs/ABI/Mangling.rst, "Entity thunks").
  private var isForm: Bool {
    guard isSwift, let mangled, let end = mangled.lastIndex(of: "T") else { return false }
    let kind = mangled[end...].dropFirst()
    guard kind.last == "_" else { return kind.count == 1 && "WAXjmRroOD".contains(kind) }
    // What goes on when another function has ended awaits that one: it may be the function itself, called again.
    guard kind.first == "Q" else { return kind.first == "Y" }
    let whole = mangled[..<end]
    return whole.dropLast().last == "T" && whole.last.map { "WAXjmRroOD".contains($0) } ?? false
  }

  /// One frame for this one and another that it calls, where both are forms of one Swift function: a witness or a partial application
  /// calls the function, and a part of an async function goes on in the next. A function that calls itself is none.
  package func mergingForm(_ inner: Frame) -> Frame? {
    guard function == inner.function, module == inner.module, isForm, inner.isSwift, mangled != inner.mangled else { return nil }
    // The inner one tells where the function is; it was called unless both were merged into their callers.
    var one = inner
    one.isInlined = isInlined && inner.isInlined
    return one
  }
}

/// Each frame once, and each stack once, as a tree of callers: a stack is its leaf's frame and the stack of its caller.
///
/// A stack therefore costs only the frames it does not share with others (tens of bytes where its text takes a thousand),
/// and equal stacks have equal `Stack.ID`s.
package struct StackTable: Sendable {
  package private(set) var frames: [Frame] = []
  private var frameIDs: [Frame: Frame.ID] = [:]
  /// Indexed by stack: its caller and its leaf. Entry 0 is the empty stack; a caller always stands before those it calls.
  private var callers: [Stack.ID] = [.empty]
  private var leaves: [Frame.ID] = [Frame.ID(rawValue: 0)]
  private var callees: [UInt64: Stack.ID] = [:]

  package init() {}

  /// The number of different stacks, those that are only a part of others and the empty one included.
  package var count: Int { callers.count }

  package mutating func intern(_ frame: Frame) -> Frame.ID {
    if let known = frameIDs[frame] { return known }
    let id = Frame.ID(rawValue: UInt32(frames.count))
    frames.append(frame)
    frameIDs[frame] = id
    return id
  }

  /// The stack whose leaf is `frame`, called from `caller`. With it, a stack is built from the root to the leaf without an array.
  package mutating func push(_ frame: Frame.ID, on caller: Stack.ID) -> Stack.ID {
    let key = UInt64(caller.rawValue) << 32 | UInt64(frame.rawValue)
    if let known = callees[key] { return known }
    let id = Stack.ID(rawValue: UInt32(callers.count))
    callers.append(caller)
    leaves.append(frame)
    callees[key] = id
    return id
  }

  package mutating func intern(_ stack: Stack) -> Stack.ID {
    stack.frames.reduce(.empty) { caller, frame in push(intern(frame), on: caller) }
  }

  /// The leaf and its caller's stack, or nil for the empty stack.
  package func top(of id: Stack.ID) -> (frame: Frame.ID, caller: Stack.ID)? {
    id == .empty ? nil : (leaves[Int(id.rawValue)], callers[Int(id.rawValue)])
  }

  package subscript(id: Frame.ID) -> Frame { frames[Int(id.rawValue)] }

  /// The whole stack, root first.
  package subscript(id: Stack.ID) -> Stack { Stack(frameIDs(of: id).map { self[$0] }) }

  /// The frames of a stack, root first.
  package func frameIDs(of id: Stack.ID) -> [Frame.ID] {
    var frames: [Frame.ID] = []
    var rest = id
    while let (frame, caller) = top(of: rest) {
      frames.append(frame)
      rest = caller
    }
    frames.reverse()
    return frames
  }
}
