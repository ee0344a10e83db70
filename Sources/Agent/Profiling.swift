internal import AgentModel
internal import ArgumentParser
internal import Linux
internal import Profiles
internal import Symbolication
internal import Tools

/// What a collector's thread does: all profiles, with what they share.
final class Profiling {
  /// One probe that measures, and what it measures: one profile, or those that are `together`.
  private final class Member {
    let types: [ProfileType]
    /// As they were asked for, and how often the rates are halved.
    var settings: [ProfileType: ProbeSettings]
    var level: Int
    var run: StackRun
    /// It knows what files its programs are attached to.
    let tool: any StackTool
    /// Nanoseconds between samples; 0 where events are measured.
    var period: UInt64
    /// Those that were there when it was attached.
    var processors: [Int]
    /// Of the processes that were seen since the window began.
    var labels: [UInt32: ProcessLabels] = [:]
    let request: EndRequest
    /// Of the runs before.
    let before: [ProfileType: Collector.Standing]
    /// When the window that is open began, on the monotonic clock.
    var opened = Clock.monotonic

    init(
      _ types: [ProfileType], _ settings: [ProfileType: ProbeSettings], level: Int, _ run: consuming StackRun, _ tool: any StackTool,
      processors: [Int],
      _ request: EndRequest, _ before: [ProfileType: Collector.Standing]
    ) {
      (self.types, self.settings, self.level) = (types, settings, level)
      self.run = run
      (self.tool, self.period, self.processors, self.request, self.before) = (tool, tool.period, processors, request, before)
    }
  }

  /// A window that is over.
  private struct Closed {
    var member: Member
    var stacks: StackAggregator.ClosedStacks
    var labels: [UInt32: ProcessLabels]
    var start: Int64
    /// On the monotonic clock.
    var opened: UInt64
    var ended: UInt64
    var period: UInt64
    var counts: (delivered: UInt64, lost: UInt64)
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
  /// What could not begin: with which settings, and when it is tried again, on the monotonic clock.
  private var failed: [ProfileType: (settings: ProbeSettings, pause: UInt64, retryAt: UInt64)] = [:]
  /// In nanoseconds; doubled with each failure.
  private static let pauses: ClosedRange<UInt64> = 10_000_000_000...640_000_000_000
  private var governor = CostGovernor()
  /// What rests with a profile that has to, because one probe measures them.
  private var resting: [String: (names: [String], since: CostGovernor.Decision)] = [:]
  private var labels = LabelCache()
  private var maker: WindowMaker
  /// The beginning of the windows that are open, in seconds since 1970.
  private var start = Profiling.windowStart
  /// Windows that are over and have no names yet, the oldest first.
  private var closed: [Closed] = []
  /// The windows that were open when the budget was looked at.
  private lazy var governed = start
  /// So many windows wait for names at most; where names take longer than that, windows are longer.
  private static let closedLimit = 12

  /// Bytes that what is known of the functions of files takes between windows.
  private static let indexLimit = 16 << 20
  /// Nanoseconds between looks at the rings, which wake nobody but for a process's first event: as many events come meanwhile on machines
  /// of all sizes.
  private static let patience = min(max(2_000_000_000 / UInt64(max(Processors.online.count, 1)), 100_000_000), 500_000_000)
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
    maker = WindowMaker(host: control.configuration.host)
    output = try Output(path: nil)
    output.isUsed = false
    poll = try EventPoll()
    poll.add(ending.descriptor, as: .signal)
    beginMissing()
  }

  /// Waits for events, takes them in, and closes windows that are over.
  ///
  /// - Returns: false when the end has been asked for.
  func turn() throws -> Bool {
    let reasons = poll.wait(nanoseconds: closed.isEmpty ? Self.patience : 0)
    guard !reasons.contains(.signal) else { return false }
    let now = Clock.monotonic
    for member in members { _ = member.run.session.next(output, patience: 0) }
    for member in members { takeIn(member) }
    processes.symbolizer.processes.forgetIdle(before: now)
    if Self.windowStart != start { try changeWindows() }
    if !closed.isEmpty { try nameWindow() }
    if governed != start {
      governed = start
      govern()
    }
    beginMissing()
    return true
  }

  /// Ends all, with their last windows.
  func end() throws {
    for member in members { try end(member) }
    members = []
    while !closed.isEmpty { try nameWindow() }
  }

  // MARK: Profiles

  /// Whether a profile is to be measured now.
  private func isWanted(_ type: ProfileType) -> Bool {
    guard let settings = control.allowed(type.rawValue) else { return false }
    // Who stops a profile and starts it again wants it tried at once.
    guard let last = failed[type], last.settings == settings, control.hasFailed(type.rawValue) else { return true }
    return Clock.monotonic >= last.retryAt
  }

