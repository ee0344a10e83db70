import AgentModel
import Foundation
import Linux
import Logging
import Profiles
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Agent
@testable import AgentServer

/// A cgroup of the test's own, below which programs run.
private final class TestGroup {
  let name = "swtrace-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
  let path: String

  init() throws {
    guard let root = ControlGroup.root else { throw RunError("no cgroup v2 is mounted") }
    path = "\(root)/\(name)"
    guard mkdir(path, 0o755) == 0 else { throw RunError("no folder \(path)") }
  }

  /// A command that runs in it.
  func command(_ words: [String]) -> [String] { ["bash", "-c", "echo $$ > \(path)/cgroup.procs; exec \"$@\"", "bash"] + words }

  deinit { rmdir(path) }
}

/// A program that enters a cgroup, does things there so many times, leaves it, and prints how often it left a processor
/// there, without and with the moves.
private func compileWorkload(in folder: TemporaryFolder) throws -> String {
  try compile(
    """
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    static long leavings(void) { struct rusage use; getrusage(RUSAGE_SELF, &use); return use.ru_nvcsw + use.ru_nivcsw; }
    static void enter(int group) { if (pwrite(group, "0", 1, 0) != 1) _exit(2); }
    /* GROUP ROOT FAULTS NAPS FAILURES */
    int main(int count, char **arguments) {
      int group = open(arguments[1], O_WRONLY), root = open(arguments[2], O_WRONLY), faults = atoi(arguments[3]);
      struct timespec nap = { 0, 100000 };
      if (mlockall(MCL_CURRENT)) return 3;
      char *memory = mmap(0, faults * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      madvise(memory, faults * 4096L, MADV_NOHUGEPAGE);
      long outside = leavings();
      enter(group);
      long inside = leavings();
      for (int i = 0; i < faults; i++) ((volatile char *)memory)[i * 4096L] = 1;
      /* A nap may be over before this has left the processor. */
      for (long start = leavings(); leavings() - start < atoi(arguments[4]);) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, 0);
      for (int i = 0; i < atoi(arguments[5]); i++) if (!syscall(SYS_pivot_root, "/nonexistent", "/nonexistent")) return 4;
      inside = leavings() - inside;
      enter(root);
      printf("%ld %ld\\n", inside, leavings() - outside);
      return 0;
    }
    """, in: folder, name: "metricwork")
}

