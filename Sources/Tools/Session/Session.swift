internal import ArgumentParser
package import BPF
internal import CProbes
internal import Glibc
package import Linux
internal import SystemPackage

/// What a tool wants to run.
package struct Plan {
  package var image: ProbeImage
  package var hooks: [Hook]
  /// Whether swtrace's own work would be events of the tool, and is left out.
  package var excludesItself = false
  /// Sets the tool's own constants; the programs are those chosen for the hooks.
  package var configure: (inout Probe, _ programs: [String?]) throws(BPFError) -> Void = { _, _ throws(BPFError) in }
  /// Fills maps when the programs are loaded, before any of them runs and before the command starts.
  package var prepare: (borrowing LoadedProbe) throws(BPFError) -> Void = { _ throws(BPFError) in }
  /// Attaches what the tool attaches itself; see `Attachment.attempt`.
  package var attach: (borrowing LoadedProbe, _ programs: [String?], inout Links) throws(BPFError) -> [String] = {
    _, _, _ throws(BPFError) in []
  }
  /// Reads what can be read only while everything is attached, at the end of the trace.
  package var beforeDetaching: (borrowing LoadedProbe, _ programs: [String?]) throws(BPFError) -> Void = { _, _ throws(BPFError) in }
  /// What the tool does, for the progress line: "tracing opens".
  package var activity: String
}

