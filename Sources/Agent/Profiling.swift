internal import AgentModel
internal import ArgumentParser
internal import Linux
internal import Profiles
internal import Symbolication
internal import Tools

/// What a collector's thread does: all profiles, with what they share.
final class Profiling {
  /// A profile that is being measured.
  private final class Member {
    let type: ProfileType
    /// As they were asked for, and how often the rates are halved.
    var settings: ProbeSettings
    var level: Int
    var run: StackRun
    var maker: WindowMaker
    let request: EndRequest
    /// Of the runs before.
    let before: Collector.Standing
    /// When the window that is open began, on the monotonic clock.
    var opened = Clock.monotonic

    init(
      _ type: ProfileType, _ settings: ProbeSettings, level: Int, _ run: consuming StackRun, _ maker: WindowMaker, _ request: EndRequest,
      _ before: Collector.Standing
    ) {
      (self.type, self.settings, self.level) = (type, settings, level)
      self.run = run
      (self.maker, self.request, self.before) = (maker, request, before)
    }
  }

  private let types: [ProfileType]
  private let control: Control
  private let costs: CostMeter
  private let unwindMemory: Int
  private let hand: @Sendable (ProfileWindow, Collector.Standing) -> Void
  private let processes: StackProcesses
  private let poll: EventPoll
  private var output: Output
  private var members: [Member] = []
  private var standings: [ProfileType: Collector.Standing] = [:]
  /// What could not begin, with the settings that it could not begin with.
  private var failed: [ProfileType: ProbeSettings] = [:]
  private var governor = CostGovernor()
  private var labels = LabelCache()
  /// The beginning of the windows that are open, in seconds since 1970.
  private var start = Profiling.windowStart

  /// Bytes that what is known of the functions of files takes between windows.
  private static let indexLimit = 16 << 20
  /// Nanoseconds between looks at the rings, which wake nobody but for a process's first event.
  private static let patience: UInt64 = 100_000_000
  /// Waits that are taken a second, for each processor: as many as there are samples of what it runs.
  private static let waitsPerProcessor: UInt64 = 19

  /// Begins to measure what is to be measured.
  init(
    _ types: [ProfileType], _ control: Control, _ costs: CostMeter, unwindMemory: Int, until ending: EndRequest,
    _ hand: @escaping @Sendable (ProfileWindow, Collector.Standing) -> Void
  ) throws {
    self.types = types
    self.control = control
    self.costs = costs
    self.unwindMemory = unwindMemory
    self.hand = hand
    processes = StackProcesses(of: "agent", try ProfileTool.parse([]).stacks.symbols(), indexLimit: Self.indexLimit)
    output = try Output(path: nil)
    output.isUsed = false
    poll = try EventPoll()
    poll.add(ending.descriptor, as: .signal)
    for type in types where control[type.rawValue]?.isEnabled ?? false { try begin(type) }
  }

  /// Waits for events, takes them in, and closes windows that are over.
  ///
  /// - Returns: false when the end has been asked for.
  func turn() throws -> Bool {
    let reasons = poll.wait(nanoseconds: Self.patience)
    guard !reasons.contains(.signal) else { return false }
    let now = Clock.monotonic
    for member in members { _ = member.run.session.next(output, patience: 0) }
    for member in members { takeIn(member) }
    processes.symbolizer.forgetIdle(before: now)
    if Self.windowStart != start { try closeWindows() }
    beginMissing()
    return true
  }

  /// Ends all, with their last windows.
  func end() throws {
    for member in members { try end(member) }
    members = []
  }

  // MARK: Profiles

  private func begin(_ type: ProfileType) throws {
    guard let settings = control[type.rawValue] else { return }
    switch type {
    case .cpu: try begin(type, settings, ProfileTool.parse(arguments(type, settings)))
    case .offCPU: try begin(type, settings, Offcputime.parse(arguments(type, settings)))
    }
  }

  private func begin<Tool: StackTool>(_ type: ProfileType, _ settings: ProbeSettings, _ parsed: Tool) throws {
    var tool = parsed
    try tool.prepare()
    let request = try EndRequest()
    var run = try StackRun(
      tool, tool.session.settings(tool: Tool.name), processes, watching: output,
      endings: { () throws(SystemError) in try EndSignals(request) })
    run.aggregator.newcomers = StackAggregator.Newcomers()
    poll.add(run.session.descriptor, as: .ring)
    var standing = standings[type] ?? Collector.Standing(type: type)
    standing.period = tool.period
    let maker = WindowMaker(type: type, period: tool.period, host: control.configuration.host)
    members.append(Member(type, settings, level: governor.level, run, maker, request, standing))
    standings[type] = standing
    failed[type] = nil
    control.note(type.rawValue, runs: settings)
  }

  /// Begins what is to be measured and is not.
  private func beginMissing() {
    for type in types where !members.contains(where: { $0.type == type }) {
      guard let settings = control[type.rawValue], settings.isEnabled, failed[type] != settings else { continue }
      do { try begin(type) } catch {
        failed[type] = settings
        control.note(type.rawValue, failed: "\(error)")
      }
    }
  }

  /// - Throws: when what the filter names does not exist.
  static func check(_ settings: ProbeSettings) throws {
    _ = try ProfileTool.parse(arguments(of: settings.filter)).session.settings(tool: ProfileTool.name)
  }

