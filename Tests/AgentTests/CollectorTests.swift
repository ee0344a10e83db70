import AgentModel
import Logging
import Profiles
import ServiceLifecycle
import TestSupport
import Testing

@testable import Agent

@Suite(.requiresBPF, .serialized) struct CollectorTests {
  /// Windows of a collector until one fits; then it is shut down, and the last window follows.
  private func windows(
    _ profiling: Collector.Profiling, until fits: @escaping @Sendable (ProfileWindow) -> Bool
  ) async throws -> [ProfileWindow] {
    let (stream, input) = AsyncStream<ProfileWindow>.makeStream()
    let collector = try Collector(profiling, host: "here", unwindMemory: 28) { window, _ in input.yield(window) }
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
          if fits(window) { await group.triggerGracefulShutdown() }
        }
        return all
      }
      return try await tasks.reduce(into: []) { $0 += $1 }
    }
  }

  private static func sum(_ window: ProfileWindow, _ service: String) -> UInt64 {
    window.series.filter { $0.labels["service"] == service || $0.labels["comm"] == service }.flatMap(\.samples).reduce(0) { $0 + $1.value }
  }

  @Test func aBusyProcessIsInEachWholeWindow() async throws {
    let busy = try Running(["bash", "-c", "exec -a spinner bash -c 'echo ready; while :; do :; done'"])
    _ = busy.readLine()
    let found = try await windows(.cpu(frequency: 97)) { $0.covered > 9_000_000_000 && Self.sum($0, "bash") > 0 }
    busy.signal(9)
    _ = busy.finish()
    let whole = try #require(found.first { $0.covered > 9_000_000_000 })
    // A processor of its own for most of ten seconds, however busy the machine is.
    #expect(Self.sum(whole, "bash") > 97)
    #expect(whole.start % 10 == 0 && whole.period == 1_000_000_000 / 97 && whole.type == .cpu)
    #expect(found.map(\.start) == found.map(\.start).sorted() && found.count >= 2)
    for window in found {
      #expect(window.covered <= 11_000_000_000)
      #expect(window.stacks.allSatisfy { $0.allSatisfy { Int($0) < window.frames.count } })
      #expect(Set(window.series.map(\.labels)).count == window.series.count && window.series.allSatisfy { $0.labels["host"] == "here" })
      #expect(window.series.flatMap(\.samples).allSatisfy { $0.stack < window.stacks.count && $0.value > 0 })
    }
    let names = whole.stacks.map { $0.map { whole.frames[Int($0)].function } }
    #expect(names.contains { $0.contains("main") && $0.contains("execute_command_internal") || $0.contains { $0.hasPrefix("bash+") } })
  }

  @Test func aSleeperIsInTheWaits() async throws {
    let sleeper = try Running(["python3", "-c", "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.097)"])
    _ = sleeper.readLine()
    let found = try await windows(.offCPU(threshold: 50_000)) { $0.covered > 9_000_000_000 && Self.sum($0, "python3") > 0 }
    sleeper.signal(9)
    _ = sleeper.finish()
    let whole = try #require(found.first { $0.covered > 9_000_000_000 })
    // It sleeps all the time but for its own work.
    #expect((5_000_000_000...11_000_000_000).contains(Self.sum(whole, "python3")), "\(Self.sum(whole, "python3"))")
  }
}
