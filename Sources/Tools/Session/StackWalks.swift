internal import ArgumentParser
internal import BPF
internal import CProbes
internal import CUnwind
internal import Formats
internal import Linux
internal import Symbolication
internal import Unwinding

/// How user stacks are walked.
package enum UnwindMethod: String, CaseIterable, ExpressibleByArgument, Sendable { case auto, dwarf, fp }

/// Which callers of an async function are shown.
package enum AsyncCallers: String, CaseIterable, ExpressibleByArgument, Sendable {
  /// Those that await it, in place of the executor that runs it.
  case callers
  /// Those on the thread's stack.
  case physical
  case both
}

/// Why a user stack ends where it does (enum swtrace_unwind_ending), and whether all of it is certain.
package struct StackEnding: Hashable, Sendable {
  let rawValue: UInt8
  /// Callers of some frames were found by a frame pointer for lack of a rule.
  var hasGuesses = false

  /// For people, the most usual first.
  static let texts: [(swtrace_unwind_ending, key: String, text: String)] = [
    (SWTRACE_END_COMPLETE, "complete", "complete"),
    (SWTRACE_END_TOO_DEEP, "too_deep", "deeper than \(SWTRACE_UNWIND_DEPTH) frames"),
    (SWTRACE_END_NO_PROCESS, "no_process", "of a process not known yet"),
    (SWTRACE_END_NO_MAPPING, "no_mapping", "at an address that is not mapped"),
    (SWTRACE_END_NO_TABLE, "no_table", "before their rules were made"),
    (SWTRACE_END_GAP, "no_rule", "in code without rules"),
    (SWTRACE_END_UNSUPPORTED, "unsupported_rule", "in code with strange rules"),
    (SWTRACE_END_UNREADABLE, "unreadable", "in memory that could not be read"),
    (SWTRACE_END_CUT, "cut", "where a copy of the stack ended"),
    (SWTRACE_END_COMPAT, "by_frame_pointers", "as frame pointers lead, in 32-bit programs"),
  ]

  /// Whether there is nothing to say of it.
  var isPlain: Bool { isComplete && !hasGuesses }
  var isComplete: Bool { UInt32(rawValue) == SWTRACE_END_COMPLETE.rawValue }
  var text: String { Self.texts.first { $0.0.rawValue == UInt32(rawValue) }?.text ?? "for an unknown reason" }
}

/// How complete the user stacks of a run are. Each event that had one is in exactly one of the endings.
package struct StackReport: Equatable, Sendable {
  package var endings: [UInt8: UInt64] = [:]
  /// Events in a process that the kernel was just giving another program, or ending: there was no stack.
  package var betweenPrograms: UInt64 = 0
  /// Those with a stack that were finished in user space.
  package var finished: UInt64 = 0
  /// Those of them with frames whose caller was found by a frame pointer for lack of a rule.
  package var guessed: UInt64 = 0
  /// Those of them in an async function, with and without what awaits it.
  package var async: (awaited: UInt64, alone: UInt64) = (0, 0)

  package var total: UInt64 { endings.values.reduce(0, +) }

  package static func == (left: Self, right: Self) -> Bool {
    left.endings == right.endings && left.finished == right.finished && left.guessed == right.guessed
      && left.betweenPrograms == right.betweenPrograms && left.async == right.async
  }

  /// Those that reached their thread's first function.
  package var complete: UInt64 { endings[UInt8(SWTRACE_END_COMPLETE.rawValue)] ?? 0 }

  /// One line for people.
  package var line: String {
    var parts = ["stacks: \(share(complete)) of \(total) complete"]
    for (ending, _, text) in StackEnding.texts where ending != SWTRACE_END_COMPLETE {
      if let count = endings[UInt8(ending.rawValue)] { parts.append("\(share(count)) end \(text)") }
    }
    if guessed > 0 { parts.append("\(share(guessed)) have guessed frames") }
    if betweenPrograms > 0 { parts.append("\(betweenPrograms) more were between two programs") }
    if async.alone > 0 { parts.append("of \(async.awaited + async.alone) in async functions \(async.alone) without what awaits them") }
    return parts.joined(separator: ", ")
  }

  private func share(_ count: UInt64) -> String {
    let hundredths = total == 0 ? 10_000 : count * 10_000 / total
    return "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10) %"
  }

  /// `{"type":"stacks",…}`.
  package func writeJSON(into out: inout [UInt8]) {
    out.append(contentsOf: "{\"type\":\"stacks\",\"total\":\(total)".utf8)
    for (ending, key, _) in StackEnding.texts { out.append(contentsOf: ",\"\(key)\":\(endings[UInt8(ending.rawValue)] ?? 0)".utf8) }
    out.append(contentsOf: ",\"finished_from_copies\":\(finished),\"guessed\":\(guessed),\"between_programs\":\(betweenPrograms)".utf8)
    out.append(contentsOf: ",\"async\":\(async.awaited + async.alone),\"async_awaited\":\(async.awaited)}\n".utf8)
  }
}