  private func arguments(_ type: ProfileType, _ settings: ProbeSettings) -> [String] {
    var arguments = Self.arguments(of: settings.filter) + ["--unwind-memory=\(unwindMemory)"]
    if let frequency = settings.frequency { arguments.append("--frequency=\(governor.lowered(frequency))") }
    if let threshold = settings.threshold {
      arguments += [
        "--min-block-time=\(threshold)", "--samples=\(governor.lowered(Self.waitsPerProcessor * UInt64(Processors.online.count)))",
      ]
    }
    return arguments
  }

  private static func arguments(of filter: ProbeSettings.Filter) -> [String] {
    // One word: a value that begins with a dash is no option.
    [("--comm", filter.comm), ("--cgroup", filter.cgroup), ("--uid", filter.user)].filter { !$0.1.isEmpty }.map { "\($0.0)=\($0.1)" }
  }

  private func takeIn(_ member: Member) {
    member.run.takeIn()
    for process in member.run.aggregator.takeNewcomers() {
      member.maker.learn(process, labels.labels(of: process, processes.symbolizer.incarnation(of: ProcessID(process))))
    }
  }

  // MARK: Windows

  private func closeWindows() throws {
    let next = Self.windowStart
    let opened = members.map(\.opened).min() ?? 0
    var kept: [Member] = []
    for member in members {
      var goesOn = false
      do { goesOn = try retune(member) } catch {
        failed[member.type] = control[member.type.rawValue]
        control.note(member.type.rawValue, failed: "\(error)")
      }
      if goesOn { kept.append(member) } else { try end(member) }
    }
    members = kept
    start = next
    processes.settle(before: opened, keeping: members.reduce(into: []) { $0.formUnion($1.run.aggregator.waitingProcesses) })
    labels.forgetOld()
    govern()
  }

  /// Closes the window of a profile, and goes on at the rate that is asked for; false where more than the rate is another one.
  private func retune(_ member: Member) throws -> Bool {
    guard let settings = control[member.type.rawValue], settings.isEnabled else { return false }
    var same = settings
    same.frequency = member.settings.frequency
    guard same == member.settings else { return false }
    guard settings != member.settings || governor.level != member.level else {
      try close(member)
      return true
    }
    var tool: any StackTool =
      switch member.type {
      case .cpu: try ProfileTool.parse(arguments(member.type, settings))
      case .offCPU: try Offcputime.parse(arguments(member.type, settings))
      }
    try tool.prepare()
    try member.run.retune(tool)
    // What comes in between is counted with the old period: it is one sample at most of each processor.
    takeIn(member)
    try close(member)
    (member.settings, member.level, member.maker.period) = (settings, governor.level, tool.period)
    standings[member.type]?.period = tool.period
    control.note(member.type.rawValue, runs: settings)
    return true
  }

  private func close(_ member: Member) throws {
    // Names may take longer than what is left of this window.
    let now = Clock.monotonic
    let counts = try member.run.takeCounts()
    let profile = member.run.takeWindow(unit: member.type.unit, since: member.opened) {
      for other in members where other !== member { takeIn(other) }
    }
    var standing = standings[member.type] ?? member.before
    standing.events += counts.delivered + counts.lost
    standing.lost += counts.lost
    standing.quality = member.before.quality + member.run.quality
    standings[member.type] = standing
    costs.note(member.type.rawValue, programTime: standing.quality.programTime)
    control.note(member.type.rawValue, events: standing.events, lost: standing.lost)
    hand(member.maker.window(of: profile, start: start, covered: now - member.opened, lost: counts.lost), standing)
    member.opened = now
  }

  /// Detaches a profile first, so that its window has all of it.
  private func end(_ member: Member) throws {
    member.request.request()
    while let turn = member.run.session.next(output), turn != .end {}
    takeIn(member)
    member.run.aggregator.finishWalks()
    try close(member)
    control.note(member.type.rawValue, runs: nil)
  }

  /// Looks at what the agent takes, and lowers its rates where that is too much.
  private func govern() {
    let (spent, budget) = (costs.measure(), control.configuration.budget)
    if let share = governor.judge(cost: spent.process + spent.programs, elapsed: spent.elapsed, limit: budget.processor / 100) {
      control.note(halvings: governor.level, share: share)
    }
    let memory = OwnCost.residentMemory
    if !processes.isLean, memory > UInt64(budget.memory) / 10 * 9 {
      processes.isLean = true
      control.note(lean: true, memory: memory)
    } else if processes.isLean, memory < UInt64(budget.memory) / 10 * 6 {
      processes.isLean = false
      control.note(lean: false, memory: memory)
    }
  }

  /// The beginning of the window that it is now.
  private static var windowStart: Int64 { Int64(Clock.realtime / 1_000_000_000) / ProfileWindow.length * ProfileWindow.length }
}

/// Labels of processes, read again after a while: a process may be moved to another cgroup.
struct LabelCache {
  private struct Entry {
    var labels: ProcessLabels
    var incarnation: Symbolizer.Incarnation?
    var readAt: UInt64
  }

  private var entries: [UInt32: Entry] = [:]
  /// In nanoseconds.
  private static let lifetime: UInt64 = 60_000_000_000

  /// - Parameter incarnation: another one for another program, and for another process of the number.
  mutating func labels(of process: UInt32, _ incarnation: Symbolizer.Incarnation?) -> ProcessLabels {
    let now = Clock.monotonic
    if let known = entries[process], known.incarnation == incarnation, now - known.readAt < Self.lifetime { return known.labels }
    let labels = ProcessLabels(of: ProcessID(process))
    entries[process] = Entry(labels: labels, incarnation: incarnation, readAt: now)
    return labels
  }

  mutating func forgetOld() {
    let now = Clock.monotonic
    entries = entries.filter { now - $0.value.readAt < Self.lifetime }
  }
}
