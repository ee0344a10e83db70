internal import CProbes
internal import CUnwind
internal import Formats
internal import Linux
internal import Profiles
internal import Symbolication

/// Names the stacks of a run, each address once: most stacks of a run share most of their addresses.
///
/// Frames are numbers of the profile's table from the beginning, innermost first until they are pushed.
struct StackNamer {
  /// Lent for as long as there is something to name.
  var symbolizer = Symbolizer()
  private(set) var table = StackTable()
  /// Whether a marker stands between the user and the kernel part.
  let isDelimited: Bool
  /// Bytes that the indexes of files may take when there will be other stacks; nil when there will be none, and none are kept.
  let indexLimit: Int?
  private var kernel: [KernelKey: KernelAnswer] = [:]
  /// Places in files, whatever processes have mapped them.
  private var places: [PlaceKey: Answer] = [:]
  /// Of the stacks that are being named: which place an address is, and what is no file, is certain only for the moment.
  private var user: [UserKey: Answer] = [:]
  private var answered: [Frame.ID] = []
  private var forms: [FormKey: Frame.ID?] = [:]
  /// By the frames' numbers.
  private var isSwift: [Bool] = []

  private struct KernelKey: Hashable {
    var address: UInt64
    var isExact: Bool
  }

  private struct UserKey: Hashable, Comparable {
    var address: UInt64
    var process: UInt32
    var program: UInt32
    var kind: StackAddress

    static func < (one: Self, other: Self) -> Bool {
      (one.process, one.program, one.address, one.kind.rawValue) < (other.process, other.program, other.address, other.kind.rawValue)
    }
  }

  /// An address in a file.
  private struct PlaceKey: Hashable {
    var object: UInt64
    var offset: UInt64
    var kind: StackAddress

    init?(_ place: Symbolizer.Place?, _ kind: StackAddress) {
      guard let place, place.object.isFile else { return nil }
      (object, offset, self.kind) = (place.object.number, place.offset, kind)
    }
  }

  /// Two frames, of which the first calls the second.
  private struct FormKey: Hashable {
    var outer: Frame.ID
    var inner: Frame.ID
  }

  private struct Answer {
    /// In `answered`: arrays of their own would take as much again.
    var frames: Range<UInt32>
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

  init(isDelimited: Bool, indexLimit: Int? = nil) {
    self.isDelimited = isDelimited
    self.indexLimit = indexLimit
  }

  /// Whether so much is kept that it is time to begin anew: some ten megabytes.
  var isLarge: Bool { places.count > 1 << 16 || kernel.count > 1 << 15 || answered.count > 1 << 18 || table.count > 1 << 17 }

  /// Forgets the names of the kernel's addresses: other code may be there.
  mutating func forgetKernel() { kernel = [:] }

  /// Forgets what was certain for the stacks of a window only.
  mutating func endWindow() { user = [:] }

  /// Names the addresses of all entries, the kernel's and then one file's after the other, each in its order: what is known of a large
  /// program takes tens of megabytes, which are given up before the next one is read.
  ///
  /// - Parameters:
  ///   - fromCalls: whether user stacks were walked at the ends of system calls.
  ///   - meanwhile: gets the symbolizer back for a moment, every few milliseconds.
  mutating func nameAddresses(of stacks: borrowing RawStacks, fromCalls: Bool, meanwhile: (inout Symbolizer) -> Void) {
    var keys: Set<UserKey> = []
    for entry in stacks.entries where entry.events > 0 {
      let isOfCall = answers(stacks.kernel(entry)).allSatisfy { !$0.isOutsideCalls }
      if entry.owner.relation == SWTRACE_PARTNER_WOKE.rawValue {
        let partner = stacks.partner(entry)
        _ = answers(partner.kernel)
        keys.formUnion(Self.keys(partner.user, entry.owner.partnerProcess, entry.owner.partnerProgram))
      }
      guard !(fromCalls && lacksUserPart(entry, stacks, isOfCall: isOfCall)) else { continue }
      keys.formUnion(Self.keys(stacks.user(entry), entry.owner.process, entry.owner.program))
      for part in Self.awaiting(entry, stacks).parts {
        keys.formUnion(Self.keys(part, entry.owner.process, entry.owner.program, .asyncResumePoint))
      }
    }
    if indexLimit == nil { symbolizer.release(nil) }
    var groups = FileGroups()
    var unknown: [(key: UserKey, file: Int, offset: UInt64)] = []
    for key in keys.sorted() {
      let place = place(key)
      if let known = PlaceKey(place, key.kind).flatMap({ places[$0] }) {
        user[key] = known
      } else {
        unknown.append((key, groups.number(of: place?.object), place?.offset ?? key.address))
      }
    }
    var last = 0
    var lastPause = Clock.monotonic
    for place in unknown.sorted(by: { (groups[$0.file].size, $0.file, $0.offset) < (groups[$1.file].size, $1.file, $1.offset) }) {
      if groups[place.file].size != groups[last].size { release(groups.ofSize(groups[last].size)) }
      last = place.file
      _ = answer(place.key)
      if Clock.monotonic > lastPause + Self.longestWork {
        meanwhile(&symbolizer)
        lastPause = Clock.monotonic
      }
    }
    guard !unknown.isEmpty else { return }
    release(groups.ofSize(groups[last].size))
    ProgramMemory.releaseFreed()
  }

