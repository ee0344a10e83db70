package import ArgumentParser
package import BPF
internal import CProbes
internal import DebugInfo
internal import Formats
internal import Glibc
internal import Linux
package import Profiles
package import Symbolication
internal import Unwinding

/// What tools that sample stacks have in common on the command line. Declared before the session: its time is positional.
package struct StackOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("The same as --duration.", valueName: "duration"))
  package var time: TimeSpan?
  @Flag(name: [.customShort("U"), .long, .customLong("user-only")], help: "User stacks only.") package var userStacksOnly = false
  @Flag(name: [.customShort("K"), .long, .customLong("kernel-only")], help: "Kernel stacks only.") package var kernelStacksOnly = false
  @Flag(name: [.customShort("f"), .long], help: "The same as --format folded.") package var folded = false
  @Flag(name: [.customShort("d"), .long], help: "Mark where the kernel's frames begin.") package var delimited = false
  @Flag(inversion: .prefixedNo, help: "Show calls that the compiler merged into their callers.") package var inline = true
  @Flag(help: "Show the source line with each function.") package var lines = false
  @Flag(help: "Show Swift names with their types and what the compiler made of them.") package var fullNames = false
  @Flag(help: "Show a function that calls itself once.") package var collapseRecursion = false
  @Flag(name: [.customShort("A"), .long, .customLong("addresses")], help: "Show addresses as module and offset, without names.")
  package var noSymbols = false
  @Flag(name: [.customShort("s"), .long], help: "Show the kernel's functions with the offset in them: vfs_read+0xa9.")
  package var offsets = false
  @Flag(help: "Ask the servers in DEBUGINFOD_URLS for debug files.") package var debuginfod = false
  @Flag(
    name: [.customShort("a"), .long, .customLong("annotations")],
    help: "Mark the kernel's frames with _[k], inlined ones with _[i], in folded output.")
  package var annotate = false
  @Option(help: ArgumentHelp("Walk user stacks by dwarf rules or by fp, frame pointers.", valueName: "method"))
  package var unwind = UnwindMethod.auto
  @Option(help: ArgumentHelp("Memory of the kernel for the rules of code.", valueName: "MB")) package var unwindMemory = 64
  @Option(help: ArgumentHelp("Of async functions show the callers that await them, the physical ones, or both.", valueName: "which"))
  package var async = AsyncCallers.callers
  @Flag(help: "Tell Swift tasks apart: a frame, and a label of json and pprof, with the task's number.") package var tasks = false
  @Flag(help: "Show as a frame why a user stack ends too early, or that callers in it are guessed.") package var endings = false
  @Option(help: ArgumentHelp("Print so many of the hottest functions as well; rows of table.", valueName: "count")) package var summary:
    Int?

  // Of BCC: accepted so that command lines written for it run.
  @Option(help: .hidden) var stackStorageSize: Int?
  @Option(help: .hidden) var perfMaxStackDepth: Int?

  package init() {}

  /// What of the given options does nothing, and why.
  var remarks: [String] {
    [
      tasks && unwind == .fp ? "--tasks has no effect with --unwind fp: the rules lead to the runtime's variables" : nil,
      stackStorageSize.map { _ in "--stack-storage-size has no effect: stacks are streamed, none is left out for lack of storage" },
      perfMaxStackDepth.map { _ in "--perf-max-stack-depth has no effect: stacks have up to \(SWTRACE_STACK_DEPTH) frames of each kind" },
    ].compactMap(\.self)
  }

  /// What of the addresses is looked up.
  package func symbols() throws -> Symbolizer.Options {
    var options = Symbolizer.Options()
    do { options.servers = debuginfod ? try DebugInformationServers() : nil } catch { throw ToolError("\(error)") }
    options.expandsInlined = inline
    options.hasFullNames = fullNames
    options.namesAddresses = !noSymbols
    options.hasKernelOffsets = offsets
    return options
  }

  /// The programs of a hook that takes user stacks: those that walk them by rules and those that follow frame pointers, best first.
  func variants(byRules: [Hook.Variant], byFramePointers: [Hook.Variant]) -> [Hook.Variant] {
    switch unwind {
    // In a pid namespace of its own, nothing is known of the code of processes.
    case _ where kernelStacksOnly || !ProcessNamespace.isInitial: return byFramePointers
    case .dwarf: return byRules
    case .fp: return byFramePointers
    case .auto:
      return byRules
        + byFramePointers.map {
          .init(
            $0.program, lacking: ([$0.lacking] + ["stacks of code without frame pointers"]).compactMap(\.self).joined(separator: ", "),
            with: $0.companions)
        }
    }
  }

  /// Whether programs were chosen that walk by rules.
  static func areByRules(_ programs: [String?]) -> Bool { programs.contains { $0?.hasSuffix("_rules") ?? false } }

  package mutating func validate() throws {
    if !(2...4096).contains(unwindMemory) { throw ValidationError("--unwind-memory is 2 to 4096 MB") }
    if userStacksOnly, kernelStacksOnly { throw ValidationError("-U and -K exclude each other") }
    if let summary, summary < 1 { throw ValidationError("--summary needs a count of at least 1") }
  }
}