  /// The profiles that one probe measures with this one: waits for locks are some of all waits, and each wait is looked at once.
  ///
  /// One that has failed is tried by itself: it must not end the other one each time.
  private func together(_ type: ProfileType) -> [ProfileType] {
    let waits = [ProfileType.offCPU, .lock]
    guard waits.contains(type), waits.allSatisfy({ types.contains($0) && isWanted($0) && failed[$0] == nil }),
      control[ProfileType.offCPU.rawValue]?.filter == control[ProfileType.lock.rawValue]?.filter
    else { return [type] }
    return waits
  }

  private func settings(of types: [ProfileType]) -> [ProfileType: ProbeSettings] {
    types.reduce(into: [:]) { $0[$1] = control[$1.rawValue] }
  }

  /// Begins what one probe measures; where that does not work, the first by itself.
  private func begin(_ types: [ProfileType]) throws {
    let settings = settings(of: types)
    do { try begin(types, settings, tool(types, settings)) } catch {
      guard let last = types.last, types.count > 1 else { throw error }
      try begin(types.dropLast())
      note(last, failed: error)
    }
  }

  private func tool(_ types: [ProfileType], _ settings: [ProfileType: ProbeSettings]) throws -> any StackTool {
    switch types[0] {
    case .cpu: try ProfileTool.parse(arguments(types, settings))
    case .offCPU, .lock: try Offcputime.parse(arguments(types, settings))
    case .allocations: try Allocs.parse(arguments(types, settings))
    }
  }

  private func begin<Tool: StackTool>(_ types: [ProfileType], _ settings: [ProfileType: ProbeSettings], _ parsed: Tool) throws {
    var tool = parsed
    let processors = Processors.online
    try tool.prepare()
    let request = try EndRequest()
    var run = try StackRun(
      tool, tool.session.settings(tool: Tool.name), processes, watching: output,
      endings: { () throws(SystemError) in try EndSignals(request) })
    run.aggregator.newcomers = StackAggregator.Newcomers()
    poll.add(run.session.descriptor, as: .ring)
    for type in types {
      standings[type, default: Collector.Standing(type: type)].period = tool.period
      failed[type] = nil
      control.note(type.rawValue, runs: settings[type])
    }
    members.append(Member(types, settings, level: governor.level, run, tool, processors: processors, request, standings))
  }

  /// Begins what is to be measured and is not.
  private func beginMissing() {
    // What is counted of a profile that has ended goes before.
    for type in types where isWanted(type) {
      let group = together(type)
      guard !(members + closed.map(\.member)).contains(where: { !Set($0.types).isDisjoint(with: group) }) else { continue }
      do { try begin(group) } catch { note(type, failed: error) }
    }
  }

  private func note(_ type: ProfileType, failed error: any Error) {
    guard let settings = control[type.rawValue] else { return }
    let last = failed[type]?.pause ?? 0
    let pause = min(max(2 * last, Self.pauses.lowerBound), Self.pauses.upperBound)
    failed[type] = (settings, pause, Clock.monotonic + pause)
    control.note(type.rawValue, with: settings, failed: "\(error); it is tried again in \(pause / 1_000_000_000) s")
  }

  /// - Throws: when what the filter names does not exist.
  static func check(_ settings: ProbeSettings) throws {
    _ = try ProfileTool.parse(arguments(of: settings.filter)).session.settings(tool: ProfileTool.name)
  }

  private func arguments(_ types: [ProfileType], _ all: [ProfileType: ProbeSettings]) -> [String] {
    guard let settings = all[types[0]] else { return [] }
    var arguments = Self.arguments(of: settings.filter) + ["--unwind-memory=\(unwindMemory)"]
    if let frequency = settings.frequency { arguments.append("--frequency=\(governor.lowered(frequency))") }
    if let threshold = settings.threshold {
      arguments += [
        "--min-block-time=\(threshold)", "--samples=\(governor.lowered(Self.waitsPerProcessor * UInt64(Processors.online.count)))",
      ]
    }
    // Each halving of the rates doubles it.
    if let interval = settings.interval { arguments.append("--interval=\(min(interval << governor.level, Allocs.intervals.upperBound))") }
    if types == [.lock] {
      arguments.append("--locks")
    } else if types.contains(.lock), let threshold = all[.lock]?.threshold {
      arguments.append("--and-locks-from=\(threshold)")
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
      member.labels[process] = labels.labels(of: process, processes.symbolizer.processes.incarnation(of: ProcessID(process)))
    }
  }