  private mutating func place(_ key: UserKey) -> Symbolizer.Place? {
    symbolizer.place(VirtualAddress(key.address), key.kind, in: ProcessID(key.process), program: Int(key.program))
  }

  /// In nanoseconds.
  private static let longestWork: UInt64 = 10_000_000

  private mutating func release(_ files: [CodeObject]) {
    if let indexLimit {
      symbolizer.settle(files, limit: indexLimit)
    } else {
      for file in files { symbolizer.release(file) }
    }
  }

  /// Files by numbers, with their sizes: only those of equal size may be copies, for which there is one index.
  private struct FileGroups {
    private var files: [(object: CodeObject?, size: UInt64)] = [(nil, 0)]
    private var numbers: [ObjectIdentifier: Int] = [:]

    /// - Returns: 0 for nil.
    mutating func number(of object: CodeObject?) -> Int {
      guard let object else { return 0 }
      if let known = numbers[ObjectIdentifier(object)] { return known }
      numbers[ObjectIdentifier(object)] = files.count
      files.append((object, object.identity?.size ?? 0))
      return files.count - 1
    }

    subscript(number: Int) -> (object: CodeObject?, size: UInt64) { files[number] }

    func ofSize(_ size: UInt64) -> [CodeObject] { files.filter { $0.size == size }.compactMap(\.object) }
  }

  /// The stack of an entry, and whether it lacks the user part that it has: that was another one's.
  ///
  /// From the root to the leaf; what came to a blocked task stands on top of where it waited.
  mutating func name(
    _ entry: RawStacks.Entry, _ stacks: borrowing RawStacks, fromCalls: Bool
  ) -> (stack: Stack.ID, lacksUserPart: Bool) {
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
    if fromCalls, lacksUserPart(entry, stacks, isOfCall: isOfCall) { return (push(frames), true) }
    if isDelimited, entry.parts.kernel > 0, !user.isEmpty { frames.append(marker("-")) }
    frames += name(user, owner.process, owner.program)
    appendAwaiting(entry, stacks, to: &frames)
    if owner.task > 0 { frames.append(marker("[task \(owner.task)]")) }
    if let ending = owner.ending {
      if ending.hasGuesses { frames.append(marker("[guessed frames]")) }
      if !ending.isComplete { frames.append(marker("[ends \(ending.text)]")) }
    }
    return (push(frames), false)
  }

  /// A wait in a page fault is not part of any system call: the user stack at the next call's end is another one.
  private func lacksUserPart(_ entry: RawStacks.Entry, _ stacks: borrowing RawStacks, isOfCall: Bool) -> Bool {
    !isOfCall && stacks.user(entry).count > 1 && !entry.owner.isBlocked
  }

  /// What awaits the last of the user frames: that of one task after the other, and what stands before each but the first.
  private static func awaiting(_ entry: RawStacks.Entry, _ stacks: borrowing RawStacks) -> (parts: [ArraySlice<UInt64>], marks: [String]) {
    var async = stacks.async(entry)
    guard let first = async.first else { return ([], []) }
    // In the first instructions of a function that goes on, the context is still that of the function that it has awaited.
    if let last = stacks.user(entry).last, last &- first < firstInstructions { async.removeFirst() }
    return (async.split(omittingEmptySubsequences: false) { parentMarks[$0] != nil }, async.compactMap { parentMarks[$0] })
  }

