internal import ArgumentParser
package import BPF
internal import CProbes
internal import Linux
package import Profiles

/// How long waits have to be that count.
package struct BlockTimeOptions: ParsableArguments {
  @Option(
    name: [.customShort("m"), .customLong("min-block-time")], help: ArgumentHelp("Only waits of at least so many us.", valueName: "us"))
  private var minimum: UInt64 = 1
  @Option(
    name: [.customShort("M"), .customLong("max-block-time")], help: ArgumentHelp("Only waits of at most so many us.", valueName: "us"))
  private var maximum: UInt64?

  package init() {}

  package mutating func validate() throws {
    if let maximum, maximum < minimum { throw ValidationError("the maximum is less than the minimum") }
    guard max(minimum, maximum ?? 0) < 1 << 50 else { throw ValidationError("a block time of 35 years is not supported") }
  }

  /// In ns.
  var minimumNanoseconds: UInt64 { minimum * 1_000 }
  /// In ns; 0 for no limit.
  var maximumNanoseconds: UInt64 { (maximum ?? 0) * 1_000 }
  var range: ClosedRange<UInt64> { minimumNanoseconds...(maximum == nil ? .max : maximumNanoseconds) }
}

/// Which waits count.
package struct WaitOptions: ParsableArguments {
  @OptionGroup var times: BlockTimeOptions
  @Flag(name: [.customShort("u"), .long], help: "Only user threads.") var userThreadsOnly = false
  @Flag(name: [.customShort("k"), .long], help: "Only kernel threads.") var kernelThreadsOnly = false
  @Option(help: ArgumentHelp("Only waits in these states: 1 interruptible, 2 uninterruptible; bits of task->__state.", valueName: "bits"))
  var state: UInt64?
  @Flag(help: "Only waits that begin and end within the trace.") var wholeWaitsOnly = false
  @Flag(help: "Only whole waits for locks, by the functions that take them: mutexes and read-write locks, but no condition variables.")
  var locks = false
  /// In us. Of the agent, which finds the locks among the waits itself.
  @Option(help: .hidden) var andLocksFrom: UInt64?
  @Option(
    help: ArgumentHelp(
      "Take about so many waits a second, longer ones rather than short ones, each for its like: the sums stay true in the mean.",
      valueName: "n"))
  var samples: UInt64?

  package init() {}

  fileprivate var profiles: offcputime_profile {
    locks
      ? OFFCPUTIME_LOCKS
      : andLocksFrom == nil ? OFFCPUTIME_WAITS : offcputime_profile(OFFCPUTIME_WAITS.rawValue | OFFCPUTIME_LOCKS.rawValue)
  }

  /// Of the programs of a hook those that can tell what is asked for: only a typed task leads to its system call.
  func fitting(_ variants: [Hook.Variant]) -> [Hook.Variant] {
    profiles == OFFCPUTIME_WAITS ? variants : variants.filter { !$0.program.contains("_raw") }
  }

  package mutating func validate() throws {
    if userThreadsOnly, kernelThreadsOnly { throw ValidationError("-u and -k exclude each other") }
    if let andLocksFrom, andLocksFrom >= 1 << 50 { throw ValidationError("a block time of 35 years is not supported") }
    if let samples, !(1...1_000_000).contains(samples) { throw ValidationError("--samples is 1 to 1000000 a second") }
    if state == 0 { throw ValidationError("state 0 is running; off-CPU time is of the others") }
  }
}

/// A tool that measures how long tasks are blocked.
package protocol WaitTool: StackTool {
  var waits: WaitOptions { get }
}

extension WaitTool {
  package static var probe: String { "offcputime" }
  package static var hasLateUserStacks: Bool { true }
  package var unit: Profile.Unit { .nanoseconds }
  package var shownUnit: (Profile.Unit, divisor: UInt64) { (.microseconds, 1_000) }
  package var samples: UInt64? { waits.samples }
  package var locksOnly: Bool { waits.locks }

  package mutating func prepare() throws {
    guard waits.locks, stacks.kernelStacksOnly || stacks.noSymbols || waits.kernelThreadsOnly else { return }
    throw ToolError("--locks finds locks by the names of functions: it needs user stacks with names, without -K, -A and -k")
  }
  package var unfinishedWaits: ClosedRange<UInt64>? {
    waits.wholeWaitsOnly || waits.locks ? nil : waits.times.range
  }

  /// What user stacks and waits that are not whole need.
  package var hooksOfStacks: [Hook] {
    var hooks: [Hook] = []
    if !stacks.kernelStacksOnly {
      hooks.append(
        Hook(
          "the end of system calls",
          stacks.variants(byRules: ["exit_btf_rules", "exit_raw_rules"], byFramePointers: ["exit_btf", "exit_raw"]), without: "user stacks")
      )
    }
    if !waits.wholeWaitsOnly, !waits.locks {
      hooks.append(
        Hook(
          "blocked tasks", [.init("report_blocked", with: ["enter_blocked"])], without: "waits that begin before the trace or end after it",
          attachedByTool: true))
    }
    return hooks
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try Starts.makeRoom(in: &probe)
    try probe.configure(
      ".rodata.config",
      offcputime_config(
        minimum_ns: waits.times.minimumNanoseconds, maximum_ns: waits.times.maximumNanoseconds,
        lock_minimum_ns: waits.andLocksFrom.map { $0 * 1_000 } ?? waits.times.minimumNanoseconds, states: waits.state ?? 0,
        user_threads_only: waits.userThreadsOnly ? 1 : 0, kernel_threads_only: waits.kernelThreadsOnly ? 1 : 0,
        samples: waits.samples == nil ? 0 : 1, profiles: UInt8(waits.profiles.rawValue),
        reserved: (0, 0, 0, 0)))
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    // A command has not begun yet; it waits for the trace.
    if session.command.isEmpty, programs.contains("report_blocked") { _ = try probe.iterate("enter_blocked") }
    return []
  }
}