  // MARK: Windows

  /// Closes all windows; what is to be measured in another way begins anew.
  private func changeWindows() throws {
    processes.follow(Processors.online)
    var kept: [Member] = []
    for member in members {
      var goesOn = false
      var failure: (any Error)?
      do { goesOn = try retune(member) } catch { failure = error }
      if goesOn {
        try close(member)
        follow(member)
        kept.append(member)
      } else {
        try end(member)
        // Afterwards: what has ended is not to be in want of anything.
        if let failure { for type in member.types { note(type, failed: failure) } }
      }
    }
    members = kept
    start = Self.windowStart
    labels.forgetOld()
  }

  /// Attaches to files that have come since the last window.
  private func follow(_ member: Member) {
    do {
      for remark in try member.run.follow(member.tool) { control.note(member.types[0].rawValue, lacks: remark) }
    } catch { control.note(member.types[0].rawValue, lacks: "\(error)") }
  }

  /// Has a profile go on at the rate that is asked for, and on the processors that there are; false where more than the rate is another one.
  private func retune(_ member: Member) throws -> Bool {
    guard member.types.allSatisfy(isWanted), together(member.types[0]) == member.types else { return false }
    let settings = settings(of: member.types)
    for (type, new) in settings {
      var same = new
      (same.frequency, same.interval) = (member.settings[type]?.frequency, member.settings[type]?.interval)
      guard same == member.settings[type] else { return false }
    }
    let processors = Processors.online
    guard settings != member.settings || governor.level != member.level || processors != member.processors else { return true }
    var tool = try tool(member.types, settings)
    try tool.prepare()
    try member.run.retune(tool)
    // Its window is that of the old rate: what comes in between is one sample at most of each processor.
    takeIn(member)
    try close(member)
    (member.settings, member.level, member.period, member.processors) = (settings, governor.level, tool.period, processors)
    for type in member.types {
      standings[type]?.period = tool.period
      control.note(type.rawValue, runs: settings[type])
    }
    return true
  }

  /// Ends the window of a profile; it is named later.
  private func close(_ member: Member) throws {
    takeIn(member)
    let deadline = Clock.monotonic + Self.patienceWithRules
    while member.run.aggregator.waitForRules(nanoseconds: Self.patienceAtOnce), Clock.monotonic < deadline {
      for other in members { takeIn(other) }
    }
    let stacks = member.run.aggregator.closeWindow(since: member.opened)
    let (now, counts) = (Clock.monotonic, try member.run.takeCounts())
    closed.append(
      Closed(
        member: member, stacks: stacks, labels: member.labels, start: start, opened: member.opened, ended: now, period: member.period,
        counts: counts))
    (member.labels, member.opened) = ([:], now)
  }

  /// How long the end of a window waits for rules that its events need, in nanoseconds: those of the C library take 1 ms, those of a large
  /// compiler 100. Rings are looked at meanwhile.
  private static let patienceWithRules: UInt64 = 250_000_000
  private static let patienceAtOnce: UInt64 = 10_000_000

  /// Detaches a profile first, so that its window has all of it.
  private func end(_ member: Member) throws {
    member.request.request()
    while let turn = member.run.session.next(output), turn != .end {}
    try close(member)
    for type in member.types { control.note(type.rawValue, runs: nil) }
  }

  /// Names the oldest window that is over, and hands it over. What comes meanwhile is taken in, and its windows are closed in time.
  private func nameWindow() throws {
    let next = closed.removeFirst()
    var failure: (any Error)?
    let named = processes.name(next.stacks, unit: next.member.types[0].unit) {
      for member in members { takeIn(member) }
      guard failure == nil, Self.windowStart != start, closed.count < Self.closedLimit else { return }
      do {
        for member in members { try close(member) }
        start = Self.windowStart
      } catch { failure = error }
    }
    if let failure { throw failure }
    next.member.run.aggregator.note(named)
    for type in next.member.types { deliver(type, next, named) }
    var waiting: Set<UInt32> = []
    for member in members { waiting.formUnion(member.run.aggregator.waitingProcesses) }
    for other in closed { waiting.formUnion(other.stacks.processes) }
    processes.settle(before: closed.map(\.opened).min() ?? next.opened, keeping: waiting)
  }