/// A tool whose events are stacks: it prints once, at the end.
package protocol StackTool: Tool {
  var stacks: StackOptions { get }
  /// The unit of the probe's values.
  var unit: Profile.Unit { get }
  /// The unit of the output other than JSON, and how many of the probe's it holds.
  var shownUnit: (Profile.Unit, divisor: UInt64) { get }
  /// Whether user stacks come later than their events.
  static var hasLateUserStacks: Bool { get }
  /// What to say under a picture besides the command line.
  var details: [String] { get }
  /// Nanoseconds between samples that a clock takes; 0 where events are measured.
  var period: UInt64 { get }
  /// What pprof files call the values.
  var measure: String? { get }
  /// What they call the events.
  var events: String { get }
  /// Which waits that are on at the end count as well; nil for tools that count none. Their probe has `report_blocked` and `starts`.
  var unfinishedWaits: ClosedRange<UInt64>? { get }
  /// How many waits are taken in a second, about, where not all are. Their probe takes periods (wait.bpf.h).
  var samples: UInt64? { get }
  /// Whether only those events count whose functions take a lock.
  var locksOnly: Bool { get }
  /// Whether swtrace's own work would be events of the tool, and is left out.
  static var excludesItself: Bool { get }
  /// Sets what can be set while programs are attached; false where a change needs them attached anew.
  func adjust(_ probe: borrowing LoadedProbe) throws(BPFError) -> Bool
  /// Attaches to what has come since the last time; returns what people should know.
  func follow(_ probe: borrowing LoadedProbe, _ links: inout Links) throws(BPFError) -> [String]
}

extension StackTool {
  package static var formats: [OutputFormat] { [.stacks, .table, .folded, .json, .csv, .svg, .html, .pprof, .speedscope, .firefox] }
  package static var hasLateUserStacks: Bool { false }
  package var shownUnit: (Profile.Unit, divisor: UInt64) { (unit, 1) }
  package var details: [String] { [] }
  package var period: UInt64 { 0 }
  package var measure: String? { nil }
  package var events: String { "samples" }
  package var unfinishedWaits: ClosedRange<UInt64>? { nil }
  package var samples: UInt64? { nil }
  package var locksOnly: Bool { false }
  package static var excludesItself: Bool { false }
  package func adjust(_ probe: borrowing LoadedProbe) throws(BPFError) -> Bool { false }
  package func follow(_ probe: borrowing LoadedProbe, _ links: inout Links) throws(BPFError) -> [String] { [] }

