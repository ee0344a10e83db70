import AgentModel
import TestSupport
import Testing

@testable import AgentStore

@Suite struct SizeTests {
  @Test func stacksAndRowsAreSmall() async throws {
    let folder = try TemporaryFolder()
    let store = try Store(in: folder)
    var program = Program(functions: 3000)
    var stacks = Set<[UInt32]>()
    while stacks.count < 20_000 { stacks.insert(program.stack()) }
    let ordered = stacks.sorted { $0.lexicographicallyPrecedes($1) }.shuffled(seed: 7)
    let empty = try await store.read { try $0.usedBytes() }

    for part in 0..<20 {
      try await store.receive(
        ProfileWindow(
          type: .cpu, start: Int64(part) * 10, covered: 0, frames: program.frames, stacks: Array(ordered[part * 1000..<(part + 1) * 1000])))
    }
    #expect(try await store.count("stack") == 20_000)
    let named = try await store.read { try $0.usedBytes() }
    let perStack = Double(named - empty) / 20_000
    // All of it: the frames, the index.
    #expect(perStack <= 100, "\(perStack) bytes a stack")

    // A quarter of an hour of ten services; each window has a hundred stacks of each.
    var rows = 0
    for index in 0..<90 as Range<Int64> {
      var window = ProfileWindow(type: .cpu, start: 3000 + index * 10, covered: 1, frames: program.frames)
      for service in 0..<10 {
        var places = Set<Int>()
        while places.count < 100 { places.insert(service * 2000 + program.place(below: 2000)) }
        rows += places.count
        window.series.append(
          .init(labels: Labels([("service", "service \(service)")]), samples: []))
        for place in places.sorted() {
          window.series[service].samples.append(.init(stack: window.stacks.count, value: program.value()))
          window.stacks.append(ordered[place])
        }
      }
      try await store.receive(window)
    }
    #expect(rows == 90_000)
    let raw = try await store.read { try $0.usedBytes() }
    try await store.maintain(now: 6000)
    #expect(try await store.count("block WHERE resolution = 10") == 0)
    let packed = try await store.read { try $0.usedBytes() }
    #expect(Double(raw - named) / 90_000 <= 6, "\(Double(raw - named) / 90_000) bytes a row before")
    #expect(Double(packed - named) / 90_000 <= 4, "\(Double(packed - named) / 90_000) bytes a row after")
  }
}