@Suite(.requiresBPF, .serialized) struct MetricCollectorTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private var all: MetricSettings {
    var settings = MetricSettings()
    (settings[.faults], settings[.systemCalls]) = ("all", "latency")
    return settings
  }

  /// A control of these metrics, which no budget disturbs.
  private static func control(_ settings: MetricSettings) -> Control {
    var configuration = Configuration()
    (configuration.host, configuration.metrics) = ("here", settings)
    return Control(configuration, logger: Logger(label: "test"), audit: Logger(label: "test"))
  }

  /// What a collector measured from when all is attached until after the work, and its windows.
  private func measure(
    _ settings: MetricSettings, during work: @escaping @Sendable () throws -> Void
  ) async throws -> (current: MetricCollector.Current, windows: [MetricWindow]) {
    try await measure(Self.control(settings)) { _ in try work() }
  }

  private func measure(
    _ control: Control, during work: @escaping @Sendable (MetricCollector) async throws -> Void
  ) async throws -> (current: MetricCollector.Current, windows: [MetricWindow]) {
    let windows = Mutex<[MetricWindow]>([])
    let collector = try MetricCollector(control: control, costs: CostMeter(knowsPrograms: true)) { window in
      windows.withLock { $0.append(window) }
    }
    let group = ServiceGroup(services: [collector], logger: Logger(label: "test"))
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      tasks.addTask {
        while collector.current.probes.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        do { try await work(collector) } catch {
          await group.triggerGracefulShutdown()
          throw error
        }
        await group.triggerGracefulShutdown()
      }
      // A failure of either ends the other.
      for try await _ in tasks {}
    }
    return (collector.current, windows.withLock { $0 })
  }

  /// What is said of a probe when it does what it is to do.
  private static func settled(_ control: Control, _ name: String) async throws -> ProbeState {
    while true {
      if let state = await control.probes().first(where: { $0.name == name }), !state.isPending { return state }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Stopped, started and measured in another way, by the control interface: nothing that was counted before is lost.
  @Test func probesAreStoppedStartedAndTuned() async throws {
    let group = try TestGroup()
    let program = try compileWorkload(in: folder)
    let procs = "\(group.path)/cgroup.procs"
    var settings = MetricSettings()
    for key in MetricKey.allCases { settings[key] = "off" }
    (settings[.faults], settings[.systemCalls]) = ("all", "errors")
    let control = Self.control(settings)
    let service = ["service": group.name]
    @Sendable func work() throws { _ = try mustRun([program, procs, (ControlGroup.root ?? "") + "/cgroup.procs", "1009", "0", "211"]) }
    @Sendable func change(_ name: String, _ change: ProbeChange) async throws -> ProbeState {
      _ = try await control.change(name, change, by: "a test")
      return try await Self.settled(control, name)
    }
    let stopped = Mutex<MetricCollector.Current?>(nil)
    let (current, windows) = try await measure(control) { collector in
      try work()
      // To the last event, which was a moment ago.
      #expect(try await change("page_faults", ProbeChange(isRunning: false)).isRunning == false)
      #expect(try await change("syscalls", ProbeChange(mode: "latency")).isRunning)
      stopped.withLock { $0 = collector.current }
      try work()
      let again = try await change("page_faults", ProbeChange(isRunning: true))
      #expect(again.isRunning && again.label == "faults" && again.events >= 1009 && again.hindrance == nil)
      try work()
    }
    let middle = try #require(stopped.withLock { $0 })
    #expect(Self.count(middle, MetricCatalog.pageFaults, service) == 1009)
    #expect(Self.count(middle, MetricCatalog.syscallErrors, ["syscall": "pivot_root"]) == 211)
    #expect(Self.count(middle, MetricCatalog.syscallLatency, [:]) == 0)
    #expect(middle.probes.first { $0.name == "faults" }?.standing.mapMemory == 0)
    #expect(Self.count(current, MetricCatalog.pageFaults, service) == 2 * 1009)
    #expect(Self.count(current, MetricCatalog.syscallErrors, ["syscall": "pivot_root"]) == 3 * 211)
    #expect(Self.count(current, MetricCatalog.syscallLatency, ["syscall": "pivot_root"]) == 2 * 211)
    // What was counted of the probe adds up over its runs, and so do the windows.
    let faults = try #require(current.probes.first { $0.name == "faults" })
    #expect(faults.standing.delivered == Self.count(current, MetricCatalog.pageFaults, [:]))
    let kept = windows.flatMap(\.metrics).filter { $0.name == MetricCatalog.pageFaults.name }.flatMap(\.series)
    #expect(kept.filter { $0.labels["service"] == group.name }.reduce(0) { $0 + $1.value.count } == 2 * 1009)
    for window in windows { #expect(Set(window.metrics.map(\.name)).count == window.metrics.count) }
  }

  /// The rules of a file that was read again hold for what a scrape shows, at once.
  @Test func otherRulesForLabels() async throws {
    var settings = MetricSettings()
    for key in MetricKey.allCases { settings[key] = "off" }
    settings[.faults] = "all"
    let control = Self.control(settings)
    let group = try TestGroup()
    let (command, name) = (group.command(["ls", "/"]), group.name)
    let (current, windows) = try await measure(control) { collector in
      @Sendable func hasGroup() -> Bool { Self.count(collector.current, MetricCatalog.pageFaults, ["service": name]) > 0 }
      while !hasGroup() { _ = try mustRun(command) }
      var configuration = control.configuration
      configuration.redaction = [try RedactionRule(regex: "swtrace-test-.*", replacement: "a-test")]
      control.reload(configuration, by: "a test")
      #expect(!hasGroup())
      while Self.count(collector.current, MetricCatalog.pageFaults, ["service": "a-test"]) == 0 { _ = try mustRun(command) }
    }
    let services = current.series.flatMap(\.totals).compactMap { $0.labels["service"] }
    #expect(services.contains("a-test") && !services.contains(group.name))
    // Each window has the labels of its own time.
    let names = windows.map {
      Set($0.metrics.flatMap(\.series).compactMap { $0.labels["service"] }.filter { ["a-test", group.name].contains($0) })
    }
    #expect(names.allSatisfy { $0.count <= 1 } && names.contains(["a-test"]) && names.contains([group.name]))
  }

  /// The values of the series of a metric that have these labels.
  private static func values(_ current: MetricCollector.Current, _ metric: Metric, _ labels: [String: String]) -> [MetricValue] {
    let totals = current.series.first { $0.metric == metric }?.totals ?? []
    return totals.filter { total in labels.allSatisfy { total.labels[$0.key] == $0.value } }.map(\.value)
  }

  private static func count(_ current: MetricCollector.Current, _ metric: Metric, _ labels: [String: String]) -> UInt64 {
    values(current, metric, labels).reduce(0) { $0 + $1.count }
  }

  private static func lost(_ current: MetricCollector.Current, _ name: String) -> UInt64 {
    current.probes.first { $0.name == name }?.standing.lost.values.reduce(0, +) ?? 0
  }

  @Test func faultsWaitsAndFailuresAreCounted() async throws {
    let group = try TestGroup()
    let program = try compileWorkload(in: folder)
    let leavings = Mutex<[UInt64]>([])
    let disk = try LoopDisk()
    let (device, name) = (disk.path, disk.name)
    let procs = "\(group.path)/cgroup.procs"
    let control = Self.control(all)
    let (current, windows) = try await measure(control) { _ in
      let root = (ControlGroup.root ?? "") + "/cgroup.procs"
      let printed = try mustRun([program, procs, root, "1009", "97", "211"])
      leavings.withLock { $0 = printed.split(whereSeparator: \.isWhitespace).compactMap { UInt64($0) } }
      // Whoever watches for changed disks leaves a locked one alone.
      _ = try mustRun(["flock", device, "dd", "if=\(device)", "of=/dev/null", "bs=4096", "count=31", "iflag=direct"])
    }
    #expect(current.probes.count == 8)
    #expect(await control.probes().compactMap(\.hindrance) == [])
    let service = ["service": group.name, "host": "here"]
    #expect(Self.count(current, MetricCatalog.pageFaults, service.merging(["kind": "minor"]) { $1 }) == 1009)
    #expect(Self.count(current, MetricCatalog.pageFaults, service.merging(["kind": "major"]) { $1 }) == 0)
    #expect(Self.count(current, MetricCatalog.syscallErrors, ["syscall": "pivot_root"]) == 211)
    #expect(Self.count(current, MetricCatalog.syscallLatency, ["syscall": "pivot_root"]) == 211)
    #expect(Self.count(current, MetricCatalog.blockLatency, ["disk": name]) == 31)
    // Each leaving of a processor is followed by a wait for one; the kernel hides some, which is told.
    let (waits, expected) = (Self.count(current, MetricCatalog.runQueueLatency, service), leavings.withLock { $0 })
    try #require(expected.count == 2 && expected[0] >= 97)
    #expect(waits <= expected[1] && waits + Self.lost(current, "runqlat") >= expected[0], "\(waits) of \(expected)")
    for name in ["faults", "biolatency", "syscount"] { #expect(Self.lost(current, name) == 0, "\(name)") }
    try Self.checkWindows(windows, current)
    // What a probe delivered is in the series, to the last event.
    for (name, metric) in [
      ("runqlat", MetricCatalog.runQueueLatency), ("biolatency", MetricCatalog.blockLatency), ("faults", MetricCatalog.pageFaults),
      ("syscount", MetricCatalog.syscallLatency), ("tcprtt", MetricCatalog.roundTrip),
    ] {
      let delivered = current.probes.first { $0.name == name }?.standing.delivered
      #expect(delivered == Self.count(current, metric, [:]), "\(name)")
    }
    // Together below 9 MB: the rules by which stacks are walked need the rest.
    #expect(current.probes.reduce(0) { $0 + $1.standing.mapMemory } < 9 << 20, "\(current.probes.map { ($0.name, $0.standing.mapMemory) })")
  }

  /// Windows begin at multiples, and add up to what a scrape shows.
  private static func checkWindows(_ windows: [MetricWindow], _ current: MetricCollector.Current) throws {
    #expect(!windows.isEmpty && windows.allSatisfy { $0.start % 10 == 0 })
    for (metric, totals) in current.series {
      let measured = windows.flatMap(\.metrics).filter { $0.name == metric.name }
      #expect(measured.count == windows.count && measured.allSatisfy { $0.covered > 0 })
      for total in totals {
        let parts = measured.flatMap(\.series).filter { $0.labels == total.labels }.map(\.value)
        #expect(parts.reduce(into: MetricValue.nothing(metric.kind)) { $0.add($1) } == total.value, "\(metric.name) \(total.labels)")
      }
    }
  }

  @Test func connectsRoundTripsAndRetransmitsAreCounted() async throws {
    let group = try TestGroup()
    let program = try NetworkWorkload.path.get()
    let truth = folder.file("truth")
    let connects = group.command([program, "connects", folder.file("connects")])
    let retransmissions = group.command([program, "retransmissions", truth])
    let exchanges = [program, "exchanges", group.path]
    let segments = Mutex(UInt64(0))
    var current = try await KernelTrace.showingAll(["sock/inet_sock_set_state"]) {
      try await measure(all) { _ = try mustRun(connects) }.current
    } isMeant: { line, _ in
      line.contains("state=TCP_SYN_SENT")
    }
    func count(_ metric: Metric, _ labels: [String: String]) -> UInt64 {
      Self.count(current, metric, labels.merging(["service": group.name]) { $1 })
    }
    #expect(count(MetricCatalog.connectLatency, ["result": "connected"]) == 113)
    #expect(count(MetricCatalog.connectLatency, ["result": "failed"]) == 89 + 13 + 5)
    #expect(count(MetricCatalog.connectLatency, ["result": "closed"]) == 7 + 3 + 2)
    // Those that timed out took a second at least.
    guard
      case .histogram(let failed) = Self.values(current, MetricCatalog.connectLatency, ["service": group.name, "result": "failed"]).first
    else { throw RunError("no histogram") }
    let slow = failed.buckets.filter { $0.low >= 512 << 20 }
    // On a slow machine a refusal may take as long.
    #expect(slow.reduce(0) { $0 + $1.count } >= 13 && failed.sum > 13_000_000_000)

    let trace = ["tcp/tcp_retransmit_skb", "tcp/tcp_retransmit_synack"]
    current = try await KernelTrace.showingAll(trace) {
      try await measure(all) { _ = try mustRun(retransmissions) }.current
    } isMeant: { _, _ in
      true
    }
    let numbers = try String(contentsOfFile: truth, encoding: .utf8).split(separator: " ").compactMap { UInt64($0.filter(\.isNumber)) }
    let (told, expected) = (count(MetricCatalog.retransmits, [:]), numbers[1] + numbers[3] + numbers[5] + numbers[7] + numbers[8])
    #expect(
      told + Self.lost(current, "tcpretrans") == expected && told > 0,
      "\(told) of \(numbers), \(current.series.first { $0.metric == MetricCatalog.retransmits }?.totals.map { ($0.labels, $0.value) } ?? [])"
    )
    #expect(count(MetricCatalog.retransmits, ["reason": "syn-ack"]) + Self.lost(current, "tcpretrans") >= numbers[8])

    current = try await KernelTrace.showingAll(["tcp/tcp_probe"]) {
      try await measure(all) {
        let running = try Running(exchanges, input: true)
        _ = try running.wait(for: "ports")
        running.write("p")
        let received = try running.wait(for: "done").split(separator: " ").dropFirst().compactMap { UInt64($0) }
        segments.withLock { $0 = received[0] + received[1] + received[3] + received[4] }
        running.closeInput()
        guard running.finish().status == 0 else { throw RunError("the exchanges failed") }
      }.current
    } isMeant: { line, _ in
      line.contains("=127.0.0.1:") || line.contains("=[::1]:")
    }
    // Setting up and ending the two connections has segments as well.
    let (trips, least) = (count(MetricCatalog.roundTrip, [:]), segments.withLock { $0 })
    #expect(trips + Self.lost(current, "tcprtt") >= least && trips <= least + 20, "\(trips) of \(least)")
  }

  @Test func killsAreCounted() async throws {
    let limited = try LimitedGroup()
    let path = limited.path
    let (current, _) = try await measure(all) {
      for _ in 0..<3 {
        let script = "echo $$ > \(path)/cgroup.procs; exec python3 -c 'x = bytearray(64 << 20)'"
        guard try run(["bash", "-c", script]).status == 128 + 9 else { throw RunError("it was not killed") }
      }
    }
    #expect(Self.count(current, MetricCatalog.oomKills, ["service": "inner"]) == 3)
  }

  @Test func aScrapeHasEachFamilyOfTheCatalogOnce() async throws {
    let (current, _) = try await measure(all) {}
    #expect(current.families.map(\.name) == MetricCatalog.measured.map(\.name))
    #expect(current.losses.count == 56)
    var settings = MetricSettings()
    for key in [MetricKey.faults, .runQueue, .systemCalls] { settings[key] = "off" }
    let (fewer, _) = try await measure(settings) {}
    #expect(fewer.probes.map(\.name) == ["biolatency", "tcpconnlat", "tcprtt", "tcpretrans", "oomkill"])
    #expect(!fewer.families.map(\.name).contains(MetricCatalog.runQueueLatency.name))
  }
}
