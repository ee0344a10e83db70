import AgentModel
import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct StoreTests {
  let folder: TemporaryFolder
  let store: Store

  init() throws {
    folder = try TemporaryFolder()
    store = try Store(in: folder)
  }

  @Test func whatWasTakenInIsGivenOut() async throws {
    try await store.receive(window(1000, [("web", [("main;read", 101), ("main;write", 103)]), ("db", [("main;read", 107)])]))
    try await store.receive(window(1010, [("web", [("main;read", 109), ("main", 113)])]))
    #expect(
      try await store.text(1000..<1020) == ["db: main;read 107", "web: main 113", "web: main;read 210", "web: main;write 103"])
    #expect(try await store.text(1000..<1010) == ["db: main;read 107", "web: main;read 101", "web: main;write 103"])
    #expect(try await store.text(1010..<1020) == ["web: main 113", "web: main;read 109"])
    #expect(try await store.text(0..<1000) == [])
    #expect(try await store.extent(of: .cpu) == 1000..<1020)
    #expect(try await store.extent(of: .offCPU) == nil)
    #expect(try await store.count("frame") == 3)
    #expect(try await store.count("stack") == 3)
  }

  @Test func everythingOfAFrameIsKept() async throws {
    let frames = [
      Frame(function: "", module: ""), Frame(function: "a\0b", module: "ü", kind: .kernel),
      Frame(function: "f", kind: .user, isInlined: true, file: "/src/f.c", line: .max, mangled: "_Zf"),
      Frame(function: "f", kind: .marker, isInlined: false, file: "", line: 0, mangled: ""),
    ]
    let all = ProfileWindow(
      type: .offCPU, start: 0, covered: 1, frames: frames, stacks: [[0, 1, 2, 3], [3, 3, 3, 3, 0], []],
      series: [
        .init(
          labels: Labels([("host", "h")]),
          samples: [.init(stack: 0, value: .max), .init(stack: 1, value: 2000), .init(stack: 2, value: 3000)])
      ])
    try await store.receive(all)
    let profile = try await store.profile(Query(.offCPU, in: 0..<10))
    #expect(profile.unit == .nanoseconds)
    #expect(profile.processes == [Profile.Process(command: [])])
    #expect(profile.samples.map(\.value) == [.max, 2000, 3000])
    #expect(
      profile.samples.map { profile.stacks[$0.stack].frames } == [frames, [frames[3], frames[3], frames[3], frames[3], frames[0]], []])
    #expect(profile.total == .max)
  }

  @Test func windowsOfOneStartAddUp() async throws {
    try await store.receive(window(20, covered: 4, lost: 2, [("web", [("main;read", 3), ("main", 5)])]))
    try await store.receive(window(20, covered: 5, lost: 11, [("web", [("main;read", 7), ("idle", 11)])]))
    #expect(try await store.text(20..<30) == ["web: idle 11", "web: main 5", "web: main;read 10"])
    let timeline = try await store.timeline(Query(.cpu, in: 20..<30), step: 10, by: "service")
    #expect(
      timeline == Timeline(start: 20, step: 10, rows: [.init(value: "web", sums: [26])], covered: [9], lost: [13], period: [10_101_010]))
    #expect(try await store.count("block") == 1)
  }

  @Test(arguments: [false, true]) func timelinesShowGaps(isPacked: Bool) async throws {
    try await store.receive(window(600, lost: 3, [("web", [("a", 2), ("b", 3)]), ("db", [("a", 7)])]))
    try await store.receive(window(610, covered: 5, [("web", [("a", 11)])]))
    try await store.receive(window(640, []))
    try await store.receive(window(880, [("web", [("a", 13)])]))
    if isPacked {
      try await store.maintain(now: 900)
      #expect(try await store.count("block WHERE resolution = 10") == 0)
    }
    let ten = try await store.timeline(Query(.cpu, in: 605..<641), step: 10, by: "service")
    #expect(
      ten
        == Timeline(
          start: 600, step: 10, rows: [.init(value: "web", sums: [5, 11, 0, 0, 0]), .init(value: "db", sums: [7, 0, 0, 0, 0])],
          covered: [10_000_000_000, 5, 0, 0, 10_000_000_000], lost: [3, 0, 0, 0, 0],
          period: [10_101_010, 10_101_010, 0, 0, 10_101_010]))
    let all = try await store.timeline(Query(.cpu, in: 601..<899), step: 100, by: "nothing")
    #expect(all.rows == [.init(value: "", sums: [23, 0, 13])])
    #expect(all.covered == [20_000_000_005, 0, 10_000_000_000])
  }

  @Test func questionsThatAreTooLargeAreRefused() async throws {
    await #expect(throws: StoreError.question(reason: "100001 steps are too many; ask for longer steps")) {
      try await store.timeline(Query(.cpu, in: 0..<1_000_010), step: 10, by: "service")
    }
    await #expect(throws: StoreError.question(reason: "a step is a multiple of 10 seconds")) {
      try await store.timeline(Query(.cpu, in: 0..<100), step: 15, by: "service")
    }
    #expect(try await store.text(.min..<(.max)) == [])
    #expect(try await store.timeline(Query(.cpu, in: 5..<5), step: 10, by: "service").covered == [])
  }

  @Test(arguments: [
    ([Matcher("service", .equal, "web")], ["web"]), ([Matcher("service", .notEqual, "web")], ["api", "db"]),
    ([Matcher("service", .matches, "web|d.")], ["db", "web"]), ([Matcher("service", .matches, "we")], []),
    ([Matcher("service", .doesNotMatch, "w.*")], ["api", "db"]), ([Matcher("pod", .equal, "")], ["api", "db", "web"]),
    ([Matcher("pod", .notEqual, "")], []), ([Matcher("service", .matches, ".*b"), Matcher("service", .notEqual, "db")], ["web"]),
  ]) func matchersChooseSeries(matchers: [Matcher], services: [String]) async throws {
    try await store.receive(window(0, [("web", [("a", 2)]), ("db", [("a", 3)]), ("api", [("a", 5)])]))
    let query = Query(.cpu, matchers, in: 0..<10)
    #expect(try await store.series(query) == services.map { Labels([("host", "one"), ("service", $0)]) })
    #expect(try await store.profile(query).processes.map { String(decoding: $0.command, as: UTF8.self) } == services)
    #expect(try await store.timeline(query, step: 10, by: "service").rows.map(\.value).sorted() == services)
  }

  @Test func seriesAreThoseOfTheRange() async throws {
    try await store.receive(window(0, [("web", [("a", 2)])]))
    try await store.receive(window(290, [("db", [("a", 3)])]))
    for _ in 0..<2 {
      #expect(try await store.series(Query(.cpu, in: 0..<290)).map { $0["service"] } == ["web"])
      #expect(try await store.series(Query(.cpu, in: 10..<300)).map { $0["service"] } == ["db"])
      #expect(try await store.series(Query(.offCPU, in: 0..<300)) == [])
      try await store.maintain(now: 300)
    }
  }

  @Test func patternsThatCannotBeReadAreRefused() async throws {
    await #expect(throws: PatternError(pattern: "a(", reason: "a ( without its )")) {
      try await store.series(Query(.cpu, [Matcher("service", .matches, "a(")], in: 0..<10))
    }
  }

  @Test func windowsThatReferToNothingAreRefused() async throws {
    let labels = Labels([("service", "web")])
    for bad in [
      ProfileWindow(type: .cpu, start: 5, covered: 1), ProfileWindow(type: .cpu, start: -10, covered: 1),
      ProfileWindow(type: .cpu, start: 0, covered: 1, stacks: [[0]]),
      ProfileWindow(type: .cpu, start: 0, covered: 1, series: [.init(labels: labels, samples: [.init(stack: 0, value: 1)])]),
      ProfileWindow(
        type: .cpu, start: 0, covered: 1, frames: [Frame(function: "f")], stacks: [Array(repeating: 0, count: 65537)],
        series: [.init(labels: labels, samples: [.init(stack: 0, value: 1)])]),
    ] {
      await #expect(throws: StoreError.self) { try await store.receive(bad) }
    }
    let status = await store.status()
    #expect(status.dropped == 5)
    #expect(status.stored == 0)
    #expect(try await store.count("stack") == 0)
    #expect(try await store.count("coverage") == 0)
  }

  @Test func aHashThatAllHaveMixesNothingUp() async throws {
    let store = try Store(path: folder.file("collisions.db"), options: Store.Options(), now: 0) { _ in .max }
    let first = window(0, [("web", [("a;b", 2), ("b;a", 3), ("c", 5)]), ("db", [("c", 7)])])
    try await store.receive(first)
    // Without what is in memory.
    let again = try Store(path: folder.file("collisions.db"), options: Store.Options(), now: 0) { _ in .max }
    try await again.receive(first)
    #expect(try await again.text(0..<10) == ["db: c 14", "web: a;b 4", "web: b;a 6", "web: c 10"])
    #expect(try await again.count("stack") == 3)
    #expect(try await again.count("frame") == 3)
    #expect(try await again.count("series") == 2)
  }

  @Test func whatWasLearnedInVainIsForgotten() async throws {
    struct Stop: Error {}
    await #expect(throws: Stop.self) {
      try await store.write { database, names in
        let frame = FrameCoding.encode(Frame(function: "a", module: "program"))
        _ = try names.intern(stacks: [[0]], frames: [frame], day: 0, in: database)
        throw Stop()
      }
    }
    try await store.receive(window(0, [("web", [("a", 3)])]))
    #expect(try await store.text(0..<10) == ["web: a 3"])
  }

  @Test func readersSeeWholeWindowsWhileOneWrites() async throws {
    let store = store
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<2 {
        group.addTask {
          for _ in 0..<50 {
            // Each window holds one of each.
            let text = try await store.text(0..<1_000_000)
            let values = Set(text.map { $0.split(separator: " ").last! })
            #expect(text.isEmpty || text.count == 3 && values.count == 1)
          }
        }
      }
      group.addTask {
        for index in 0..<97 as Range<Int64> {
          try await store.receive(window(index * 10, [("web", [("a", 1), ("b", 1)]), ("db", [("c", 1)])]))
          if index % 31 == 0 { try await store.maintain(now: index * 10) }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await store.text(0..<1000) == ["db: c 97", "web: a 97", "web: b 97"])
    #expect(await store.status().stored == 97)
  }
}
