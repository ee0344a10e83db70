import AgentModel
import AgentServer
import Foundation
import Logging
import Profiles
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Agent

@Suite(.requiresBPF, .serialized) struct CollectorTests {
  /// Windows of a collector until one fits; then it is shut down, and the last window follows.
  private func windows(
    _ types: ProfileType..., settings: ProbeSettings,
    until fits: @escaping @Sendable (ProfileWindow, Control) async throws -> Bool
  ) async throws -> [ProfileWindow] {
    var configuration = Configuration()
    configuration.cpuFrequency = settings.frequency ?? 0
    configuration.offCPUThreshold = settings.threshold
    return try await windows(types, configuration, settings.filter, until: fits)
  }

  private func windows(
    _ types: [ProfileType], _ settings: Configuration, _ filter: ProbeSettings.Filter,
    until fits: @escaping @Sendable (ProfileWindow, Control) async throws -> Bool
  ) async throws -> [ProfileWindow] {
    let (stream, input) = AsyncStream<ProfileWindow>.makeStream()
    var configuration = settings
    configuration.host = "here"
    // A debug build among other tests costs more than an agent may.
    configuration.budget.processor = Budget.processors.upperBound
    let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let control = Control(configuration, logger: silent, audit: silent)
    for type in types { _ = try await control.change(type.rawValue, ProbeChange(filter: filter), by: "a test") }
    let collector = try Collector(types, control: control, costs: CostMeter(knowsPrograms: true), unwindMemory: 28) { window, _ in
      input.yield(window)
    }
    let group = ServiceGroup(services: [collector], logger: Logger(label: "test"))
    return try await withThrowingTaskGroup(of: [ProfileWindow].self) { tasks in
      tasks.addTask {
        try await group.run()
        input.finish()
        return []
      }
      tasks.addTask {
        var all: [ProfileWindow] = []
        for await window in stream {
          all.append(window)
          if try await fits(window, control) { await group.triggerGracefulShutdown() }
        }
        return all
      }
      return try await tasks.reduce(into: []) { $0 += $1 }
    }
  }