/// Keeps the probes informed of the code of processes, and finishes the walks that they could not.
final class StackWalks {
  private let unwinder: Unwinder
  private let callers: AsyncCallers
  private var hasComplained = false
  /// Why files have no rules, for people; nil where all have.
  var failures: String? {
    guard let first = unwinder.failures.first else { return nil }
    let others = unwinder.failures.count - 1
    return "no rules for stacks in \(first.file): \(first.reason)" + (others > 0 ? ", and so for \(others) more files" : "")
  }
  init(_ unwinder: Unwinder, callers: AsyncCallers) {
    self.unwinder = unwinder
    self.callers = callers
  }

  /// Takes in what has happened to processes that had events. What others map is not shown to the probes: that costs more than a copy of
  /// their first stack.
  func follow(_ symbolizer: inout Symbolizer) {
    let changes = symbolizer.processes.takeChanges()
    // The address space of a new program is known with its first event only.
    for process in changes.gone.union(changes.replaced) {
      unwinder.forget(process)
      replacedCode[process] = nil
    }
    let changed = changes.changed.filter { unwinder.knows($0) }
    guard !changed.isEmpty else { return }
    for process in changed {
      let code = symbolizer.processes.code(of: process)
      attempt { () throws(BPFError) in try unwinder.update(process, code) }
    }
    build()
    let now = Clock.monotonic
    for (process, addresses, since) in changes.replacedCode where unwinder.knows(process) {
      replacedCode[process, default: []].removeAll { $0.until + Self.memoryOfReplacedCode < now }
      replacedCode[process]?.append((addresses, since, now))
      if let count = replacedCode[process]?.count, count > Self.maximumReplacements { replacedCode[process]?.removeFirst(count / 2) }
    }
  }

  /// Where other code took the place of some, and from when to when the probes knew the former.
  private var replacedCode: [ProcessID: [(addresses: Range<UInt64>, since: UInt64, until: UInt64)]] = [:]
  /// In nanoseconds; events do not wait longer for rules.
  private static let memoryOfReplacedCode: UInt64 = 10_000_000_000
  /// All are looked at for each event.
  private static let maximumReplacements = 256

  /// The first frame that was not walked by the rules of its code, but by those of what was there before.
  private func firstMisled(_ frames: [UInt64], _ process: ProcessID, at time: UInt64) -> Int? {
    guard let all = replacedCode[process] else { return nil }
    let places = all.filter { $0.since <= time && time <= $0.until }
    return places.isEmpty ? nil : frames.firstIndex { frame in places.contains { $0.addresses.contains(frame) } }
  }

  /// Makes a process known that had an event, or is expected to.
  ///
  /// - Parameter memory: the address space of its latest program, as the event said; 0 for any.
  func use(_ process: ProcessID, memory: UInt64 = 0, _ symbolizer: borrowing Symbolizer) {
    guard !unwinder.use(process, memory: memory), symbolizer.processes.isAlive(process) else { return }
    let code = symbolizer.processes.code(of: process)
    // Of the kernel's.
    guard !code.isEmpty else { return }
    attempt { () throws(BPFError) in try unwinder.update(process, code, memory: memory) }
  }

  /// Has the rules made that known processes wait for, and shows them to the probes.
  ///
  /// - Parameter all: waits until all are made.
  func build(all: Bool = false) { attempt { () throws(BPFError) in try unwinder.build(all: all) } }

