internal import BPF
internal import CProbes
internal import Glibc
package import Linux
package import Profiles
package import Symbolication
internal import Unwinding

/// A probe whose events are stacks, attached, and what it has delivered: until the end of a tool's run, or for windows without an end.
package struct StackRun: ~Copyable {
  package var session: Session
  package var aggregator: StackAggregator
  /// What is read while everything is attached, at the end.
  private final class Ending { var blocked: [BlockedTask] = [] }
  private let ending: Ending
  /// What `takeCounts` has told.
  private var counted: (delivered: UInt64, lost: UInt64) = (0, 0)

  /// The tasks that were blocked when the trace ended, for tools that count their waits.
  var blocked: [BlockedTask] { ending.blocked }

  /// Loads and attaches.
  ///
  /// - Parameter endings: what ends the run; by default the signals that end programs.
  package init(
    _ tool: some StackTool, _ settings: SessionSettings, _ symbols: Symbolizer.Options, watching output: borrowing Output,
    endings: () throws(SystemError) -> EndSignals = { () throws(SystemError) in try EndSignals() }
  ) throws {
    // Before the first event, so that no program's start is missed.
    var records: ProcessRecordReader?
    if !ProcessNamespace.isInitial {
      complain(
        "swtrace \(settings.tool): functions of processes have no names in a pid namespace of its own; run it in the host's "
          + "(docker run --pid=host)")
    } else {
      do { records = try ProcessRecordReader() } catch {
        complain("swtrace \(settings.tool): \(error); programs that run for a moment only will lack names")
      }
    }
    var aggregator = StackAggregator(symbols, records: records, openFiles: DescriptorLimit.maximum / 2)
    aggregator.takesUserStacksFromCalls = type(of: tool).hasLateUserStacks
    aggregator.showsEndings = tool.stacks.endings
    var isByRules = false
    let ending = Ending()
    session = try Session(
      Plan(
        image: .named(type(of: tool).probe), hooks: tool.hooks,
        configure: { (probe, programs) throws(BPFError) in
          try probe.configure(
            ".rodata.stack",
            swtrace_stack_config(
              kernel: tool.stacks.userStacksOnly ? 0 : 1, user: tool.stacks.kernelStacksOnly ? 0 : 1,
              async: tool.stacks.async == .physical ? 0 : 1, tasks: tool.stacks.tasks ? 1 : 0, reserved: (0, 0, 0, 0)))
          isByRules = StackOptions.areByRules(programs)
          if isByRules {
            // Copies of stacks are 16 KiB each.
            try probe.resize("events", to: 1 << 21)
          } else {
            for map in ["unwind_processes", "unwind_pool", "unwind_index", "unwind_rules"] { try probe.leaveOut(map) }
          }
          try tool.configure(&probe, programs)
        },
        prepare: { (probe) throws(BPFError) in
          aggregator.walks =
            isByRules ? StackWalks(try Unwinder(probe, limit: tool.stacks.unwindMemory << 20), callers: tool.stacks.async) : nil
          for process in settings.processes { aggregator.expect(ProcessID(process)) }
        },
        attach: { (probe, programs, links) throws(BPFError) in try tool.attach(probe, programs, &links) },
        beforeDetaching: { (probe, programs) throws(BPFError) in
          if tool.unfinishedWaits != nil, programs.contains("report_blocked") {
            ending.blocked = try BlockedTask.all(of: probe, byRules: isByRules)
          }
        }, activity: type(of: tool).activity),
      settings, watching: output, endings: endings)
    self.aggregator = aggregator
    self.ending = ending
    self.aggregator.followProcesses()
  }

  /// Waits for events and takes them in.
  ///
  /// - Returns: `.end` once, when everything is detached and taken in; then nil.
  package mutating func next(_ output: borrowing Output) -> Session.Turn? {
    guard let turn = session.next(output) else { return nil }
    let now = Clock.monotonic
    aggregator.followProcesses()
    Self.drain(&session, into: &aggregator)
    aggregator.showRules()
    aggregator.forgetIdle(before: now)
    return turn
  }

  /// Events delivered and lost since the last time.
  package mutating func takeCounts() throws -> (delivered: UInt64, lost: UInt64) {
    if session.endedAt == nil { _ = try session.closeInterval() }
    let overflow = aggregator.overflow
    let delivered = session.total.delivered - min(session.total.delivered, overflow)
    let lost = session.total.totalLost + session.missed + overflow
    // A stack may turn out to be one too many after its event was told as delivered.
    defer { counted = (max(delivered, counted.delivered), lost) }
    return (delivered - min(delivered, counted.delivered), lost - min(lost, counted.lost))
  }

  /// How complete the stacks and their names have been since the beginning, and what they cost.
  package var quality: Quality {
    let (stacks, names) = (aggregator.walks?.report, aggregator.symbolizer.report)
    return Quality(
      stacks: stacks?.total ?? 0, wholeStacks: stacks?.complete ?? 0, frames: UInt64(names.total), namedFrames: UInt64(names.named),
      programTime: session.attachment.probe.statistics().reduce(0) { $0 + $1.runTime },
      mapMemory: UInt64(session.attachment.probe.mapMemory()))
  }

  /// Counts since a run began.
  package struct Quality: Equatable, Sendable {
    /// User stacks that were walked by rules, and those of them that reached their thread's first function.
    package var stacks: UInt64
    package var wholeStacks: UInt64
    /// Addresses that were looked up, and those of them that have a name.
    package var frames: UInt64
    package var namedFrames: UInt64
    /// Of the probe's programs, in nanoseconds, while BPF statistics are enabled.
    package var programTime: UInt64
    /// Of the kernel, in bytes.
    package var mapMemory: UInt64
  }

  /// What has come since the last window, with names; see `StackAggregator.takeWindow`.
  package mutating func takeWindow(unit: Profile.Unit, since start: UInt64) -> Profile {
    Self.takeWindow(&session, &aggregator, unit, start)
  }

  private static func takeWindow(
    _ session: inout Session, _ aggregator: inout StackAggregator, _ unit: Profile.Unit, _ start: UInt64
  ) -> Profile {
    aggregator.takeWindow(unit: unit, since: start) { aggregator in
      aggregator.followProcesses()
      drain(&session, into: &aggregator)
      aggregator.showRules()
    }
  }

  /// Of its own: a closure in a method would have all of `self`.
  private static func drain(_ session: inout Session, into aggregator: inout StackAggregator) {
    session.reader?.drain { record in aggregator.add(record) }
  }
}