  private func deliver(_ type: ProfileType, _ closed: Closed, _ named: StackProcesses.Named) {
    let member = closed.member
    var (profile, delivered) = (named.profile, closed.counts.delivered)
    if type == .lock {
      let locks = named.locks()
      (profile, delivered) = (locks.profile, locks.events)
    } else if member.types.contains(.lock) {
      let waits = named.waits()
      (profile, delivered) = (waits.profile, waits.events)
    }
    var standing = standings[type] ?? Collector.Standing(type: type)
    standing.events += delivered + closed.counts.lost
    standing.lost += closed.counts.lost
    // What the probe costs and how complete its stacks are is told once.
    let quality = type == member.types[0] ? member.run.quality : StackRun.Quality()
    standing.quality = (member.before[type]?.quality ?? StackRun.Quality()) + quality
    standings[type] = standing
    costs.note(type.rawValue, programTime: standing.quality.programTime)
    control.note(type.rawValue, events: standing.events, lost: standing.lost)
    let empty = ProfileWindow(
      type: type, start: closed.start, covered: closed.ended - closed.opened, period: closed.period, lost: closed.counts.lost)
    hand(maker.window(empty, of: profile, closed.labels), standing)
  }

  /// Looks at what the agent takes, and has it take less where that is too much.
  private func govern() {
    let (spent, budget) = (costs.measure(), control.configuration.budget)
    var window = CostGovernor.Window(elapsed: spent.elapsed)
    (window.process, window.memory) = (spent.process, OwnCost.residentMemory)
    for member in members {
      let time = member.types.reduce(0) { $0 + (spent.byProbe[$1.rawValue] ?? 0) }
      // What has a frequency takes less with it.
      let hasFrequency = member.types.contains { member.settings[$0]?.frequency != nil }
      if hasFrequency { window.samples += time } else { window.events[member.types[0].rawValue] = time }
    }
    for key in MetricKey.allCases where control.isRunning(key.rawValue) {
      window.events[key.rawValue] = spent.byProbe[key.tool] ?? 0
      window.maps[key.rawValue] = costs.mapMemory(of: key.tool)
    }
    let limits = CostGovernor.Limits(processor: budget.processor / 100, memory: UInt64(budget.memory))
    let decision = governor.judge(window, limits, pausedStill: control.paused)
    if let decision {
      processes.isLean = governor.isLean
      control.note(decision, isWhole: costs.knowsPrograms)
    }
    restTogether(decision)
  }

  /// Has the profiles of one probe rest together: it takes as much for one of them.
  private func restTogether(_ decision: CostGovernor.Decision?) {
    func note(_ name: String, _ change: CostGovernor.Change, _ cause: CostGovernor.Decision) {
      var other = cause
      other.change = change
      control.note(other, isWhole: costs.knowsPrograms)
    }
    if let decision, case .pause(let name, let share) = decision.change {
      let others = members.first { $0.types.first?.rawValue == name }?.types.dropFirst().map(\.rawValue) ?? []
      for other in others { note(other, .pause(other, share: share), decision) }
      resting[name] = (others, decision)
    }
    // It goes on because there is room, or because somebody said so.
    for (name, rest) in resting where !control.paused.contains(name) {
      for other in rest.names where control.paused.contains(other) { note(other, .resume(other), decision ?? rest.since) }
      resting[name] = nil
    }
  }

  /// The beginning of the window that it is now.
  private static var windowStart: Int64 { Int64(Clock.realtime / 1_000_000_000) / ProfileWindow.length * ProfileWindow.length }
}

/// Labels of processes, read again after a while, which grows: a process may be moved to another cgroup, most often soon after its start.
struct LabelCache {
  private struct Entry {
    var labels: ProcessLabels
    var incarnation: TracedProcesses.Incarnation?
    var readAt: UInt64
    /// Nanoseconds until it is read again.
    var lifetime: UInt64
  }

  private var entries: [UInt32: Entry] = [:]
  /// In nanoseconds.
  private static let lifetimes: ClosedRange<UInt64> = 15_000_000_000...480_000_000_000

  /// - Parameter incarnation: another one for another program, and for another process of the number.
  mutating func labels(of process: UInt32, _ incarnation: TracedProcesses.Incarnation?) -> ProcessLabels {
    let now = Clock.monotonic
    var lifetime = Self.lifetimes.lowerBound
    if let known = entries[process], known.incarnation == incarnation {
      if now - known.readAt < known.lifetime { return known.labels }
      lifetime = min(2 * known.lifetime, Self.lifetimes.upperBound)
    }
    let labels = ProcessLabels(of: ProcessID(process))
    entries[process] = Entry(labels: labels, incarnation: incarnation, readAt: now, lifetime: lifetime)
    return labels
  }

  mutating func forgetOld() {
    let now = Clock.monotonic
    entries = entries.filter { now - $0.value.readAt < 2 * $0.value.lifetime }
  }
}
