package import ArgumentParser
package import BPF
internal import CProbes
package import Profiles

/// Shows how long tasks were blocked, by the stack they blocked in.
package struct Offcputime: StackTool {
  package static let configuration = CommandConfiguration(
    commandName: "offcputime", abstract: "Sum the time that tasks are blocked, by kernel and user stack.",
    discussion: """
      Overhead: about 0.13 us for each task switch, 2 us more for a wait above the
      minimum, and 0.06 us for each system call.

      Example: what a service waits for longer than a millisecond, as a flame graph
        swtrace offcputime -m 1000 -p 1234 -o waits.svg 10
      """)

  package static let activity = "tracing waits"
  package static let hasLateUserStacks = true
  package static let tidLetter: Character? = "t"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var stacks: StackOptions
  @OptionGroup package var session: SessionOptions<Offcputime>
  @Option(
    name: [.customShort("m"), .customLong("min-block-time")], help: ArgumentHelp("Only waits of at least so many us.", valueName: "us"))
  var minimum: UInt64 = 1
  @Option(
    name: [.customShort("M"), .customLong("max-block-time")], help: ArgumentHelp("Only waits of at most so many us.", valueName: "us"))
  var maximum: UInt64?
  @Flag(name: [.customShort("u"), .long], help: "Only user threads.") var userThreadsOnly = false
  @Flag(name: [.customShort("k"), .long], help: "Only kernel threads.") var kernelThreadsOnly = false
  @Option(help: ArgumentHelp("Only waits in these states: 1 interruptible, 2 uninterruptible; bits of task->__state.", valueName: "bits"))
  var state: UInt64?

  package init() {}

  package mutating func validate() throws {
    if userThreadsOnly, kernelThreadsOnly { throw ValidationError("-u and -k exclude each other") }
    if let maximum, maximum < minimum { throw ValidationError("the maximum is less than the minimum") }
    guard max(minimum, maximum ?? 0) < 1 << 50 else { throw ValidationError("a block time of 35 years is not supported") }
    if state == 0 { throw ValidationError("state 0 is running; off-CPU time is of the others") }
  }

  package var hooks: [Hook] {
    var hooks = [Hook("task switches", ["switch_state_btf", "switch_btf", .init("switch_raw", lacking: "kernel stacks")])]
    if !stacks.kernelStacksOnly { hooks.append(Hook("the end of system calls", ["exit_btf", "exit_raw"], without: "user stacks")) }
    return hooks
  }

  package var unit: Profile.Unit { .nanoseconds }
  package var measure: String? { "offcpu" }
  package var shownUnit: (Profile.Unit, divisor: UInt64) { (.microseconds, 1_000) }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config",
      offcputime_config(
        minimum_ns: minimum * 1_000, maximum_ns: (maximum ?? 0) * 1_000, states: state ?? 0,
        user_threads_only: userThreadsOnly ? 1 : 0, kernel_threads_only: kernelThreadsOnly ? 1 : 0, reserved: (0, 0, 0, 0, 0, 0)))
  }
}
