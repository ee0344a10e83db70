internal import CProbes
internal import Formats
package import Linux
package import Profiles
package import Symbolication

/// Counts equal stacks while events come, and names them when all have come.
package struct StackAggregator {
  /// A wait whose user stack has not come yet; its entry has the kernel's part only.
  private struct Owed {
    var entry: Int
    var value: UInt64
    var time: UInt64
  }

  package private(set) var symbolizer: Symbolizer
  /// Events that were taken in.
  package private(set) var count: UInt64 = 0
  /// Events whose stack was one too many.
  package private(set) var overflow: UInt64 = 0
  /// Events whose user stack came never, or was not theirs. Known when `profile` has been made.
  package private(set) var withoutUserStack: UInt64 = 0
  private var stacks: RawStacks
  private var owed: [UInt32: [Owed]] = [:]
  /// Of the record that is taken in; kept for its memory.
  private var addresses: [UInt64] = []
  /// By the entries of `stacks`.
  private var moments = Moments()
  /// Whether the profile will say when each event was.
  package var keepsMoments = false

  private let records: ProcessRecordReader?

  /// - Parameters:
  ///   - records: tells of programs that start and end; without it those that live for a moment only have no names.
  ///   - openFiles: how many files of processes may be held open.
  package init(_ options: Symbolizer.Options = .init(), records: ProcessRecordReader? = nil, openFiles: Int = 256) {
    stacks = RawStacks()
    symbolizer = Symbolizer(openFiles: min(openFiles, 8192))
    self.records = records
    symbolizer.options = options
  }
  init(stacks: RawStacks) {
    self.stacks = stacks
    symbolizer = Symbolizer()
    records = nil
  }

  /// Takes in what happened to processes. Call it often: a process is known best while it lives.
  package mutating func followProcesses() {
    records?.drain { record in symbolizer.note(record) }
  }

  /// Call it when all events before a time have been taken in.
  package mutating func forgetIdle(before time: UInt64) { symbolizer.forgetIdle(before: time) }

  /// Takes in one record.
  package mutating func add(_ record: RawSpan) {
    let event = record.header(swtrace_stack_event.self)
    let kernel = Int(max(event.kernel_frames, 0))
    let user = Int(max(event.user_frames, 0))
    let body = record.extracting(droppingFirst: MemoryLayout<swtrace_stack_event>.size)
    precondition(body.byteCount >= (kernel + user) * 8)
    if event.kind == SWTRACE_STACK_USER_PART.rawValue { return settle(event.tid, since: event.time_ns, body, user) }

    count += 1
    if let records, event.time_ns > records.completeUntil { followProcesses() }
    let program = event.pid == 0 || !ProcessNamespace.isInitial ? 0 : symbolizer.program(of: ProcessID(event.pid), at: event.time_ns)
    let owner = RawStacks.Owner(
      process: event.pid, program: UInt32(program), command: unsafeBitCast(event.comm, to: SIMD16<UInt8>.self),
      partner: unsafeBitCast(event.partner, to: SIMD16<UInt8>.self))
    addresses.removeAll(keepingCapacity: true)
    append(body, kernel + user)
    guard let entry = entry(owner, kernel) else { return }
    if event.kind == SWTRACE_STACK_USER_FOLLOWS.rawValue {
      owed[event.tid, default: []].append(Owed(entry: entry, value: event.value, time: event.time_ns))
    } else {
      add(event.value, to: entry, thread: event.tid, time: event.time_ns)
    }
  }

  private mutating func add(_ value: UInt64, to entry: Int, thread: UInt32, time: UInt64) {
    stacks.add(value, to: entry)
    if keepsMoments { moments.append(Moments.Moment(time: time, value: value, sample: entry, thread: thread)) }
  }

  private mutating func append(_ body: RawSpan, _ frames: Int) {
    for index in 0..<frames { addresses.append(body.unsafeLoadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
  }

  /// The entry of the stack in `addresses`; counts what has no room.
  private mutating func entry(_ owner: RawStacks.Owner, _ kernel: Int) -> Int? {
    guard let entry = stacks.entry(owner, kernelFrames: kernel, addresses) else {
      overflow += 1
      return nil
    }
    return entry
  }

  /// Gives a thread's waits the user stack that they ended in. Waits from before `since` were in an earlier system call, whose
  /// record was lost.
  private mutating func settle(_ thread: UInt32, since: UInt64, _ body: RawSpan, _ user: Int) {
    for wait in owed.removeValue(forKey: thread) ?? [] {
      guard wait.time >= since, user > 0 else {
        withoutUserStack += 1
        add(wait.value, to: wait.entry, thread: thread, time: wait.time)
        continue
      }
      let partial = stacks.entries[wait.entry]
      addresses.removeAll(keepingCapacity: true)
      addresses += stacks.kernel(partial)
      append(body, user)
      if let whole = entry(partial.owner, Int(partial.kernelFrames)) {
        add(wait.value, to: whole, thread: thread, time: wait.time)
      }
    }
  }

  /// All stacks with names. Call it when the last record was taken in.
  ///
  /// - Parameter delimited: whether a marker stands between the user and the kernel part.
  package mutating func profile(unit: Profile.Unit, delimited: Bool = false) -> Profile {
    for (thread, waits) in owed {
      for wait in waits {
        withoutUserStack += 1
        add(wait.value, to: wait.entry, thread: thread, time: wait.time)
      }
    }
    owed = [:]
    var profile = Profile(unit: unit)
    let places = stacks.entries.map { entry -> Int? in
      if entry.events == 0 { return nil }
      let command = withUnsafeBytes(of: entry.owner.command) { Text(zeroTerminated: $0.bytes) }
      let process = Profile.Process(command: command.bytes, pid: entry.owner.process)
      return profile.add(entry.value, count: entry.events, stack: name(entry, delimited), process: process)
    }
    profile.moments = moments.mappingSamples { places[$0] }
    return profile
  }

  private mutating func name(_ entry: RawStacks.Entry, _ delimited: Bool) -> Stack {
    var frames: [Frame] = []
    var isOfCall = true
    if entry.owner.partner[0] != 0 {
      let partner = withUnsafeBytes(of: entry.owner.partner) { Text(zeroTerminated: $0.bytes) }
      frames.append(Frame(function: readableName(partner.bytes), kind: .marker))
    }
    // What an interrupt or an exception came upon is an instruction, not the return from a call.
    var isExact = true
    for address in stacks.kernel(entry) {
      let answer = symbolizer.symbolize(KernelAddress(address), isExact ? .programCounter : .returnAddress)
      isExact = false
      switch answer {
      case .frames(let found):
        isExact = found.first.map { Self.isEntryOfInterrupt($0.function) } ?? false
        // A walk by the task itself begins in the probe and in what runs it.
        if frames.allSatisfy({ $0.kind != .kernel }), let first = found.first,
          first.module == "bpf" || first.function.hasPrefix("bpf_trace_run")
        {
          continue
        }
        frames += found
        if let function = found.first?.function, Self.isOutsideCalls(function) { isOfCall = false }
      case .unknown: frames.append(Frame(function: "[unknown]", module: "[kernel]", kind: .kernel))
      }
    }
    // A wait in a page fault is not part of any system call: the user stack at the next call's end is another one.
    if !isOfCall, takesUserStacksFromCalls, entry.userFrames > 1 {
      withoutUserStack += entry.events
      return Stack(frames.reversed())
    }
    if delimited, entry.kernelFrames > 0, entry.userFrames > 0 { frames.append(Frame(function: "-", kind: .marker)) }
    let (process, program) = (ProcessID(entry.owner.process), Int(entry.owner.program))
    for (index, address) in stacks.user(entry).enumerated() {
      switch symbolizer.symbolize(VirtualAddress(address), index == 0 ? .programCounter : .returnAddress, in: process, program: program) {
      case .frames(let found): frames += found
      case .unknown: frames.append(symbolizer.placeholder(VirtualAddress(address), in: process, program: program))
      }
    }
    return Stack(frames.reversed())
  }

  /// Whether user stacks were walked at the ends of system calls.
  package var takesUserStacksFromCalls = false

  private static func isEntryOfInterrupt(_ function: String) -> Bool {
    ["asm_exc_", "asm_sysvec_", "asm_common_interrupt"].contains { function.hasPrefix($0) }
  }

  /// The kernel's ways in and out that are no system call: exceptions, interrupts, and the work before user code goes on.
  private static func isOutsideCalls(_ function: String) -> Bool {
    ["asm_exc_", "asm_sysvec_", "asm_common_interrupt", "exit_to_user_mode", "irqentry_exit", "syscall_exit_to_user_mode"]
      .contains { function.hasPrefix($0) }
  }
}
