package import ArgumentParser
package import BPF

/// Shows how long tasks were blocked, by the stack they blocked in and the stack of who woke them.
package struct Offwaketime: WaitTool {
  package static let configuration = CommandConfiguration(
    commandName: "offwaketime", abstract: "Sum the time that tasks are blocked, by stack and waker's stack.",
    discussion: """
      Each stack is the blocked task's; on top of it, after --, stands that of the
      waker, upside down, and the waker's name. The time is until the wake-up: what
      follows is the run queue, which runqlat shows. A wake-up by an interrupt is
      shown in the task that was interrupted. A wait that is on when the trace begins
      or ends counts with its part of the trace; one that is on at the end has no
      waker, but [still blocked].

      Overhead: about 0.11 us for each task switch, 1.9 us for a wait above the
      minimum, 0.07 us for one below it, and 0.07 us for each system call.

      Example: whom a service waits for longer than a millisecond, as a flame graph
        swtrace offwaketime -m 1000 -p 1234 -o chains.svg 10
      """)

  package static let activity = "tracing waits and wake-ups"
  package static let tidLetter: Character? = "t"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var stacks: StackOptions
  @OptionGroup package var session: SessionOptions<Offwaketime>
  @OptionGroup package var waits: WaitOptions

  package init() {}

  package var hooks: [Hook] {
    [
      Hook(
        "wake-ups",
        waits.fitting(
          stacks.variants(
            byRules: ["waking_btf_rules", .init("waking_raw_rules", lacking: "kernel stacks of the blocked tasks")],
            byFramePointers: ["waking_btf", .init("waking_raw", lacking: "kernel stacks of the blocked tasks")]))),
      Hook("task switches", waits.fitting(["switch_state_btf", "switch_btf", "switch_raw"])),
    ] + hooksOfStacks
  }
  package var measure: String? { "blocked" }
}
