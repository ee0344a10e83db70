import AgentModel
import Foundation
import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct HourTests {
  /// A busy service and nine others, as a machine of two processors has them: 38 samples a second, 5,000 stacks. A minute of it; with
  /// SWTRACE_FILL_STORE the last whole hour, in the file that it names, to measure the page with.
  @Test func whatWasTakenInComesBack() async throws {
    let folder = try TemporaryFolder()
    let path = ProcessInfo.processInfo.environment["SWTRACE_FILL_STORE"]
    let (start, count) = path == nil ? (3600, 6) : (Int64(Date().timeIntervalSince1970) / 3600 * 3600 - 3600, 360 as Int64)
    let store = try Store(path: path ?? folder.file("store.db"), options: .init(), now: start)
    var program = Program(functions: 3000)
    var stacks = Set<[UInt32]>()
    while stacks.count < 5000 { stacks.insert(program.stack()) }
    let ordered = stacks.sorted { $0.lexicographicallyPrecedes($1) }.shuffled(seed: 3)
    var sums = [UInt64](repeating: 0, count: 10)

    for index in 0..<count {
      var window = ProfileWindow(type: .cpu, start: start + index * 10, covered: 10_000_000_000, period: 52_631_578, frames: program.frames)
      var known: [Int: Int] = [:]
      for service in 0..<10 {
        var samples: [Int: UInt64] = [:]
        for _ in 0..<(service == 0 ? 200 : 20) {
          samples[service == 0 ? program.place(below: 5000) : service * 500 + program.place(below: 500), default: 0] += 1
        }
        sums[service] += samples.values.reduce(0, +)
        let values = samples.sorted { $0.key < $1.key }.map { sample in
          let stack = known[sample.key] ?? window.stacks.count
          if stack == window.stacks.count { window.stacks.append(ordered[sample.key]) }
          known[sample.key] = stack
          return ProfileWindow.Sample(stack: stack, value: sample.value)
        }
        window.series.append(.init(labels: Labels([("host", "one"), ("service", "service-\(service)")]), samples: values))
      }
      try await store.receive(window)
    }
    if path != nil { try await store.maintain(now: start + 3600) }
    let range = start..<start + count * 10
    for service in 0..<10 {
      let profile = try await store.profile(Query(.cpu, [Matcher("service", .equal, "service-\(service)")], in: range))
      #expect(profile.samples.reduce(0) { $0 + $1.value } == sums[service])
    }
  }
}
