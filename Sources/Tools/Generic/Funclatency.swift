package import ArgumentParser
package import BPF
internal import CProbes
package import Formats

/// Shows how long calls of functions take.
package struct Funclatency: HistogramTool {
  package static let configuration = CommandConfiguration(
    commandName: "funclatency", abstract: "Show how long calls of functions take, as histograms.",
    discussion: """
      Targets: vfs_read (kernel), c:malloc or /usr/bin/x:main (user). Patterns: vfs_*,
      c:str*. Recursive calls are measured each on its own, from its entry to its
      return; of user functions the kernel observes 64 levels, and what is deeper is
      counted as not seen.

      Overhead: about 0.4 us for each call of a kernel function, and 3.5 us for each
      call of a user function: it traps into the kernel twice.

      Example: each read of a file system, by function
        swtrace funclatency -F 'vfs_read*' -i 1
      """)

  package static let activity = "measuring calls"
  package static let durationLetter: Character? = "d"
  package static let cgroupLetter: Character? = "c"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup var options: TargetOptions
  @OptionGroup package var session: SessionOptions<Funclatency>
  @Option(name: [.customShort("i"), .long], help: ArgumentHelp("Print after each interval: 1, 500ms.", valueName: "time"))
  var interval: TimeSpan?
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") package var timestamp = false
  @Flag(name: [.customShort("m"), .long], help: "Histogram in milliseconds.") var milliseconds = false
  @Flag(name: [.customShort("u"), .long], help: "Histogram in microseconds.") var microseconds = false
  @Flag(name: [.customShort("F"), .customLong("function")], help: "A histogram for each function.") var perFunction = false
  @Option(help: ArgumentHelp("Calls, and threads with calls, that can be measured at once.", valueName: "number")) var maxCalls = 16384

  // Of BCC: accepted so that command lines written for it run.
  @Option(name: [.customShort("l"), .long], help: .hidden) var level: Int?

  private var targets: Targets?

  package init() {}

  private enum CodingKeys: String, CodingKey {
    case options, session, interval, timestamp, milliseconds, microseconds, perFunction, maxCalls, level
  }

  package mutating func validate() throws {
    if milliseconds, microseconds { throw ValidationError("--milliseconds and --microseconds exclude each other") }
    if !(1...1_000_000).contains(maxCalls) { throw ValidationError("--max-calls must be from 1 to 1000000") }
    for target in options.targets where target.hasPrefix("t:") || target.hasPrefix("u:") {
      throw ValidationError("'\(target)' is one moment and takes no time; funccount counts it")
    }
  }

  package mutating func prepare() throws {
    if level != nil { complain("swtrace \(Self.name): --level has no effect: every call of a recursion is measured on its own") }
    targets = try options.resolve(tool: Self.name, process: session.pid.flatMap { $0.ids.count == 1 ? $0.ids[0] : nil })
  }

  package static let exampleArguments = ["vfs_read,c:malloc"]

  package var schedule: IntervalOptions { IntervalOptions(every: interval) }
  package var hooks: [Hook] {
    [Hook("the end of threads", ["end_btf", "end_raw"]), Hook("what is left of them", ["free_btf", "free_raw"])]
      + (targets?.hooks(returns: true) ?? [])
  }
  package var unit: HistogramUnit { milliseconds ? .milliseconds : microseconds ? .microseconds : .nanoseconds }
  package var isKeyed: Bool { perFunction }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", generic_config(cpu: 0, has_cpu: 0, keyed: isKeyed ? 1 : 0, reserved: (0, 0)))
    for map in ["calls", "newest"] { try probe.resize(map, to: maxCalls) }
    try targets?.configure(&probe, programs)
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    try targets?.attach(probe, programs, &links) ?? []
  }

  package func title(_ entry: KeyedHistogram) -> [UInt8] {
    isKeyed ? Array("Function = \(targets?.name(entry.key) ?? "")".utf8) : []
  }

  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] {
    isKeyed ? [("function", .string(targets?.name(entry.key) ?? ""))] : []
  }
}
