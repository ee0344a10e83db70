internal import CProbes
internal import Formats
internal import Linux
internal import Profiles
internal import Symbolication

/// Names the stacks of a run, each address once: most stacks of a run share most of their addresses.
///
/// Frames are numbers of the profile's table from the beginning, innermost first until they are pushed.
struct StackNamer {
  private(set) var symbolizer: Symbolizer
  private(set) var table: StackTable
  /// Whether a marker stands between the user and the kernel part.
  let isDelimited: Bool
  /// Whether user stacks were walked at the ends of system calls.
  let takesUserStacksFromCalls: Bool
  private var kernel: [KernelKey: KernelAnswer] = [:]
  private var user: [UserKey: Answer] = [:]
  private var forms: [FormKey: Frame.ID?] = [:]
  /// By the frames' numbers.
  private var isSwift: [Bool] = []

  private struct KernelKey: Hashable {
    var address: UInt64
    var isExact: Bool
  }

  private struct UserKey: Hashable {
    var address: UInt64
    var process: UInt32
    var program: UInt32
    var kind: UInt8
  }

  /// Two frames, of which the first calls the second.
  private struct FormKey: Hashable {
    var outer: Frame.ID
    var inner: Frame.ID
  }

  private struct Answer {
    var frames: [Frame.ID]
    var outcome: SymbolizationReport.Outcome
  }

  private struct KernelAnswer {
    var answer: Answer
    /// The kernel's ways in and out that are no system call: exceptions, interrupts, and the work before user code goes on.
    var isOutsideCalls = false
    var isEntryOfInterrupt = false
    /// A program of BPF, or what runs it.
    var isOfProbe = false
  }

  init(_ symbolizer: Symbolizer, _ table: StackTable, isDelimited: Bool, takesUserStacksFromCalls: Bool) {
    self.symbolizer = symbolizer
    self.table = table
    self.isDelimited = isDelimited
    self.takesUserStacksFromCalls = takesUserStacksFromCalls
  }

  /// The stack of an entry, and whether it lacks the user part that it has: that was another one's.
  ///
  /// From the root to the leaf; what came to a blocked task stands on top of where it waited.
  mutating func name(_ entry: RawStacks.Entry, _ stacks: borrowing RawStacks) -> (stack: Stack.ID, lacksUserPart: Bool) {
    var frames: [Frame.ID] = []
    let owner = entry.owner
    if owner.isBlocked { frames.append(marker("[still blocked]")) }
    if owner.relation != SWTRACE_NO_PARTNER.rawValue {
      let name = withUnsafeBytes(of: owner.partner) { Text(zeroTerminated: $0.bytes) }
      frames.append(marker(readableName(name.bytes)))
    }
    if owner.relation == SWTRACE_PARTNER_WOKE.rawValue {
      let partner = stacks.partner(entry)
      var stack = name(partner.kernel).frames
      if isDelimited, !partner.kernel.isEmpty, !partner.user.isEmpty { stack.append(marker("-")) }
      stack += name(partner.user, owner.partnerProcess, owner.partnerProgram)
      frames += stack.reversed()
      frames.append(marker("--"))
    }
    let (kernel, isOfCall) = name(stacks.kernel(entry))
    frames += kernel
    let user = stacks.user(entry)
    // A wait in a page fault is not part of any system call: the user stack at the next call's end is another one.
    if !isOfCall, takesUserStacksFromCalls, user.count > 1, !owner.isBlocked { return (push(frames), true) }
    if isDelimited, entry.parts.kernel > 0, !user.isEmpty { frames.append(marker("-")) }
    frames += name(user, owner.process, owner.program)
    appendAwaiting(entry, stacks, to: &frames)
    if let ending = owner.ending { frames.append(marker("[ends \(ending.text)]")) }
    return (push(frames), false)
  }

  /// What awaits the last of the user frames.
  private mutating func appendAwaiting(_ entry: RawStacks.Entry, _ stacks: borrowing RawStacks, to frames: inout [Frame.ID]) {
    var async = stacks.async(entry)
    guard let first = async.first else { return }
    // In the first instructions of a function that goes on, the context is still that of the function that it has awaited.
    if let last = stacks.user(entry).last, last &- first < Self.firstInstructions { async.removeFirst() }
    var awaiting = name(async, entry.owner.process, entry.owner.program, .asyncResumePoint)
    // The witness of a requirement awaits the function that stands for it.
    if let outer = awaiting.first, let inner = frames.last, isSwift[outer.index], isSwift[inner.index], let one = form(outer, inner) {
      frames[frames.count - 1] = one
      awaiting.removeFirst()
    }
    frames.append(marker("[async]"))
    frames += awaiting
  }