  /// How a probe stands as soon as it stands so.
  private static func standing(
    of probe: String, _ control: Control, when fits: (ProbeState) -> Bool
  ) async throws -> ProbeState {
    while true {
      if let state = await control.probes().first(where: { $0.name == probe }), fits(state) { return state }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  private static func sum(_ window: ProfileWindow, _ service: String) -> UInt64 {
    window.series.filter { $0.labels["service"] == service || $0.labels["comm"] == service }.flatMap(\.samples).reduce(0) { $0 + $1.value }
  }

  @Test func aBusyProcessIsInEachWholeWindow() async throws {
    let busy = try Running(["bash", "-c", "exec -a spinner bash -c 'echo ready; while :; do :; done'"])
    _ = busy.readLine()
    let found = try await windows(.cpu, settings: ProbeSettings(isEnabled: true, frequency: 97)) { window, _ in
      window.covered > 9_000_000_000 && Self.sum(window, "bash") > 0
    }
    busy.signal(9)
    _ = busy.finish()
    let whole = try #require(found.first { $0.covered > 9_000_000_000 })
    // A processor of its own for most of ten seconds, however busy the machine is.
    #expect(Self.sum(whole, "bash") > 97)
    #expect(whole.start % 10 == 0 && whole.period == 1_000_000_000 / 97 && whole.type == .cpu)
    #expect(found.map(\.start) == found.map(\.start).sorted() && found.count >= 2)
    for window in found {
      #expect(window.stacks.allSatisfy { $0.allSatisfy { Int($0) < window.frames.count } })
      #expect(Set(window.series.map(\.labels)).count == window.series.count && window.series.allSatisfy { $0.labels["host"] == "here" })
      #expect(window.series.flatMap(\.samples).allSatisfy { $0.stack < window.stacks.count && $0.value > 0 })
    }
    let names = whole.stacks.map { $0.map { whole.frames[Int($0)].function } }
    #expect(names.contains { $0.contains("main") && $0.contains("execute_command_internal") || $0.contains { $0.hasPrefix("bash+") } })
  }

  @Test func aSleeperIsInTheWaits() async throws {
    let sleeper = try Running([
      "python3", "-c",
      "import time\nopen('/proc/self/comm', 'w').write('sleeper-of-test')\nprint('ready', flush=True)\nwhile True: time.sleep(0.097)",
    ])
    _ = sleeper.readLine()
    // Alone, it waits less often than waits are taken: all of them are.
    var settings = ProbeSettings(isEnabled: true, threshold: 50_000)
    settings.filter.comm = "sleeper-of-test"
    let found = try await windows(.offCPU, settings: settings) { window, _ in
      window.covered > 9_000_000_000 && Self.sum(window, "sleeper-of-test") > 0
    }
    sleeper.signal(9)
    _ = sleeper.finish()
    let whole = try #require(found.first { $0.covered > 9_000_000_000 })
    // It sleeps all the time but for its own work.
    let share = Double(Self.sum(whole, "sleeper-of-test")) / Double(whole.covered)
    #expect((0.5...1.1).contains(share), "\(share)")
  }

  /// By one probe with the other waits, and alone.
  @Test(arguments: [[ProfileType.offCPU, .lock], [.lock]]) func waitsForLocksAreAProfileOfTheirOwn(_ types: [ProfileType]) async throws {
    let folder = try TemporaryFolder()
    let running = try Running([try compileLocks(in: folder, name: "locks-of-test"), "1000000", "0", "0", "1000000", "20000"])
    var configuration = Configuration()
    (configuration.cpuFrequency, configuration.offCPUThreshold, configuration.lockThreshold) = (0, 1000, 100)
    var filter = ProbeSettings.Filter()
    filter.comm = "locks-of-test"
    let found = try await windows(types, configuration, filter) { window, _ in window.type == .lock && window.covered > 9_000_000_000 }
    running.signal(9)
    _ = running.finish()
    func functions(_ window: ProfileWindow) -> [[String]] { window.stacks.map { $0.map { window.frames[Int($0)].function } } }
    let locks = try #require(found.first { $0.type == .lock && $0.covered > 9_000_000_000 })
    #expect(locks.lost == 0 && !locks.stacks.isEmpty && functions(locks).allSatisfy { $0.contains("take_mutex") }, "\(functions(locks))")
    // The thread waits for the lock nearly half of the time, else for work.
    let share = Double(Self.sum(locks, "locks-of-test")) / Double(locks.covered)
    #expect((0.2...0.6).contains(share), "\(share)")
    guard types.contains(.offCPU) else { return #expect(found.allSatisfy { $0.type == .lock }) }
    let waits = try #require(found.first { $0.type == .offCPU && $0.start == locks.start })
    #expect(functions(waits).contains { $0.contains("wait_for_work") } && functions(waits).contains { $0.contains("take_mutex") })
    // The other thread sleeps meanwhile.
    #expect(Self.sum(waits, "locks-of-test") > 2 * Self.sum(locks, "locks-of-test") && waits.covered == locks.covered)
  }

  /// A profile that takes more than the agent may rests until there is room, and its windows are whole until then.
  @Test func aProfileRestsToKeepTheBudget() async throws {
    let changes = Mutex(0)
    let found = try await windows(.offCPU, settings: ProbeSettings(isEnabled: true, threshold: 1000)) { window, control in
      func note(_ change: CostGovernor.Change) {
        control.note(.init(change: change, cause: .processor, share: 0.03, memory: 0), isWhole: true)
      }
      func settled() async throws -> ProbeState { try await Self.standing(of: "off_cpu", control) { !$0.isPending } }
      guard
        changes.withLock({ count in
          count += 1
          return count == 1
        })
      else { return true }
      note(.pause("off_cpu", share: 0.02))
      let paused = try await settled()
      #expect(!paused.isRunning && paused.settings.isEnabled && paused.hindrance?.cause == .budget)
      note(.resume("off_cpu"))
      let again = try await settled()
      #expect(again.isRunning && again.hindrance == nil)
      return false
    }
    #expect(found.count >= 2 && found.map(\.start) == found.map(\.start).sorted())
  }

  /// Both at once, on what they share: each window of the one has its counterpart, and each process is in its own profile.
  @Test func bothProfilesAreMeasuredAtOnce() async throws {
    let program = "import time\nopen('/proc/self/comm', 'w').write('both-of-test')\nprint('ready', flush=True)\n"
    let sleeper = try Running(["python3", "-c", program + "while True: time.sleep(0.097)"])
    let busy = try Running(["python3", "-c", program + "while True: pass"])
    _ = sleeper.readLine()
    _ = busy.readLine()
    var settings = ProbeSettings(isEnabled: true, frequency: 97, threshold: 50_000)
    settings.filter.comm = "both-of-test"
    // The one begins before the other, which may be there for less of the first window.
    let whole = Mutex<[Int64: Set<ProfileType>]>([:])
    let found = try await windows(.cpu, .offCPU, settings: settings) { window, _ in
      whole.withLock { whole in
        if window.covered > 9_000_000_000, Self.sum(window, "both-of-test") > 0 { whole[window.start, default: []].insert(window.type) }
        return whole.contains { $0.value.count == 2 }
      }
    }
    for running in [sleeper, busy] {
      running.signal(9)
      _ = running.finish()
    }
    let start = try #require(whole.withLock { $0.first { $0.value.count == 2 } }).key
    for type in [ProfileType.cpu, .offCPU] {
      let windows = found.filter { $0.type == type }
      #expect(windows.map(\.start) == windows.map(\.start).sorted() && windows.count >= 2)
      #expect(windows.allSatisfy { $0.series.allSatisfy { $0.labels["service"] == "both-of-test" || $0.labels["comm"] == "both-of-test" } })
    }
    let alone = Set(found.filter { $0.type == .cpu }.map(\.start)).symmetricDifference(found.filter { $0.type == .offCPU }.map(\.start))
    #expect(alone.allSatisfy { $0 == found.map(\.start).min() }, "\(alone)")
    func window(_ type: ProfileType) throws -> ProfileWindow { try #require(found.first { $0.type == type && $0.start == start }) }
    let (cpu, waits) = (try window(.cpu), try window(.offCPU))
    // A processor of its own for most of ten seconds; the other sleeps all the time, alone.
    #expect(Self.sum(cpu, "both-of-test") > 97 && cpu.period == 1_000_000_000 / 97 && waits.period == 0)
    let share = Double(Self.sum(waits, "both-of-test")) / Double(waits.covered)
    #expect((0.5...1.5).contains(share), "\(share)")
    func names(_ window: ProfileWindow) -> Set<String> { Set(window.frames.map(\.function)) }
    #expect(names(waits).contains { $0.contains("nanosleep") } && !names(cpu).contains("[still blocked]"))
  }

  /// Once a window each library is looked for, and by bytes each allocation counts.
  @Test func allocationsAreSampledByBytes() async throws {
    let folder = try TemporaryFolder()
    let program = try compile(
      """
      #include <stdlib.h>
      #include <unistd.h>
      void *volatile sink;
      __attribute__((noinline)) void take(void) { sink = malloc(1000003); free(sink); sink = 0; }
      int main(void) { for (;;) { take(); usleep(10000); } }
      """, in: folder, name: "takes-of-test", compiler: "clang", flags: ["-O1", "-fno-builtin", "-fno-optimize-sibling-calls"])
    let running = try Running([program])
    var configuration = Configuration()
    (configuration.cpuFrequency, configuration.offCPUThreshold, configuration.allocationInterval) = (0, nil, 64 << 10)
    var filter = ProbeSettings.Filter()
    filter.comm = "takes-of-test"
    let found = try await windows([.allocations], configuration, filter) { window, _ in window.covered > 9_000_000_000 }
    running.signal(9)
    _ = running.finish()
    let whole = try #require(found.first { $0.covered > 9_000_000_000 })
    let sum = Self.sum(whole, "takes-of-test")
    // Each is larger than the interval, and counts as itself; there are at most a hundred a second.
    #expect(sum > 0 && sum % 1_000_003 == 0 && sum / 1_000_003 <= whole.covered / 10_000_000 + 1, "\(sum)")
    #expect(sum / 1_000_003 > whole.covered / 100_000_000, "\(sum)")
    #expect(whole.type == .allocations && whole.lost == 0 && whole.period == 0)
    #expect(whole.stacks.contains { $0.contains { whole.frames[Int($0)].function == "take" } })
  }

  /// Of one collector: stopped, started at another frequency with a filter, all by the control interface.
  @Test func changesHoldFromTheEndOfTheWindowOn() async throws {
    // A name that nothing else has: a shell that starts another program has the filter's name first, and then that one's.
    let folder = try TemporaryFolder()
    // By another process: while this one writes a file, its children hold it open, and then it cannot be run.
    try mustRun(["cp", "/bin/bash", folder.file("busy-of-test")])
    let busy = try Running([folder.file("busy-of-test"), "-c", "echo ready; while :; do :; done"])
    try #require(busy.readLine() == "ready")
    let changes = Mutex(0)
    let found = try await windows(.cpu, settings: ProbeSettings(isEnabled: true, frequency: 97)) { window, control in
      func settled(_ isRunning: Bool) async throws -> ProbeState {
        try await Self.standing(of: "cpu", control) { $0.isRunning == isRunning && !$0.isPending }
      }
      // One that ended a moment after its start may have no sample.
      guard changes.withLock({ $0 > 0 }) || Self.sum(window, "busy-of-test") > 0 else { return false }
      if changes.withLock({ count in
        count += 1
        return count == 1
      }) {
        _ = try await control.change("cpu", ProbeChange(isRunning: false), by: "a test")
        let ended = try await settled(false)
        #expect(ended.events > 0 && ended.settings.frequency == 97)
        var filter = ProbeSettings.Filter()
        filter.comm = "busy-of-test"
        _ = try await control.change("cpu", ProbeChange(isRunning: true, frequency: 49, filter: filter), by: "a test")
        let begun = try await settled(true)
        #expect(begun.settings.frequency == 49 && begun.events >= ended.events)
        return false
      }
      return window.period == 1_000_000_000 / 49 && window.covered > 9_000_000_000
    }
    busy.signal(9)
    _ = busy.finish()
    let last = try #require(found.last { $0.covered > 9_000_000_000 })
    let periods: [UInt64] = [1_000_000_000 / 97, 1_000_000_000 / 49]
    #expect(Set(found.map(\.period)).sorted() == periods)
    #expect(found.map(\.start) == found.map(\.start).sorted())
    // A processor of its own for most of ten seconds, and nothing else.
    #expect(Self.sum(last, "busy-of-test") > 49)
    #expect(last.series.allSatisfy { [$0.labels["service"], $0.labels["comm"]].contains("busy-of-test") }, "\(last.series.map(\.labels))")
  }
}