  /// What awaits the last of the user frames.
  private mutating func appendAwaiting(_ entry: RawStacks.Entry, _ stacks: borrowing RawStacks, to frames: inout [Frame.ID]) {
    let (parts, marks) = Self.awaiting(entry, stacks)
    guard !parts.isEmpty else { return }
    var awaiting = name(parts[0], entry.owner.process, entry.owner.program, .asyncResumePoint)
    // The witness of a requirement awaits the function that stands for it.
    if let outer = awaiting.first, let inner = frames.last, isSwift[outer.index], isSwift[inner.index], let one = form(outer, inner) {
      frames[frames.count - 1] = one
      awaiting.removeFirst()
    }
    frames.append(marker("[async]"))
    frames += awaiting
    for (mark, part) in zip(marks, parts.dropFirst()) {
      frames.append(marker(mark))
      frames += name(part, entry.owner.process, entry.owner.program, .asyncResumePoint)
    }
  }

  /// What stands between a task and the one that has made it.
  private static let parentMarks = [
    UInt64(SWTRACE_PARENT_OF_CHILD.rawValue): "[child task]", UInt64(SWTRACE_PARENT_OF_GROUP_CHILD.rawValue): "[task group]",
    UInt64(SWTRACE_PARENT_OF_ASYNC_LET.rawValue): "[async let]",
  ]

  /// In bytes: `mov (%r14), %r14` and what may stand before it.
  private static let firstInstructions: UInt64 = 64

  /// The kernel's part of a stack, and whether it was entered by a system call as far as can be known.
  private mutating func name(_ addresses: ArraySlice<UInt64>) -> (frames: [Frame.ID], isOfCall: Bool) {
    var frames: [Frame.ID] = []
    var isOfCall = true
    for found in answers(addresses) {
      symbolizer.count(found.answer.outcome)
      // A walk by the task itself begins in the probe and in what runs it.
      if frames.isEmpty, found.isOfProbe { continue }
      frames += answered(found.answer)
      if found.isOutsideCalls { isOfCall = false }
    }
    return (frames, isOfCall)
  }

  private mutating func answers(_ addresses: ArraySlice<UInt64>) -> [KernelAnswer] {
    // What an interrupt or an exception came upon is an instruction, not the return from a call.
    var isExact = true
    return addresses.map { address in
      let found = answer(KernelKey(address: address, isExact: isExact))
      isExact = found.isEntryOfInterrupt
      return found
    }
  }

  private func answered(_ answer: Answer) -> ArraySlice<Frame.ID> {
    answered[Int(answer.frames.lowerBound)..<Int(answer.frames.upperBound)]
  }

  private mutating func made(_ frames: [Frame], _ found: Symbolized) -> Answer {
    let start = UInt32(answered.count)
    for frame in frames { answered.append(intern(frame)) }
    return Answer(frames: start..<UInt32(answered.count), outcome: .init(found))
  }

  private mutating func answer(_ key: KernelKey) -> KernelAnswer {
    if let known = kernel[key] { return known }
    let found = symbolizer.lookUp(KernelAddress(key.address), key.isExact ? .programCounter : .returnAddress)
    var made: KernelAnswer
    switch found {
    case .frames(let frames):
      made = KernelAnswer(answer: self.made(frames, found))
      if let first = frames.first {
        made.isEntryOfInterrupt = Self.entriesOfInterrupts.contains { first.function.hasPrefix($0) }
        made.isOutsideCalls = made.isEntryOfInterrupt || Self.endsOfInterrupts.contains { first.function.hasPrefix($0) }
        made.isOfProbe = first.module == "bpf" || first.function.hasPrefix("bpf_trace_run")
      }
    case .unknown:
      let frame = Frame(function: "[unknown]", module: "[kernel]", kind: .kernel)
      made = KernelAnswer(answer: self.made([frame], found))
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
    for key in Self.keys(addresses, process, program, kind) {
      let found = answer(key)
      symbolizer.count(found.outcome)
      frames += answered(found)
    }
    return frames
  }

  private static func keys(
    _ addresses: ArraySlice<UInt64>, _ process: UInt32, _ program: UInt32, _ kind: StackAddress = .returnAddress
  ) -> some Sequence<UserKey> {
    addresses.enumerated().lazy.map { index, address in
      let kind = index == 0 && kind == .returnAddress ? .programCounter : kind
      return UserKey(address: address, process: process, program: program, kind: kind)
    }
  }

  private mutating func answer(_ key: UserKey) -> Answer {
    if let known = user[key] { return known }
    let place = PlaceKey(place(key), key.kind)
    if let known = place.flatMap({ places[$0] }) { return known }
    let (address, process, program) = (VirtualAddress(key.address), ProcessID(key.process), Int(key.program))
    let found = symbolizer.lookUp(address, key.kind, in: process, program: program)
    let frames =
      switch found {
      case .frames(let frames): frames
      case .unknown: [symbolizer.placeholder(address, in: process, program: program)]
      }
    let made = made(frames, found)
    user[key] = made
    if let place { places[place] = made }
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
