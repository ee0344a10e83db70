internal import AgentModel
internal import AgentServer
internal import AgentStore
internal import Glibc
internal import Linux
internal import Synchronization
internal import Tools

/// What the agent knows of itself, for the page and for Prometheus.
final class AgentStanding: AgentState {
  private struct Content {
    var collectors: [ProfileType: Collector.Standing] = [:]
    /// Time of processors and of programs, in nanoseconds, when the shares were last computed.
    var before: (time: UInt64, processor: UInt64, programs: UInt64) = (0, 0, 0)
    var cost: (processor: Double, programs: Double) = (0, 0)
  }

  private let store: Store
  private let queue: WindowQueue
  private let measured: MetricCollector
  private let control: Control
  private let startedAt = Int64(Clock.realtime / 1_000_000_000)
  private let content = Mutex(Content())

  init(_ store: Store, _ queue: WindowQueue, _ measured: MetricCollector, _ control: Control) {
    self.store = store
    self.queue = queue
    self.measured = measured
    self.control = control
  }

  /// Notes what a collector has done; called with each window.
  func note(_ collector: Collector.Standing) {
    let (now, processor) = (Clock.monotonic, OwnCost.processorTime)
    content.withLock { content in
      content.collectors[collector.type] = collector
      let programs =
        content.collectors.values.reduce(0) { $0 + $1.quality.programTime }
        + measured.current.probes.reduce(0) { $0 + $1.standing.programTime }
      guard now > content.before.time + 5_000_000_000 else { return }
      if content.before.time > 0 {
        let elapsed = Double(now - content.before.time)
        content.cost = (
          Double(processor - content.before.processor) / elapsed,
          Double(programs >= content.before.programs ? programs - content.before.programs : 0) / elapsed
        )
      }
      content.before = (now, processor, programs)
    }
  }

  func health() async -> Health {
    let (collectors, cost) = content.withLock { ($0.collectors, $0.cost) }
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
        processor: cost.processor, programs: cost.programs, limit: configuration.budget.processor / 100, memory: OwnCost.residentMemory),
      store: Health.Store(
        bytes: UInt64(status.fileBytes + status.logBytes), limit: UInt64(configuration.maximumSize), droppedWindows: queue.current.dropped),
      remarks: status.remarks)
  }

  func metrics() async -> [MetricFamily] {
    let health = await health()
    let memory = content.withLock { $0.collectors.values.map { ($0.type, $0.quality.mapMemory, $0.quality.programTime) } }
    func perProfile(_ value: (Health.Measuring) -> UInt64) -> [MetricFamily.Sample] {
      health.profiles.map { .init(Double(value($0)), labels: [("profile", $0.type.rawValue)]) }
    }
    let measured = measured.current
    return [
      MetricFamily(MetricCatalog.events, perProfile(\.events) + measured.perProbe(\.delivered)),
      MetricFamily(MetricCatalog.eventsLost, perProfile(\.lost) + measured.losses),
      MetricFamily(MetricCatalog.probeUp, measured.up),
      MetricFamily(MetricCatalog.wholeStacks, perProfile(\.wholeStacks)), MetricFamily(MetricCatalog.cutStacks, perProfile(\.cutStacks)),
      MetricFamily(MetricCatalog.frames, perProfile(\.frames)), MetricFamily(MetricCatalog.unnamedFrames, perProfile(\.unnamedFrames)),
      MetricFamily(MetricCatalog.processorTime, [.init(Double(OwnCost.processorTime) / 1e9)]),
      MetricFamily(
        MetricCatalog.programTime,
        memory.map { .init(Double($0.2) / 1e9, labels: [("profile", $0.0.rawValue)]) } + measured.programTimes),
      MetricFamily(MetricCatalog.residentMemory, [.init(Double(health.cost.memory))]),
      MetricFamily(
        MetricCatalog.mapMemory, memory.map { .init(Double($0.1), labels: [("profile", $0.0.rawValue)]) } + measured.perProbe(\.mapMemory)),
      MetricFamily(MetricCatalog.storeSize, [.init(Double(health.store.bytes))]),
      MetricFamily(MetricCatalog.droppedWindows, [.init(Double(health.store.droppedWindows))]),
    ] + measured.families
  }

  func reasonNotReady() async -> String? {
    content.withLock { $0.collectors.isEmpty } ? "no window has ended yet; the first takes up to ten seconds" : nil
  }
}

/// What this process takes.
enum OwnCost {
  /// Of all threads, in nanoseconds.
  static var processorTime: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// In bytes; 0 where /proc does not say.
  static var residentMemory: UInt64 {
    let fields = (ProcFile.read("/proc/self/statm") ?? "").split(separator: " ")
    return fields.count > 1 ? (UInt64(fields[1]) ?? 0) * UInt64(getpagesize()) : 0
  }
}
