internal import AgentModel
internal import ArgumentParser
internal import Linux
internal import Symbolication
internal import Tools

/// What a collector's thread does: all profiles, with what they share.
final class Profiling {
  private let types: [ProfileType]
  private let control: Control
  private let tools: ProfileTools
  private let processes: StackProcesses
  private let poll: EventPoll
  private var output: Output
  private var members: [ProfileMember] = []
  /// When profiles that could not begin together are tried together again: by themselves they may go well, and would be joined each time.
  private var apart = Retrial()
  private var keeper: BudgetKeeper
  private var labels = LabelCache()
  private var watch = ProcessorWatch()
  private var delivery: ProfileDelivery
  /// The beginning of the windows that are open, in seconds since 1970.
  private var start = Profiling.windowStart
  /// Windows that are over and have no names yet, the oldest first.
  private var closed: [ClosedProfile] = []
  /// The windows that were open when the budget was looked at.
  private lazy var governed = start
  /// So many windows wait for names at most; where names take longer than that, windows are longer.
  private static let closedLimit = 12

  /// Bytes that what is known of the functions of files takes between windows.
  private static let indexLimit = 16 << 20
  /// Nanoseconds between looks at the rings, which wake nobody but for a process's first event: as many events come meanwhile on machines
  /// of all sizes.
  private static let patience = min(max(2_000_000_000 / UInt64(max(Processors.online.count, 1)), 100_000_000), 500_000_000)
  /// How long the end of a window waits for rules that its events need, in nanoseconds: those of the C library take 1 ms, those of a large
  /// compiler 100. Rings are looked at meanwhile.
  private static let patienceWithRules: UInt64 = 250_000_000
  private static let patienceAtOnce: UInt64 = 10_000_000