/// One run of a tool, from attaching to the loss report: waits, signals, the traced command, deadlines and intervals.
///
/// The tool asks for one turn after another and drains its ring or reads its maps in between, so that its state stays in its
/// own local values.
package struct Session: ~Copyable {
  package enum Turn: Sendable { case tick, interval, end }

  package var attachment: Attachment
  /// Nil for probes that keep their numbers in maps.
  package var reader: RingBufferReader?
  package let clock = WallClock()

  private let settings: SessionSettings
  private let activity: String
  private let beforeDetaching: (borrowing LoadedProbe, _ programs: [String?]) throws(BPFError) -> Void
  private let poll: EventPoll
  private let signals: EndSignals
  private var command: GatedCommand?
  private var meter: LossMeter
  /// Of the intervals that were closed, and after the end of all.
  package private(set) var total = LossReport()
  private var missedBefore: UInt64 = 0
  private var interval: UInt64?
  private var intervalsLeft: Int?
  private var nextInterval: UInt64
  private let deadline: UInt64
  /// When everything was attached, on the monotonic clock.
  package let startedAt: UInt64
  /// When the trace ended, on the monotonic clock; nil before.
  package private(set) var endedAt: UInt64?
  private var progress: Progress

  /// How often a ring is drained; at 640,000 events of 80 bytes a second this is half a megabyte.
  package static let tick: UInt64 = 10_000_000

  private static let endings: EventPoll.Reasons = [.signal, .child, .outputClosed]

  /// Loads, attaches, and starts the command if there is one.
  package init(
    _ plan: Plan, _ settings: SessionSettings, interval: UInt64? = nil, count: Int? = nil, watching output: borrowing Output,
    endings makeSignals: () throws(SystemError) -> EndSignals = { () throws(SystemError) in try EndSignals() }
  ) throws {
    if let missing = Privileges.current.missing { throw ToolError("swtrace \(settings.tool) \(missing)") }
    if let path = settings.typeInformation, access(path, R_OK) != 0 {
      throw ToolError("\(SystemError("read", "the type information file \(path)", errno: Errno(rawValue: errno)))")
    }
    if let path = settings.typeInformation {
      do {
        let types = try KernelTypes(FilePath(path))
        _ = consume types
      } catch {
        throw ToolError(
          "\(path) is no type information (BTF) of a kernel; it looks like /sys/kernel/btf/vmlinux, from a kernel of this release")
      }
    }
    // Everything that can fail comes first: a noncopyable value cannot be left half made.
    var command: GatedCommand?
    var settings = settings
    if !settings.command.isEmpty {
      let gated = try GatedCommand(settings.command)
      settings.targets = [gated.process.rawValue]
      command = consume gated
    }
    // The command keeps the limit that it was started with.
    DescriptorLimit.raise()
    // A signal while programs are attached ends swtrace at once, and the kernel detaches them.
    let attachment = try Self.attach(plan, settings, follows: command != nil)
    let signals = try makeSignals()
    for remark in settings.remarks + attachment.remarks { complain("swtrace \(settings.tool): \(remark)") }
    let meter = try LossMeter(attachment.probe)
    let reader = try Self.reader(of: attachment.probe)
    let poll = try EventPoll()
    poll.add(signals.descriptor, as: .signal)
    if attachment.probe.has("events") { poll.add(try attachment.probe.descriptor("events"), as: .ring, edge: true) }
    if let descriptor = output.watched { poll.add(descriptor, as: .outputClosed, hangUpOnly: true) }
    var endings = [signals.descriptor]
    if let descriptor = command?.descriptor {
      poll.add(descriptor, as: .child)
      endings.append(descriptor)
    }
    ProgramMemory.releaseCode()
    let startedAt = Clock.monotonic
    let deadline = settings.duration.map { startedAt &+ $0 } ?? .max
    output.limits.begin(endings: endings, deadline: deadline)
    try command?.open()

    self.signals = signals
    self.meter = meter
    self.attachment = attachment
    self.reader = reader
    self.poll = poll
    self.command = command
    self.settings = settings
    self.interval = interval
    activity = plan.activity
    beforeDetaching = plan.beforeDetaching
    intervalsLeft = count
    self.startedAt = startedAt
    self.deadline = deadline
    nextInterval = interval.map { startedAt + $0 } ?? .max
    progress = Progress(now: startedAt)
  }

  private static func reader(of probe: borrowing LoadedProbe) throws(BPFError) -> RingBufferReader? {
    guard probe.has("events") else { return nil }
    return try probe.ringBuffer("events")
  }

  private static func attach(_ plan: Plan, _ settings: SessionSettings, follows: Bool) throws(BPFError) -> Attachment {
    var hooks = plan.hooks
    if follows {
      hooks.append(Hook("the start of processes", ["follow_fork_btf", "follow_fork_raw"]))
      hooks.append(Hook("the end of processes", ["follow_free_btf", "follow_free_raw"]))
    }
    var filter = settings.filter
    // In an inner namespace our own number is that of some other process to the kernel.
    filter.excluded_pid = plan.excludesItself && ProcessNamespace.isInitial ? UInt32(getpid()) : 0
    filter.has_targets = settings.targets.isEmpty ? 0 : 1
    filter.follow_children = follows ? 1 : 0
    let targets = settings.targets
    return try Attachment.attempt(
      plan.image, hooks: hooks, typeInformation: settings.typeInformation.map { FilePath($0) },
      configure: { (probe, programs) throws(BPFError) in
        if probe.has(".rodata.filter") {
          try probe.configure(".rodata.filter", filter)
          // Room for a build's worth of processes that live at once.
          if !targets.isEmpty { try probe.resize("targets", to: max(targets.count, follows ? 8192 : 1)) }
        }
        try plan.configure(&probe, programs)
      },
      prepare: { (probe) throws(BPFError) in
        if !targets.isEmpty {
          let map: ProbeMap<UInt32, UInt8> = try probe.map("targets")
          for target in targets { try map.set(target, 1) }
        }
        try plan.prepare(probe)
      },
      attach: plan.attach)
  }

  /// Can be waited for, until `next` has something to do.
  package var descriptor: CInt { poll.rawValue }

  /// Waits until there is something to do.
  ///
  /// - Parameters:
  ///   - output: where the tool writes; when its reader is gone, the run ends, and while it grows, no progress is shown.
  ///   - patience: how long it waits at most, for tools with a ring.
  /// - Returns: `.end` once, with everything detached: drain what is left. Then nil.
  package mutating func next(_ output: borrowing Output, patience: UInt64 = Self.tick) -> Turn? {
    guard endedAt == nil else { return nil }
    if output.isClosed { return end(output) }
    while true {
      let now = Clock.monotonic
      if now >= deadline { return end(output) }
      if now >= nextInterval {
        // Intervals shorter than their printing would otherwise leave no time to notice the end.
        if !poll.wait(nanoseconds: 0).isDisjoint(with: Self.endings) { return end(output) }
        nextInterval += interval ?? 0
        if nextInterval < now { nextInterval = now }
        if let left = intervalsLeft {
          intervalsLeft = left - 1
          if left <= 1 { return end(output) }
        }
        return .interval
      }
      progress.update(now: now, written: output.written, activity: activity, tool: settings.tool, start: startedAt)
      var until = min(deadline, nextInterval)
      if reader != nil { until = min(until, now + patience) }
      if progress.isTerminal { until = min(until, now + 1_000_000_000) }
      let reasons = poll.wait(nanoseconds: min(until - now, 3_600_000_000_000))
      if !reasons.isDisjoint(with: Self.endings) { return end(output) }
      if reader != nil { return .tick }
    }
  }

  private mutating func end(_ output: borrowing Output) -> Turn {
    endedAt = Clock.monotonic
    progress.clear()
    // Who asked for the end does not wait long for a reader that sleeps.
    output.limits.end(patience: signals.release() ? 1_000_000_000 : nil)
    do { try beforeDetaching(attachment.probe, attachment.chosen) } catch { complain("swtrace \(settings.tool): \(error)") }
    attachment.links.detach()
    // Probes that still run finish their events now, so that the last drain finds all of them.
    KernelBarrier.waitForPrograms()
    total += meter.settle()
    return .end
  }

  /// Closes the interval that has ended: its counts, and the copy that holds its data in maps that are kept twice.
  package mutating func closeInterval() throws(BPFError) -> (LossReport, copy: UInt32) {
    let (report, copy) = try meter.close()
    total += report
    return (report, copy)
  }

  /// Removes the progress line before something else is printed to the terminal.
  package mutating func clearProgress() { progress.clear() }

  /// The counts of the whole run. Call it after the last drain.
  ///
  /// - Parameters:
  ///   - read: the events that were read, where not every record is one.
  ///   - unwanted: events that were read and then left out by the tool.
  package mutating func finish(read events: UInt64? = nil, unwanted: UInt64 = 0) throws(BPFError) -> LossReport {
    total += meter.settle()
    let missed = missed
    let throttled = throttled
    total.lost[.missed] = missed
    total.lost[.throttled] = throttled
    total.seen += missed + throttled
    total.lacking = attachment.remarks
    if let read = events ?? reader?.delivered, read < total.delivered {
      total.lost[.unread] = total.delivered - read
      total.delivered = read
    }
    total.delivered -= unwanted
    total.filtered += unwanted
    return total
  }

  /// Events for which the kernel did not run a program, since the beginning.
  package var missed: UInt64 { attachment.probe.statistics().reduce(attachment.links.missed) { $0 + $1.missed } }

  /// Samples that were due while the kernel had stopped their clock, since the beginning.
  package var throttled: UInt64 { attachment.links.throttled }

  /// Events that were lost since the beginning, by the reason; of intervals that were closed.
  package var losses: [LossReport.Reason: UInt64] {
    var losses = total.lost
    losses[.missed] = missed
    losses[.throttled] = throttled
    return losses
  }

  /// How long events have been taken in, in nanoseconds; what comes after the end of the run does not count.
  package var elapsed: UInt64 { (endedAt ?? Clock.monotonic) - startedAt }

  /// Writes the rest, prints the losses if there are any or if asked, and ends the command.
  ///
  /// - Parameters:
  ///   - format: JSON gets its summary record.
  ///   - always: whether the report is printed in any case.
  /// - Throws: the command's exit code, if it is to be passed on; a failure to write.
  package mutating func conclude(_ report: LossReport, _ output: inout Output, _ format: OutputFormat, always: Bool = false) throws {
    progress.clear()
    if format == .json { report.writeJSON(into: &output.buffer, durationNanoseconds: elapsed) }
    try output.commit()
    let notable = [.unfollowed, .unreturned, .unfinished].reduce(0) { $0 + (report.remarks[$1] ?? 0) }
    let isNotable = report.totalLost > 0 || !report.isExact || notable > 0
    // Who closed the output knows that the rest is missing.
    if settings.stats || !output.isClosed && (isNotable || always) {
      complain("swtrace \(settings.tool): \(report.line)")
    }
    if settings.stats {
      complain("swtrace \(settings.tool): programs: \(attachment.chosen.compactMap(\.self).joined(separator: ", "))")
      complain("swtrace \(settings.tool): kernel memory of maps: \(attachment.probe.mapMemory() / 1024) KiB")
    }
    guard let (status, wasKilled) = command?.end() else { return }
    if wasKilled { complain("swtrace \(settings.tool): \(settings.command[0]) did not end when asked to (SIGTERM), and was killed") }
    if settings.propagatesExit, status != 0 { throw ExitCode(status) }
  }
}

/// One line on a terminal's standard error for runs that say nothing else.
struct Progress {
  let isTerminal = isatty(2) != 0
  private(set) var isShown = false
  private var lastWritten: UInt64 = 0
  private var quietSince: UInt64
  private var lastShown: UInt64 = 0

  init(now: UInt64) { quietSince = now }

  mutating func update(now: UInt64, written: UInt64, activity: String, tool: String, start: UInt64) {
    guard isTerminal else { return }
    if written != lastWritten {
      lastWritten = written
      quietSince = now
      clear()
    }
    guard now - quietSince >= 1_000_000_000, now - lastShown >= 1_000_000_000 else { return }
    lastShown = now
    isShown = true
    let text = Array("\r\u{1b}[K\(activity), \((now - start) / 1_000_000_000) s; Ctrl-C ends".utf8)
    _ = text.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  }

  mutating func clear() {
    guard isShown else { return }
    isShown = false
    let text = Array("\r\u{1b}[K".utf8)
    _ = text.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  }
}