  package mutating func run() throws {
    try prepare()
    var settings = try session.settings(tool: Self.name)
    if let time = stacks.time {
      guard settings.duration == nil else { throw ToolError("the duration is given twice") }
      settings.duration = time.nanoseconds
    }
    if stacks.folded, settings.format == nil { settings.format = .folded }
    for remark in stacks.remarks { complain("swtrace \(Self.name): \(remark)") }
    let symbolOptions = try stacks.symbols()
    let destinations = try settings.destinations()
    for (path, format) in destinations { try ProfileOutput.ensureReadable(format, path: path) }
    let tool = self
    // Opened now: a folder that cannot be written should not be found out about after a minute of sampling.
    let files = destinations.map(\.path)
    for path in files { if let path { try Output.ensureWritable(path) } }
    var output = try Output(path: nil)
    output.isUsed = stacks.summary != nil || files.contains(nil)
    var run = try StackRun(tool, settings, StackProcesses(of: settings.tool, symbolOptions), watching: output)
    run.aggregator.keepsMoments = destinations.contains { $0.format == .html }
    let startedAt = Clock.realtime
    var nextLook = Clock.monotonic + Self.lookPeriod
    while let turn = run.next(output) {
      guard turn != .end, Clock.monotonic >= nextLook else { continue }
      for remark in try run.follow(tool) { complain("swtrace \(settings.tool): \(remark)") }
      nextLook = Clock.monotonic + Self.lookPeriod
    }
    run.aggregator.finishWalks()
    let elapsed = run.session.elapsed
    let unfinished = try addUnfinished(to: &run)
    let (areWalked, failures) = run.aggregator.shared.endWalks()
    var measured = run.aggregator.profile(unit: unit, delimited: stacks.delimited, locksOnly: locksOnly)
    if stacks.collapseRecursion { measured = measured.mappingStacks { $0.collapsingRecursion() } }
    var report = try run.session.finish(read: run.aggregator.count - unfinished.delivered)
    report += unfinished
    report.delivered -= run.aggregator.others
    report.filtered += run.aggregator.others
    if run.aggregator.overflow > 0 {
      report.lost[.mapFull, default: 0] += run.aggregator.overflow
      report.delivered -= min(report.delivered, run.aggregator.overflow)
    }
    report.remarks[.missingUserStack, default: 0] += run.aggregator.withoutUserStack
    // JSON has files and lines by themselves.
    let named = stacks.lines ? measured.mappingStacks { $0.namingLines() } : measured
    let profile = shownUnit.divisor == 1 ? named : named.converted(to: shownUnit.0, dividingBy: shownUnit.divisor)
    let symbols = run.aggregator.symbolizer.report
    let title = CommandLine.arguments.joined(separator: " ")
    let options = FlameGraph.Options(
      title: title.hasPrefix("swtrace") ? title : "swtrace \(CommandLine.arguments.dropFirst().joined(separator: " "))",
      details: details + ["\(elapsed / 1_000_000_000).\(elapsed / 100_000_000 % 10) s", report.line])
    var recording = Recording()
    (recording.title, recording.comments) = (options.title, [options.title] + options.details)
    (recording.startedAt, recording.duration) = (startedAt, elapsed)
    (recording.period, recording.measure, recording.events) = (period, measure, events)
    recording.modules = run.aggregator.symbolizer.modules.mapValues { Recording.Module(path: $0.path, buildID: $0.buildID) }
    /// People get the shown unit, programs the one that was measured; a page finds a fitting one for each value.
    func write(_ format: OutputFormat, into out: inout [UInt8]) {
      let isForPrograms = [.json, .pprof, .speedscope, .firefox].contains(format)
      ProfileOutput.write(
        isForPrograms ? measured : format == .html ? named : profile, as: format, recording, options, annotate: stacks.annotate,
        rows: stacks.summary ?? FunctionTable.usualLimit, into: &out)
      if format == .json {
        if areWalked { run.aggregator.walked.writeJSON(into: &out) }
        symbols.writeJSON(into: &out)
      }
    }
    for (path, format) in destinations {
      guard let path else {
        write(format, into: &output.buffer)
        continue
      }
      var file = try Output(path: path)
      write(format, into: &file.buffer)
      if format == .json { report.writeJSON(into: &file.buffer, durationNanoseconds: elapsed) }
      try file.commit()
      complain("swtrace \(settings.tool): wrote \(path)")
    }
    let toStandardOutput = destinations.first { $0.path == nil }?.format
    if let count = stacks.summary, toStandardOutput != .table { FunctionTable.write(profile, limit: count, into: &output.buffer) }
    if run.aggregator.walked.total > 0 { complain("swtrace \(settings.tool): \(run.aggregator.walked.line)") }
    if let failures { complain("swtrace \(settings.tool): \(failures)") }
    if symbols.total > 0 { complain("swtrace \(settings.tool): \(symbols.line)") }
    try run.session.conclude(report, &output, toStandardOutput ?? .stacks, always: stacks.summary != nil)
  }
}

extension StackTool {
  /// How often a tool that looks for files does so, in nanoseconds.
  private static var lookPeriod: UInt64 { 1_000_000_000 }

  /// Adds the waits that are on at the end of the trace.
  ///
  /// - Returns: what became of them.
  private func addUnfinished(to run: inout StackRun) throws -> LossReport {
    var report = LossReport()
    guard let limits = unfinishedWaits, let end = run.session.endedAt else { return report }
    var total: UInt64 = 0
    // What began after the end is not part of the trace.
    for task in run.blocked where task.event.time_ns < end {
      guard try task.isStillOn(run.session.attachment.probe) else { continue }
      let waited = end - max(task.event.time_ns, run.session.startedAt)
      report.seen += 1
      guard limits.contains(waited) else {
        report.filtered += 1
        continue
      }
      run.aggregator.add(task, waited: waited, now: end)
      report.delivered += 1
      report.remarks[.stillBlocked, default: 0] += 1
      if task.event.kernel_frames < 0 { report.remarks[.missingKernelStack, default: 0] += 1 }
      total &+= waited
    }
    if report.delivered > 0 {
      let seconds = "\(total / 1_000_000_000).\(total / 100_000_000 % 10) s"
      complain("swtrace \(Self.name): \(report.delivered) still blocked at the end, for \(seconds) together")
    }
    return report
  }
}

extension SymbolizationReport {
  /// `{"type":"symbols",…}`: how many addresses have a name, why others have none, and how many records of processes were lost.
  func writeJSON(into out: inout [UInt8]) {
    out.append(contentsOf: "{\"type\":\"symbols\",\"named\":\(named),\"with_line\":\(withLine),\"unknown\":{".utf8)
    for (index, reason) in Symbolized.Reason.allCases.enumerated() {
      if index > 0 { out.append(0x2c) }
      out.append(jsonString: Array(reason.rawValue.map { $0 == " " ? "_" : $0 }.reduce(into: "") { $0.append($1) }.utf8))
      out.append(contentsOf: ":\(unknown[reason] ?? 0)".utf8)
    }
    out.append(contentsOf: "},\"lost_records\":\(lostRecords)}\n".utf8)
  }
}
