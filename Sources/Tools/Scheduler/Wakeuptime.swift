package import ArgumentParser
package import BPF
internal import CProbes
package import Profiles

/// Shows who wakes blocked tasks, by the waker's stack.
package struct Wakeuptime: StackTool {
  package static let configuration = CommandConfiguration(
    commandName: "wakeuptime", abstract: "Sum the time that tasks were blocked, by the stack that woke them.",
    discussion: """
      Each stack is the waker's, and ends with the name of the task that it woke. A
      wake-up by an interrupt is shown in the task that was interrupted.

      Overhead: about 0.08 us for each task switch, 1.2 us for a wake-up, and 0.06 us
      for one below the minimum.

      Example: who wakes the threads of a service, as a flame graph
        swtrace wakeuptime -p 1234 -o wakers.svg 10
      """)

  package static let activity = "tracing wake-ups"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var stacks: StackOptions
  @OptionGroup package var session: SessionOptions<Wakeuptime>
  @OptionGroup var times: BlockTimeOptions
  @Flag(name: [.customShort("u"), .customLong("useronly"), .long], help: "Only user threads, as those that are woken.")
  var userThreadsOnly = false

  package init() {}

  package var hooks: [Hook] {
    [
      Hook(
        "wake-ups",
        stacks.variants(byRules: ["waking_btf_rules", "waking_raw_rules"], byFramePointers: ["waking_btf", "waking_raw"])),
      Hook("task switches", ["switch_btf", "switch_raw"]),
    ]
  }

  package var unit: Profile.Unit { .nanoseconds }
  package var measure: String? { "blocked" }
  package var shownUnit: (Profile.Unit, divisor: UInt64) { (.microseconds, 1_000) }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config",
      wakeuptime_config(
        minimum_ns: times.minimumNanoseconds, maximum_ns: times.maximumNanoseconds, user_threads_only: userThreadsOnly ? 1 : 0,
        reserved: (0, 0, 0, 0, 0, 0, 0)))
  }
}
