package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Linux
internal import SystemPackage

/// Shows how long disks take for requests.
package struct Biolatency: HistogramTool {
  package static let configuration = CommandConfiguration(
    commandName: "biolatency", abstract: "Show the latency of block I/O: how long disks take for requests.",
    discussion: """
      The time runs from the moment a request is handed to the driver, or with -Q from
      its start, to its completion. The options that choose tasks test the task that
      asks for the I/O; what is written back later belongs to the kernel's flusher.

      Overhead: about 0.5 us for each request.

      Example: each second, the disks apart, with the time in the queue
        swtrace biolatency -D -Q 1
      """)

  package static let activity = "measuring block I/O"
  package static let cgroupLetter: Character? = "c"

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var schedule: IntervalOptions
  @OptionGroup package var session: SessionOptions<Biolatency>
  @Flag(name: [.customShort("T"), .long], help: "Print the time above each output.") package var timestamp = false
  @Flag(name: [.customShort("m"), .long], help: "Histogram in milliseconds.") var milliseconds = false
  @Flag(name: [.customShort("Q"), .long], help: "Include the time before the request reaches the driver.") var queued = false
  @Flag(name: [.customShort("D"), .long], help: "A histogram for each disk.") var disks = false
  @Flag(name: [.customShort("F"), .long], help: "A histogram for each kind of request.") var flags = false
  @Option(name: [.short, .long], help: ArgumentHelp("Only requests to this disk, such as sda.", valueName: "disk")) var disk: String?

  private var wanted: UInt32?
  private var names: RequestFlags?

  private enum CodingKeys: CodingKey { case schedule, session, timestamp, milliseconds, queued, disks, flags, disk }

  package init() {}

  package mutating func prepare() throws {
    wanted = try disk.map { try Disk(named: $0).number }
    // Names are an extra: where the numbers cannot be looked up, those of all kernels must do.
    if flags { names = (try? RequestFlags(KernelTypes(session.btf.map { FilePath($0) }))) ?? RequestFlags() }
  }

  /// Whether the task that asks for a request matters.
  private var hasSubject: Bool {
    session.pid != nil || session.tid != nil || session.uid != nil || session.comm != nil || session.cgroup != nil
      || !session.command.isEmpty
  }

  package var hooks: [Hook] {
    var hooks = [
      Hook("the issue of requests", ["issue_btf", "issue_raw"]),
      Hook("the completion of requests", ["complete_btf", "complete_raw"]),
    ]
    guard hasSubject || queued else { return hooks }
    let lacking = [
      hasSubject ? "the tasks of requests that another task queues" : nil, queued ? "the time before a request is queued" : nil,
    ].compactMap { $0 }.joined(separator: " and ")
    hooks += [
      Hook(
        "the start of requests",
        ["start_btf", "start_raw", Hook.Variant("insert_btf", lacking: lacking), Hook.Variant("insert_raw", lacking: lacking)],
        without: lacking),
      Hook("requests that go back to the queue", ["requeue_btf", "requeue_raw"], without: "requests that are issued twice"),
      Hook("the merging of requests", ["merge_btf", "merge_raw"], without: "the end of requests that are merged into others"),
    ]
    return hooks
  }

  package var unit: HistogramUnit { milliseconds ? .milliseconds : .microseconds }
  package var isKeyed: Bool { disks || flags }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    try probe.configure(
      ".rodata.config",
      biolatency_config(
        since_ns: Clock.monotonic, disk: wanted ?? 0, has_disk: wanted == nil ? 0 : 1, queued: queued ? 1 : 0, per_disk: disks ? 1 : 0,
        per_flags: flags ? 1 : 0,
        has_start: programs.contains { $0 == "start_btf" || $0 == "start_raw" } ? 1 : 0, reserved: (0, 0, 0, 0, 0, 0, 0)))
  }

  private func diskName(_ key: UInt64) -> Text? {
    let number = UInt32(truncatingIfNeeded: key >> 32)
    return number == UInt32(BIOLATENCY_NO_DISK) ? nil : Text(Disk(number: number).name)
  }

  private func flagName(_ key: UInt64) -> String { (names ?? RequestFlags()).name(UInt32(truncatingIfNeeded: key)) }

  package func title(_ entry: KeyedHistogram) -> [UInt8] {
    var line: [UInt8] = []
    if disks {
      line.append(contentsOf: "disk = ".utf8)
      line.append(escaped: diskName(entry.key) ?? Text("none"))
    }
    if flags { line.append(contentsOf: "\(disks ? "  " : "")flags = \(flagName(entry.key))".utf8) }
    return line
  }

  package func labels(_ entry: KeyedHistogram) -> [(String, Cell)] {
    var labels: [(String, Cell)] = []
    if disks { labels.append(("disk", diskName(entry.key).map { .text($0) } ?? .none)) }
    if flags { labels.append(("flags", .string(flagName(entry.key)))) }
    return labels
  }
}
