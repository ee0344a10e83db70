package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux

/// Shows how long calls of functions take.
package struct Funclatency: HistogramTool {
  package static let configuration = CommandConfiguration(
    commandName: "funclatency", abstract: "Show how long calls of functions take, as histograms.",
    discussion: """
      Targets: vfs_read (kernel), c:malloc or /usr/bin/x:main (user). Patterns: vfs_*, c:str*.
      Recursive calls are measured each on its own, from its entry to its return; of user
      functions the kernel observes 64 levels, and what is deeper is counted as not seen.

      Overhead: about 0.4 us for each call of a kernel function, and 2 to 4 us for each call
      of a user function: it traps into the kernel twice.

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

  private var targets: Targets?

  package init() {}

  private enum CodingKeys: String, CodingKey {
    case options, session, interval, timestamp, milliseconds, microseconds, perFunction
  }

  package mutating func validate() throws {
    if milliseconds, microseconds { throw ValidationError("--milliseconds and --microseconds exclude each other") }
    for target in options.targets where target.hasPrefix("t:") || target.hasPrefix("u:") {
      throw ValidationError("'\(target)' is one moment and takes no time; funccount counts it")
    }
  }

  package mutating func prepare() throws {
    targets = try options.resolve(tool: Self.name, process: session.pid.flatMap { $0.ids.count == 1 ? $0.ids[0] : nil })
  }

  package static let exampleArguments = ["vfs_read,c:malloc"]

  package var schedule: IntervalOptions { IntervalOptions(every: interval) }
  package var hooks: [Hook] { targets?.hooks(returns: true) ?? [] }
  package var unit: HistogramUnit { milliseconds ? .milliseconds : microseconds ? .microseconds : .nanoseconds }
  package var isKeyed: Bool { perFunction }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(".rodata.config", generic_config(cpu: 0, has_cpu: 0, keyed: isKeyed ? 1 : 0, reserved: (0, 0)))
    try targets?.configure(&probe, programs)
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    try targets?.attach(probe, programs, &links) ?? []
  }

  /// Calls of threads that are gone.
  package func unreturned(_ probe: borrowing LoadedProbe) throws(BPFError) -> UInt64 {
    let calls: ProbeMap<funclatency_call, UInt64> = try probe.map("calls")
    var lives: [UInt32: Bool] = [:]
    return calls.keys().reduce(0) { count, call in
      let isAlive = lives[call.tid] ?? Self.isAlive(call.tid)
      lives[call.tid] = isAlive
      return isAlive ? count : count + 1
    }
  }

  private static func isAlive(_ thread: UInt32) -> Bool {
    // `PID (NAME) STATE …`; the name may have parentheses itself. A zombie's calls are over, too.
    guard let stat = ProcFile.read("/proc/\(thread)/stat"), let end = stat.lastIndex(of: ")") else { return false }
    return !["Z", "X"].contains(stat[end...].dropFirst(2).prefix(1))
  }

  package func title(_ entry: KeyedHistogram) -> [UInt8] {
    isKeyed ? Array("Function = \(targets?.name(entry.key) ?? "")".utf8) : []
  }

  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] {
    isKeyed ? [("function", .string(targets?.name(entry.key) ?? ""))] : []
  }
}