  /// Waits a while for the rules of files, which are made before others from now on.
  func wait(for files: Set<UnwindExecutable.Key>, nanoseconds: UInt64) { unwinder.wait(for: files, nanoseconds: nanoseconds) }

  /// How often rules were made.
  var generation: Int { unwinder.generation }

  /// Whether the rules of a file are still being made.
  func isBuilding(_ file: UnwindExecutable.Key) -> Bool { unwinder.isBuilding(file) }

  private func attempt(_ body: () throws(BPFError) -> Void) {
    do { try body() } catch {
      if !hasComplained { complain("swtrace: \(error); some stacks will be finished from copies, or end early") }
      hasComplained = true
    }
  }

  /// The user part of an event.
  enum Finished {
    /// How many of the last addresses are of awaiting functions, and why those before end.
    case stack([UInt64], asyncFrames: Int, StackEnding)
    /// It needs the rules of this file, which are being made.
    case waits(UnwindExecutable.Key)
  }

  /// Completes the user part of an event.
  ///
  /// - Parameters:
  ///   - user: as the probe found it, with the awaiting functions.
  ///   - rest: what follows the addresses.
  ///   - process: whose program is known to the symbolizer.
  ///   - report: counts it, unless it has to wait.
  ///   - unfinished: what happens where the rules of a file are being made.
  func finish(
    _ event: swtrace_stack_event, _ user: [UInt64], _ rest: RawSpan, _ process: ProcessID, _ program: Int,
    _ symbolizer: borrowing Symbolizer, _ report: inout StackReport, _ unfinished: Unwinder.UnfinishedRules
  ) -> Finished {
    let hasRest = rest.byteCount >= MemoryLayout<swtrace_stack_rest>.size
    let memory = hasRest ? rest.unsafeLoadUnaligned(as: swtrace_stack_rest.self).memory : 0
    if memory != 0, symbolizer.processes.isLatest(program, of: process) {
      use(process, memory: memory, symbolizer)
    } else {
      _ = unwinder.use(process, memory: 0)
    }
    var frames = Array(user.dropLast(Int(event.async_frames)))
    var async = user.suffix(Int(event.async_frames))
    var ending = event.ending
    var isGuessed = event.guessed > 0
    var isAsync = event.async_at != UInt8(SWTRACE_NO_ASYNC)
    if hasRest {
      let code = symbolizer.processes.code(of: process, program: program)
      switch unwinder.finish(rest, code, hasCallees: !frames.isEmpty, unfinished) {
      case .waits(let file): return .waits(file)
      case .ended(let addresses, let reason, let foundAsync, let foundGuessed):
        frames += addresses
        ending = reason
        isAsync = isAsync || foundAsync
        isGuessed = isGuessed || foundGuessed
      }
    }
    let misled = firstMisled(frames, process, at: event.time_ns)
    if let misled, misled + 1 < frames.count {
      frames.removeSubrange((misled + 1)...)
      (async, ending) = ([], UInt8(SWTRACE_END_NO_MAPPING.rawValue))
    }
    // While the kernel replaces a program by another one, or ends it, the registers are still those of the old one.
    if event.is_in_kernel != 0, frames.count <= 1, misled == nil,
      [SWTRACE_END_NO_MAPPING.rawValue, SWTRACE_END_UNREADABLE.rawValue].contains(UInt32(ending))
    {
      report.betweenPrograms += 1
      // The system call's instruction is its own, if its memory is there no more.
      return .stack(UInt32(ending) == SWTRACE_END_NO_MAPPING.rawValue ? [] : frames, asyncFrames: 0, StackEnding(rawValue: ending))
    }
    report.endings[ending, default: 0] += 1
    if rest.byteCount > 0 { report.finished += 1 }
    if isGuessed { report.guessed += 1 }
    if isAsync, callers != .physical { if async.isEmpty { report.async.alone += 1 } else { report.async.awaited += 1 } }
    if !async.isEmpty, callers == .callers { frames.removeSubrange(min(Int(event.async_at) + 1, frames.count)...) }
    return .stack(frames + async, asyncFrames: async.count, StackEnding(rawValue: ending, hasGuesses: isGuessed))
  }
}
