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

/// Why a user stack ends where it does (enum swtrace_unwind_ending).
package struct StackEnding: Hashable, Sendable {
  let rawValue: UInt8

  /// For people, the most usual first.
  static let texts: [(swtrace_unwind_ending, key: String, text: String)] = [
    (SWTRACE_END_COMPLETE, "complete", "complete"),
    (SWTRACE_END_TOO_DEEP, "too_deep", "deeper than \(SWTRACE_UNWIND_DEPTH) frames"),
    (SWTRACE_END_NO_PROCESS, "no_process", "of a process not known yet"),
    (SWTRACE_END_NO_MAPPING, "no_mapping", "at an address that is not mapped"),
    (SWTRACE_END_NO_TABLE, "no_table", "without room for their rules"),
    (SWTRACE_END_GAP, "no_rule", "in code without rules"),
    (SWTRACE_END_UNSUPPORTED, "unsupported_rule", "in code with strange rules"),
    (SWTRACE_END_UNREADABLE, "unreadable", "in memory that could not be read"),
    (SWTRACE_END_CUT, "cut", "where a copy of the stack ended"),
    (SWTRACE_END_COMPAT, "by_frame_pointers", "as frame pointers lead, in 32-bit programs"),
  ]

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

  /// One line for people.
  package var line: String {
    let complete = endings[UInt8(SWTRACE_END_COMPLETE.rawValue)] ?? 0
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
  private(set) var report = StackReport()
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
    let changes = symbolizer.takeChanges()
    for process in changes.gone { unwinder.forget(process) }
    let changed = changes.changed.filter { unwinder.knows($0) }
    guard !changed.isEmpty else { return }
    let code = changed.map { ($0, symbolizer.code(of: $0)) }
    attempt { () throws(BPFError) in for (process, code) in code { try unwinder.update(process, code) } }
    build()
  }

  /// Makes a process known that had an event, or is expected to.
  func use(_ process: ProcessID, _ symbolizer: borrowing Symbolizer) {
    guard !unwinder.use(process) else { return }
    let code = symbolizer.code(of: process)
    // Of the kernel's, or gone.
    guard !code.isEmpty else { return }
    attempt { () throws(BPFError) in try unwinder.update(process, code) }
  }

  /// Has the rules made that known processes wait for, and shows them to the probes; whether some were made since the last time.
  ///
  /// - Parameter all: waits until all are made.
  @discardableResult
  func build(all: Bool = false) -> Bool {
    var isNew = false
    attempt { () throws(BPFError) in isNew = try unwinder.build(all: all) }
    return isNew
  }

  private func attempt(_ body: () throws(BPFError) -> Void) {
    do { try body() } catch {
      if !hasComplained { complain("swtrace: \(error); some stacks will be finished from copies, or end early") }
      hasComplained = true
    }
  }

  /// The user part of an event, and how many of the last addresses are of awaiting functions.
  ///
  /// - Parameters:
  ///   - user: as the probe found it, with the awaiting functions.
  ///   - rest: what follows the addresses.
  ///   - process: whose program is known to the symbolizer.
  ///   - canWait: whether to give nil where rules are being made that it needs.
  func finish(
    _ event: swtrace_stack_event, _ user: [UInt64], _ rest: RawSpan, _ process: ProcessID, _ program: Int,
    _ symbolizer: borrowing Symbolizer, canWait: Bool
  ) -> (user: [UInt64], asyncFrames: Int, ending: StackEnding)? {
    use(process, symbolizer)
    var frames = Array(user.dropLast(Int(event.async_frames)))
    var async = user.suffix(Int(event.async_frames))
    var ending = event.ending
    var isGuessed = event.guessed > 0
    var isAsync = event.async_at != UInt8(SWTRACE_NO_ASYNC)
    if rest.byteCount >= MemoryLayout<swtrace_stack_rest>.size {
      let code = symbolizer.code(of: process, program: program)
      guard let more = unwinder.finish(rest, code, hasCallees: !frames.isEmpty, canWait: canWait) else { return nil }
      frames += more.addresses
      ending = more.ending
      isAsync = isAsync || more.isAsync
      isGuessed = isGuessed || more.guessed > 0
    }
    // While the kernel replaces a program by another one, or ends it, the registers are still those of the old one.
    if event.is_in_kernel != 0, frames.count <= 1,
      [SWTRACE_END_NO_MAPPING.rawValue, SWTRACE_END_UNREADABLE.rawValue].contains(UInt32(ending))
    {
      report.betweenPrograms += 1
      // The system call's instruction is its own, if its memory is there no more.
      return (UInt32(ending) == SWTRACE_END_NO_MAPPING.rawValue ? [] : frames, 0, StackEnding(rawValue: ending))
    }
    report.endings[ending, default: 0] += 1
    if rest.byteCount > 0 { report.finished += 1 }
    if isGuessed { report.guessed += 1 }
    if isAsync { if async.isEmpty { report.async.alone += 1 } else { report.async.awaited += 1 } }
    if !async.isEmpty {
      switch callers {
      case .callers: frames.removeSubrange(min(Int(event.async_at) + 1, frames.count)...)
      case .physical: async = []
      case .both: break
      }
    }
    return (frames + async, async.count, StackEnding(rawValue: ending))
  }
}