  /// Begins to measure what is to be measured.
  init(
    _ types: [ProfileType], _ control: Control, _ costs: CostMeter, unwindMemory: Int, until ending: EndRequest,
    _ hand: @escaping @Sendable (ProfileWindow, Collector.Standing) -> Void
  ) throws {
    self.types = types
    self.control = control
    tools = ProfileTools(unwindMemory: unwindMemory)
    keeper = BudgetKeeper(control, costs)
    delivery = ProfileDelivery(control, costs, hand)
    processes = StackProcesses(of: "agent", try ProfileTool.parse([]).stacks.symbols(), indexLimit: Self.indexLimit)
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
    let reasons = poll.wait(nanoseconds: closed.isEmpty ? patience : 0)
    guard !reasons.contains(.signal) else { return false }
    let now = Clock.monotonic
    for member in members { member.look(output) }
    takeIn()
    if members.allSatisfy(\.hasReadAll) { processes.symbolizer.processes.forgetIdle(before: now) }
    if Self.windowStart != start { try changeWindows() }
    if !closed.isEmpty { try nameWindow() }
    if governed != start {
      governed = start
      keeper.judge(members)
      processes.isLean = keeper.governor.isLean
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

  /// The profiles that one probe measures with this one: waits for locks are some of all waits, and each wait is looked at once.
  ///
  /// One that has failed is tried by itself: it must not end the other one each time.
  private func together(_ type: ProfileType) -> [ProfileType] {
    let waits = [ProfileType.offCPU, .lock]
    guard waits.contains(type), apart.remaining(at: Clock.monotonic) == 0,
      waits.allSatisfy({ types.contains($0) && control.wanted($0.rawValue) != nil && !control.isFailing($0.rawValue) }),
      control[ProfileType.offCPU.rawValue]?.filter == control[ProfileType.lock.rawValue]?.filter
    else { return [type] }
    return waits
  }

  private func settings(of types: [ProfileType]) -> [ProfileType: ProbeSettings] {
    types.reduce(into: [:]) { $0[$1] = control[$1.rawValue] }
  }

  /// Begins what is to be measured and is not.
  private func beginMissing() {
    // What is counted of a profile that has ended goes before.
    for type in types where control.due(type.rawValue) != nil {
      let group = together(type)
      guard !(members + closed.map(\.member)).contains(where: { !Set($0.types).isDisjoint(with: group) }) else { continue }
      let settings = settings(of: group)
      do { try begin(group, settings) } catch { note(group[0], settings, failed: error) }
    }
  }

  /// Begins what one probe measures; where that does not work, the first by itself.
  private func begin(_ types: [ProfileType], _ settings: [ProfileType: ProbeSettings]) throws {
    let settings = settings.filter { types.contains($0.key) }
    do {
      let (tool, level) = (try tools.tool(for: types, settings, keeper.governor), keeper.governor.level)
      let member = try ProfileMember(
        types, settings, level: level, tool, processes, watch.generation, watching: output, before: delivery.quality)
      poll.add(member.descriptor, as: .ring)
      delivery.note(member)
      members.append(member)
    } catch {
      guard let last = types.last, types.count > 1 else { throw error }
      apart.fail(at: Clock.monotonic)
      try begin(types.dropLast(), settings)
      note(last, settings, failed: error)
    }
  }

  /// - Parameter settings: those that were tried.
  private func note(_ type: ProfileType, _ settings: [ProfileType: ProbeSettings], failed error: any Error) {
    guard let settings = settings[type] else { return }
    control.note(type.rawValue, with: settings, failed: "\(error)")
  }

  /// Takes in what has come of all profiles.
  private func takeIn() { for member in members { member.takeIn(&labels) } }

  // MARK: Windows

  /// Closes all windows; what is to be measured in another way begins anew.
  private func changeWindows() throws {
    let gone = watch.look()
    processes.follow(watch.online, gone: gone)
    let next = Self.windowStart
    var kept: [ProfileMember] = []
    for member in members {
      // It began when the window was over already.
      if member.start == next {
        kept.append(member)
        continue
      }
      let settings = settings(of: member.types)
      var goesOn = false
      var failure: (any Error)?
      try closePassed(member, before: next)
      do { goesOn = try retune(member, next) } catch { failure = error }
      if goesOn {
        // Else it ended as the rate changed.
        if member.start != next { try close(member, next) }
        follow(member)
        kept.append(member)
      } else {
        try end(member)
        // Afterwards: what has ended is not to be in want of anything.
        if let failure { for type in member.types { note(type, settings, failed: failure) } }
      }
    }
    members = kept
    start = next
    labels.forgetOld()
  }

  /// Has a probe attach to files that have come.
  private func follow(_ member: ProfileMember) {
    do {
      for remark in try member.follow() { control.note(member.types[0].rawValue, lacks: remark) }
    } catch { control.note(member.types[0].rawValue, lacks: "\(error)") }
  }

  /// Has a profile go on at the rate that is asked for, and on the processors that there are.
  ///
  /// - Parameter next: the beginning of the window that comes.
  /// - Returns: false where more than the rate is another one.
  private func retune(_ member: ProfileMember, _ next: Int64) throws -> Bool {
    guard member.types.allSatisfy({ control.wanted($0.rawValue) != nil }), together(member.types[0]) == member.types else { return false }
    let settings = settings(of: member.types)
    for (type, new) in settings {
      var same = new
      (same.frequency, same.interval) = (member.settings[type]?.frequency, member.settings[type]?.interval)
      guard same == member.settings[type] else { return false }
    }
    let level = keeper.governor.level
    guard settings != member.settings || level != member.level || watch.generation != member.processors else { return true }
    let tool = try tools.tool(for: member.types, settings, keeper.governor)
    let remarks = try member.retune(tool, settings, level: level, watch.generation) { try close($0, next) }
    for remark in remarks { control.note(member.types[0].rawValue, lacks: remark) }
    delivery.note(member)
    return true
  }

  /// Ends the windows of a profile that have passed but for the last one, each at its end: several where something held up the agent.
  private func closePassed(_ member: ProfileMember, before next: Int64) throws {
    while let passed = member.windowBefore(next) { try close(member, passed) }
  }

  /// Ends the window of a profile; it is named later. What comes while it waits for rules is of the next one.
  private func close(_ member: ProfileMember, _ next: Int64) throws {
    member.takeIn(&labels)
    let deadline = Clock.monotonic + Self.patienceWithRules
    while member.waitForRules(nanoseconds: Self.patienceAtOnce), Clock.monotonic < deadline { takeIn() }
    closed.append(try member.closeWindow(next: next))
    // What is measured together has measured for a window.
    if member.types.count > 1 { apart.succeed() }
  }

  /// Detaches a profile first, so that its window has all of it.
  private func end(_ member: ProfileMember) throws {
    member.detach(output)
    try close(member, Self.windowStart)
    for type in member.types { control.note(type.rawValue, runs: nil) }
  }

  /// Names the oldest window that is over, and hands it over. What comes meanwhile is taken in, and its windows are closed in time.
  private func nameWindow() throws {
    let next = closed.removeFirst()
    var failure: (any Error)?
    let named = processes.name(next.stacks, unit: next.member.types[0].unit) {
      takeIn()
      guard failure == nil, Self.windowStart != start, closed.count < Self.closedLimit else { return }
      do {
        let next = Self.windowStart
        for member in members where member.start != next {
          try closePassed(member, before: next)
          try close(member, next)
        }
        start = next
      } catch { failure = error }
    }
    if let failure { throw failure }
    next.member.note(named)
    delivery.deliver(next, named)
    var waiting: Set<UInt32> = []
    for member in members { waiting.formUnion(member.waitingProcesses) }
    for other in closed { waiting.formUnion(other.stacks.processes) }
    // Events that were not read yet may be of processes that have ended.
    guard members.allSatisfy(\.hasReadAll) else { return }
    processes.settle(before: closed.map(\.opened).min() ?? next.opened, keeping: waiting)
  }

  /// Nanoseconds until the next look at the rings: at the end of a window at once, so that little waits for the next one.
  private var patience: UInt64 {
    let (now, end) = (Clock.realtime, UInt64(max(start + ProfileWindow.length, 0)) * 1_000_000_000)
    return end > now ? min(Self.patience, end - now) : 0
  }

  /// The beginning of the window that it is now.
  static var windowStart: Int64 { Int64(Clock.realtime / 1_000_000_000) / ProfileWindow.length * ProfileWindow.length }
}
