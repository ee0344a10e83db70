internal import AgentModel
internal import AgentStore
internal import Linux
internal import Profiles

/// How many rows of samples a store takes in a second, while somebody asks for flame graphs. Prints `name number` lines: `rows` a
/// second, peak `memory` of the process in MB, the slowest `query` in milliseconds, and `bytes` of a row on disk.
@main struct StoreBenchmark {
  static func main() async throws {
    guard CommandLine.arguments.count == 2 else { return print("usage: StoreBenchmark <new file>") }
    let store = try Store(path: CommandLine.arguments[1], now: 0)
    var machine = Machine()
    // All code is seen once before the clock runs: frames and stacks are no rows of samples.
    try await store.receive(machine.dictionary())
    try await store.maintain(now: ProfileWindow.length)
    let before = await store.status()

    let reader = Task { try await slowestQuery(of: store) }
    let began = Clock.monotonic
    var rows = 0
    for index in 1...windows {
      let window = machine.window(start: index * ProfileWindow.length)
      rows += window.series.reduce(0) { $0 + $1.samples.count }
      try await store.receive(window)
      // As often as the agent does, in the time of the windows.
      if index.isMultiple(of: 6) { try await store.maintain(now: (index + 1) * ProfileWindow.length) }
    }
    try await store.maintain(now: (windows + 31) * ProfileWindow.length)
    let elapsed = Double(Clock.monotonic - began) / 1e9
    reader.cancel()
    let slowest = try await reader.value
    let after = await store.status()
    guard after.stored == UInt64(windows) + 1, after.dropped == 0 else { return print("\(after.dropped) windows were dropped") }
    print("rows \(Double(rows) / elapsed)")
    print("memory \(peakMemory)")
    print("query \(slowest)")
    print("bytes \(Double(after.fileBytes - before.fileBytes) / Double(rows))")
  }

  /// Twenty minutes of windows.
  private static let windows: Int64 = 120

  /// Asks for all that there is of one service, again and again until the task is cancelled; the longest time in milliseconds.
  private static func slowestQuery(of store: Store) async throws -> Double {
    var slowest = 0.0
    repeat {
      let began = Clock.monotonic
      _ = try await store.profile(Query(.cpu, [Matcher("service", .equal, "service 0")], in: 0..<(windows + 1) * ProfileWindow.length))
      slowest = max(slowest, Double(Clock.monotonic - began) / 1e6)
      try? await Task.sleep(for: .milliseconds(500))
    } while !Task.isCancelled
    return slowest
  }

  /// In MB; 0 where /proc does not say.
  private static var peakMemory: Double {
    let line = (ProcFile.read("/proc/self/status") ?? "").split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Double($0) } ?? 0) / 1024
  }
}

/// A machine of a hundred services that have 500 stacks each in a window, of 1000 that they have: 50,000 rows.
private struct Machine {
  private static let services = 100
  private static let stacksOfService = 1000
  private static let stacksOfWindow = 500
  private static let functions = 3000

  private let frames: [Frame]
  private let stacks: [[UInt32]]
  private var chance: Chance

  init() {
    var chance = Chance()
    frames = (0..<Self.functions).map {
      Frame(function: "function_of_some_length_\($0 * 2_654_435_761)", module: "libservice.so.\($0 % 7)")
    }
    // Each calls on from where an earlier one has been, as the branches of a program do.
    var stacks: [[UInt32]] = [[0]]
    while stacks.count < Self.services * Self.stacksOfService {
      let parent = stacks[chance.below(stacks.count)]
      let shared = parent.prefix(max(1, parent.count - chance.below(8)))
      stacks.append(shared + (0...chance.below(max(1, 40 - shared.count))).map { _ in UInt32(chance.below(Self.functions)) })
    }
    self.stacks = stacks
    self.chance = chance
  }

  /// All code, without samples.
  func dictionary() -> ProfileWindow {
    ProfileWindow(type: .cpu, start: 0, covered: 0, frames: frames, stacks: stacks)
  }

  mutating func window(start: Int64) -> ProfileWindow {
    var window = ProfileWindow(type: .cpu, start: start, covered: 10_000_000_000, period: 52_631_578, frames: frames)
    for service in 0..<Self.services {
      var samples: [ProfileWindow.Sample] = []
      // Every other one on average, in their order.
      var place = service * Self.stacksOfService + chance.below(2)
      while samples.count < Self.stacksOfWindow, place < (service + 1) * Self.stacksOfService {
        samples.append(.init(stack: window.stacks.count, value: UInt64(1 + chance.below(3))))
        window.stacks.append(stacks[place])
        place += 1 + chance.below(3)
      }
      window.series.append(.init(labels: Labels([("host", "one"), ("service", "service \(service)")]), samples: samples))
    }
    return window
  }
}

/// The same numbers in each run: those of Knuth's MMIX.
private struct Chance {
  private var state: UInt64 = 11

  mutating func below(_ limit: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(limit))
  }
}
