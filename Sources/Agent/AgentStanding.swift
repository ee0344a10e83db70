internal import AgentModel
internal import AgentServer
internal import AgentStore
internal import Linux
internal import Synchronization
internal import Tools

/// What the agent knows of itself, for the page and for Prometheus.
final class AgentStanding: AgentState {
  private struct Content {
    var collectors: [ProfileType: Collector.Standing] = [:]
  }

  private let store: Store
  private let queue: WindowQueue
  private let measured: MetricCollector
  private let control: Control
  private let costs: CostMeter
  private let startedAt = Int64(Clock.realtime / 1_000_000_000)
  private let content = Mutex(Content())

  init(_ store: Store, _ queue: WindowQueue, _ measured: MetricCollector, _ control: Control, _ costs: CostMeter) {
    self.costs = costs
    self.store = store
    self.queue = queue
    self.measured = measured
    self.control = control
  }

  /// Notes what a collector has done; called with each window.
  func note(_ collector: Collector.Standing) { content.withLock { $0.collectors[collector.type] = collector } }

  func health() async -> Health {
    let (collectors, spent) = (content.withLock(\.collectors), costs.latest)
    func share(_ time: UInt64) -> Double { spent.elapsed > 0 ? Double(time) / Double(spent.elapsed) : 0 }
    let status = await store.status()
    let configuration = control.configuration
    return Health(
      version: "0.1.0", startedAt: startedAt,
      profiles: collectors.values.sorted { $0.type.rawValue < $1.type.rawValue }.map { collector in
        Health.Measuring(
          type: collector.type, frequency: collector.period > 0 ? 1e9 / Double(collector.period) : 0, events: collector.events,
          lost: collector.lost, wholeStacks: collector.quality.wholeStacks,
          cutStacks: collector.quality.stacks - collector.quality.wholeStacks,
          unnamedFrames: collector.quality.frames - collector.quality.namedFrames, frames: collector.quality.frames)
      },
      cost: Health.Cost(
        processor: share(spent.process), programs: costs.knowsPrograms ? share(spent.programs) : nil,
        limit: configuration.budget.processor / 100, memory: OwnCost.residentMemory),
      store: Health.Store(
        bytes: UInt64(status.fileBytes + status.logBytes), limit: UInt64(configuration.maximumSize), droppedWindows: queue.current.dropped),
      remarks: status.remarks + control.remarks + (costs.knowsPrograms ? [] : [Self.unknownPrograms]))
  }

  private static let unknownPrograms =
    "What the agent's programs take in the kernel is not known, and not in the budget: it was started without CAP_SYS_ADMIN."

  func metrics() async -> [MetricFamily] {
    let health = await health()
    let running = content.withLock { $0.collectors.values.filter { control.isRunning($0.type.rawValue) } }
    let memory = Self.mapMemory(running.map { ($0.type, $0.quality.maps) })
    func perProfile(_ value: (Health.Measuring) -> UInt64) -> [MetricFamily.Sample] {
      health.profiles.map { .init(Double(value($0)), labels: [("profile", $0.type.rawValue)]) }
    }
    let (measured, probes) = (measured.current, await control.probes())
    let programTime = MetricFamily(
      MetricCatalog.programTime,
      costs.programTime.sorted { $0.key < $1.key }.map { .init(Double($0.value) / 1e9, labels: [("probe", $0.key)]) })
    return [
      MetricFamily(MetricCatalog.events, perProfile(\.events) + measured.perProbe { $0.delivered + $0.lost.values.reduce(0, +) }),
      MetricFamily(MetricCatalog.eventsLost, perProfile(\.lost) + measured.losses),
      MetricFamily(
        MetricCatalog.probeUp,
        probes.filter(\.settings.isEnabled).map { probe in
          let cause = probe.hindrance.map { [(name: "reason", value: $0.cause.rawValue)] } ?? []
          return .init(probe.isRunning ? 1 : 0, labels: [(name: "probe", value: probe.label)] + cause)
        }),
      MetricFamily(MetricCatalog.wholeStacks, perProfile(\.wholeStacks)), MetricFamily(MetricCatalog.cutStacks, perProfile(\.cutStacks)),
      MetricFamily(MetricCatalog.frames, perProfile(\.frames)), MetricFamily(MetricCatalog.unnamedFrames, perProfile(\.unnamedFrames)),
      MetricFamily(MetricCatalog.processorTime, [.init(Double(Clock.process) / 1e9)]),
      MetricFamily(MetricCatalog.rateHalvings, [.init(Double(control.halvings))]),
      MetricFamily(MetricCatalog.residentMemory, [.init(Double(health.cost.memory))]),
      MetricFamily(
        MetricCatalog.mapMemory,
        memory.map { .init(Double($0.bytes), labels: [("profile", $0.type.rawValue)]) } + measured.perProbe(\.mapMemory)),
      MetricFamily(MetricCatalog.storeSize, [.init(Double(health.store.bytes))]),
      MetricFamily(MetricCatalog.droppedWindows, [.init(Double(health.store.droppedWindows))]),
    ] + (costs.knowsPrograms ? [programTime] : []) + measured.families
  }

  /// Kernel memory of profiles, in bytes. A map that several have is that of the first.
  static func mapMemory(_ profiles: [(type: ProfileType, maps: [UInt32: UInt64])]) -> [(type: ProfileType, bytes: UInt64)] {
    var known: Set<UInt32> = []
    return profiles.sorted { $0.type.rawValue < $1.type.rawValue }.map { type, maps in
      (type, maps.reduce(0) { known.insert($1.key).inserted ? $0 + $1.value : $0 })
    }
  }

  func reasonNotReady() async -> String? {
    guard content.withLock({ $0.collectors.isEmpty }) else { return nil }
    let expected = await control.probes().map(\.name).filter { control.wanted($0) != nil }
    let delivered = queue.current
    // What cannot or may not be measured makes no window. Those of metrics count where there is no profile.
    let isReady =
      expected.allSatisfy { MetricKey(rawValue: $0) != nil } && (expected.isEmpty || delivered.delivered + delivered.dropped > 0)
    return isReady ? nil : "no window has ended yet; the first takes up to ten seconds"
  }
}
