package import ArgumentParser
package import BPF

/// Shows how long tasks were blocked, by the stack they blocked in.
package struct Offcputime: WaitTool {
  package static let configuration = CommandConfiguration(
    commandName: "offcputime", abstract: "Sum the time that tasks are blocked, by kernel and user stack.",
    discussion: """
      A wait that is on when the trace begins or ends counts with its part of the
      trace; one that is on at the end has [still blocked] as its last frame.

      Overhead: about 0.13 us for each task switch, 1.2 us more for a wait above the
      minimum, and 0.07 us for each system call.

      Example: what a service waits for longer than a millisecond, as a flame graph
        swtrace offcputime -m 1000 -p 1234 -o waits.svg 10
      """)

  package static let activity = "tracing waits"
  package static let tidLetter: Character? = "t"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var stacks: StackOptions
  @OptionGroup package var session: SessionOptions<Offcputime>
  @OptionGroup package var waits: WaitOptions

  package init() {}

  package var hooks: [Hook] {
    [Hook("task switches", waits.fitting(["switch_state_btf", "switch_btf", .init("switch_raw", lacking: "kernel stacks")]))]
      + hooksOfStacks
  }
  // Go's names, where it is what Go measures.
  package var measure: String? { waits.locks ? "delay" : "offcpu" }
  package var events: String { waits.locks ? "contentions" : "samples" }
}
