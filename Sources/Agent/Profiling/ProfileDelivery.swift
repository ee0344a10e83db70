internal import AgentModel
internal import Tools

/// Makes the windows of profiles of what was measured and named, and hands them over.
struct ProfileDelivery {
  private let control: Control
  private let costs: CostMeter
  private let hand: @Sendable (ProfileWindow, Collector.Standing) -> Void
  private var maker: WindowMaker
  private var standings: [ProfileType: Collector.Standing] = [:]

  init(_ control: Control, _ costs: CostMeter, _ hand: @escaping @Sendable (ProfileWindow, Collector.Standing) -> Void) {
    self.control = control
    self.costs = costs
    self.hand = hand
    maker = WindowMaker(host: control.configuration.host)
  }

  /// How complete the stacks of each profile have been until now.
  var quality: [ProfileType: StackRun.Quality] { standings.mapValues(\.quality) }

  /// Notes at which rate a probe measures from now on.
  mutating func note(_ member: ProfileMember) {
    for type in member.types {
      standings[type, default: Collector.Standing(type: type)].period = member.period
      control.note(type.rawValue, runs: member.settings[type])
    }
  }

  /// Hands over the window of each profile of a probe.
  mutating func deliver(_ closed: ClosedProfile, _ named: StackProcesses.Named) {
    for type in closed.member.types { deliver(type, closed, named) }
  }

  private mutating func deliver(_ type: ProfileType, _ closed: ClosedProfile, _ named: StackProcesses.Named) {
    var (profile, delivered) = (named.profile, closed.counts.delivered)
    if type == .lock {
      let locks = named.locks()
      (profile, delivered) = (locks.profile, locks.events)
    } else if closed.member.types.contains(.lock) {
      let waits = named.waits()
      (profile, delivered) = (waits.profile, waits.events)
    }
    var standing = standings[type] ?? Collector.Standing(type: type)
    standing.events += delivered + closed.counts.lost
    standing.lost += closed.counts.lost
    standing.quality = closed.member.quality(of: type)
    standings[type] = standing
    costs.note(type.rawValue, programTime: standing.quality.programTime)
    control.note(type.rawValue, events: standing.events, lost: standing.lost)
    let empty = ProfileWindow(
      type: type, start: closed.start, covered: closed.ended - closed.opened, period: closed.period, lost: closed.counts.lost)
    hand(maker.window(empty, of: profile, closed.labels), standing)
  }
}