  /// In bytes: `mov (%r14), %r14` and what may stand before it.
  private static let firstInstructions: UInt64 = 64

  /// The kernel's part of a stack, and whether it was entered by a system call as far as can be known.
  private mutating func name(_ addresses: ArraySlice<UInt64>) -> (frames: [Frame.ID], isOfCall: Bool) {
    var frames: [Frame.ID] = []
    var isOfCall = true
    // What an interrupt or an exception came upon is an instruction, not the return from a call.
    var isExact = true
    for address in addresses {
      let found = answer(KernelKey(address: address, isExact: isExact))
      symbolizer.count(found.answer.outcome)
      isExact = found.isEntryOfInterrupt
      // A walk by the task itself begins in the probe and in what runs it.
      if frames.isEmpty, found.isOfProbe { continue }
      frames += found.answer.frames
      if found.isOutsideCalls { isOfCall = false }
    }
    return (frames, isOfCall)
  }

  private mutating func answer(_ key: KernelKey) -> KernelAnswer {
    if let known = kernel[key] { return known }
    let found = symbolizer.lookUp(KernelAddress(key.address), key.isExact ? .programCounter : .returnAddress)
    var made: KernelAnswer
    switch found {
    case .frames(let frames):
      made = KernelAnswer(answer: Answer(frames: frames.map { intern($0) }, outcome: .init(found)))
      if let first = frames.first {
        made.isEntryOfInterrupt = Self.entriesOfInterrupts.contains { first.function.hasPrefix($0) }
        made.isOutsideCalls = made.isEntryOfInterrupt || Self.endsOfInterrupts.contains { first.function.hasPrefix($0) }
        made.isOfProbe = first.module == "bpf" || first.function.hasPrefix("bpf_trace_run")
      }
    case .unknown:
      let frame = Frame(function: "[unknown]", module: "[kernel]", kind: .kernel)
      made = KernelAnswer(answer: Answer(frames: [intern(frame)], outcome: .init(found)))
    }
    kernel[key] = made
    return made
  }

  private static let entriesOfInterrupts = ["asm_exc_", "asm_sysvec_", "asm_common_interrupt"]
  private static let endsOfInterrupts = ["exit_to_user_mode", "irqentry_exit", "syscall_exit_to_user_mode"]

  /// The user part of a stack.
  private mutating func name(
    _ addresses: ArraySlice<UInt64>, _ process: UInt32, _ program: UInt32, _ kind: StackAddress = .returnAddress
  ) -> [Frame.ID] {
    var frames: [Frame.ID] = []
    for (index, address) in addresses.enumerated() {
      let kind = index == 0 && kind == .returnAddress ? .programCounter : kind
      let key = UserKey(address: address, process: process, program: program, kind: kind.rawValue)
      let found = user[key] ?? answer(key, kind)
      symbolizer.count(found.outcome)
      frames += found.frames
    }
    return frames
  }

  private mutating func answer(_ key: UserKey, _ kind: StackAddress) -> Answer {
    let (address, process, program) = (VirtualAddress(key.address), ProcessID(key.process), Int(key.program))
    let found = symbolizer.lookUp(address, kind, in: process, program: program)
    let frames =
      switch found {
      case .frames(let frames): frames
      case .unknown: [symbolizer.placeholder(address, in: process, program: program)]
      }
    let made = Answer(frames: frames.map { intern($0) }, outcome: .init(found))
    user[key] = made
    return made
  }

  private mutating func marker(_ text: String) -> Frame.ID { intern(Frame(function: text, kind: .marker)) }

  private mutating func intern(_ frame: Frame) -> Frame.ID {
    let id = table.intern(frame)
    while isSwift.count < table.frames.count { isSwift.append(table.frames[isSwift.count].isSwift) }
    return id
  }

  /// The stack of frames, with a Swift function and what the compiler made of it as one.
  private mutating func push(_ frames: [Frame.ID]) -> Stack.ID {
    var stack = Stack.ID.empty
    for frame in frames.reversed() {
      if isSwift[frame.index], let top = table.top(of: stack), isSwift[top.frame.index], let one = form(top.frame, frame) {
        stack = table.push(one, on: top.caller)
      } else {
        stack = table.push(frame, on: stack)
      }
    }
    return stack
  }

  /// The frame for both, where they are forms of one function.
  private mutating func form(_ outer: Frame.ID, _ inner: Frame.ID) -> Frame.ID? {
    let key = FormKey(outer: outer, inner: inner)
    if let known = forms[key] { return known }
    let one = table[outer].mergingForm(table[inner]).map { intern($0) }
    forms[key] = .some(one)
    return one
  }
}
