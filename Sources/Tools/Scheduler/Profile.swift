package import ArgumentParser
package import BPF
internal import CProbes
internal import Linux
package import Profiles
internal import SystemPackage

/// Samples what the processors run, and shows it by stack.
package struct ProfileTool: StackTool {
  package static let configuration = CommandConfiguration(
    commandName: "profile", abstract: "Sample what the processors run, by kernel and user stack.",
    discussion: """
      Overhead: about 1.2 us for a sample of 14 frames, 6.5 us for one of 115: 0.01
      to 0.07 % of a processor at 99 Hz; 80 us for each process that starts.

      Example: ten seconds of the whole machine, as a page to explore and as text
        swtrace profile -F 99 -o cpu.html -o cpu.folded 10
      """)

  package static let activity = "sampling"
  package static let tidLetter: Character? = "L"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var stacks: StackOptions
  @OptionGroup package var session: SessionOptions<ProfileTool>
  @Option(name: [.customShort("F"), .long], help: ArgumentHelp("Samples a second on each processor; the default is 49.", valueName: "Hz"))
  var frequency: UInt64?
  @Option(
    name: [.customShort("c"), .long],
    help: ArgumentHelp("A sample after so many events of the processor's clock, which are nanoseconds.", valueName: "events"))
  var count: UInt64?
  @Flag(name: [.customShort("I"), .long], help: "Sample idle processors too; they may sleep longer than a period.") var idle = false
  @Option(name: [.customShort("C"), .long], help: ArgumentHelp("Only this processor.", valueName: "number")) var cpu: Int?

  package init() {}

  package mutating func validate() throws {
    if frequency != nil, count != nil { throw ValidationError("--frequency and --count exclude each other") }
    if let frequency, !(1...20_000).contains(frequency) { throw ValidationError("the frequency is 1 to 20000 Hz, not \(frequency)") }
    if let count, !(50_000...1_000_000_000).contains(count) {
      throw ValidationError("the count is 50000 to 1000000000 nanoseconds, not \(count)")
    }
  }

  package mutating func prepare() throws {
    let online = Processors.online
    if let cpu, !online.contains(cpu) {
      throw ToolError("processor \(cpu) is not online; there are \(online.map(String.init).joined(separator: ", "))")
    }
  }

  package var hooks: [Hook] {
    [
      Hook(
        "the processors' clocks", stacks.variants(byRules: ["sample_rules"], byFramePointers: ["sample"]), attachedByTool: true)
    ]
  }
  package var unit: Profile.Unit { .samples }
  package var period: UInt64 { count ?? 1_000_000_000 / (frequency ?? 49) }
  package var details: [String] {
    [
      "\(count.map { "every \($0) ns" } ?? "\(frequency ?? 49) Hz") on \(cpu.map { "processor \($0)" } ?? "\(Processors.online.count) processors")"
    ]
  }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", profile_config(idle: idle ? 1 : 0, reserved: (0, 0, 0, 0, 0, 0, 0)))
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    let period = self.period
    let idle = self.idle
    return try probe.attach(
      programs[0] ?? "", processors: cpu.map { [$0] } ?? Processors.online, clock: period, &links, doing: "sample"
    ) { processor throws(SystemError) in try PerfEvent.clock(processor: processor, period: period, isIdle: idle) }
  }
}
