import AgentModel
import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct PropertyTests {
  /// What a store must answer, as a list of everything.
  private struct Model {
    var values: [(type: ProfileType, service: String, stack: String, start: Int64, value: UInt64)] = []

    func text(_ range: Range<Int64>, service: String?, type: ProfileType) -> [String] {
      var sums: [String: UInt64] = [:]
      for entry in values where entry.type == type && range ~= entry.start && service ?? entry.service == entry.service {
        sums["\(entry.service): \(entry.stack)", default: 0] += entry.value
      }
      return sums.map { "\($0.key) \($0.value)" }.sorted()
    }

    func sums(_ range: Range<Int64>, type: ProfileType, step: Int64) -> [String: [UInt64]] {
      var result: [String: [UInt64]] = [:]
      let start = range.lowerBound / step * step
      let count = (range.upperBound - start + step - 1) / step
      for entry in values where entry.type == type && start..<start + count * step ~= entry.start {
        result[entry.service, default: Array(repeating: 0, count: Int(count))][Int((entry.start - start) / step)] += entry.value
      }
      return result
    }

    /// What hours make of windows before a time.
    mutating func roll(before end: Int64) {
      for index in values.indices where Resolution.hour.floor(values[index].start) + 3600 <= end {
        values[index].start = Resolution.hour.floor(values[index].start)
      }
    }
  }

  @Test(arguments: 0..<6 as Range<UInt64>) func answersAreThoseOfAList(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let folder = try TemporaryFolder()
    var options = Store.Options()
    options.windowAge = 7200
    options.cachedNames = seed % 2 == 0 ? 5 : 1000
    var store = try Store(in: folder, options: options)
    var model = Model()
    var time: Int64 = 0
    for _ in 0..<60 {
      switch Int.random(in: 0..<10, using: &generator) {
      case 0:
        try await store.maintain(now: time)
        model.roll(before: time - options.windowAge)
      case 1: store = try Store(in: folder, options: options)
      case 2: time += Int64.random(in: 0...2000, using: &generator) * 10
      // The clock steps back.
      case 3: time -= min(time, Int64.random(in: 0...100, using: &generator) * 10)
      default: break
      }
      let type = ProfileType.allCases.randomElement(using: &generator)!
      let series = ["web", "db", "api"].prefix(Int.random(in: 0...3, using: &generator)).map { service in
        var stacks = Set<String>()
        for _ in 0..<Int.random(in: 1...9, using: &generator) {
          stacks.insert(
            (0..<Int.random(in: 1...6, using: &generator)).map { _ in ["a", "b", "c", "d"].randomElement(using: &generator)! }.joined(
              separator: ";"))
        }
        // Time is kept in microseconds.
        let unit: UInt64 = type.unit == .nanoseconds ? 1000 : 1
        return (service: service, values: stacks.sorted().map { (stack: $0, value: unit * UInt64.random(in: 0...999, using: &generator)) })
      }
      try await store.receive(window(time, type: type, series))
      for (service, values) in series {
        for (stack, value) in values where value > 0 { model.values.append((type, service, stack, time, value)) }
      }
      time += 10
    }
    for round in 0..<2 {
      for _ in 0..<20 {
        let lower = Int64.random(in: 0...time, using: &generator)
        let range = lower..<lower + Int64.random(in: 1...9999, using: &generator)
        let type = ProfileType.allCases.randomElement(using: &generator)!
        #expect(try await store.text(range, type: type) == model.text(range, service: nil, type: type))
        #expect(
          try await store.text(range, [Matcher("service", .equal, "db")], type: type) == model.text(range, service: "db", type: type))
        let timeline = try await store.timeline(Query(type, in: range), step: 3600, by: "service")
        #expect(Dictionary(uniqueKeysWithValues: timeline.rows.map { ($0.value, $0.sums) }) == model.sums(range, type: type, step: 3600))
      }
      if round == 0 {
        try await store.maintain(now: time)
        model.roll(before: time - options.windowAge)
      }
    }
  }
}
