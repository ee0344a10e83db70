import AgentModel
import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct UpkeepTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Keeps windows for a day, hours for four.
  private var options: Store.Options {
    var options = Store.Options()
    options.windowAge = 86400
    options.hourAge = 4 * 86400
    return options
  }

  /// Its blocks have nanoseconds, and a part with its length for each window; each window has a row of coverage.
  @Test func aFileOfSchemaThreeIsReadAsItIs() async throws {
    do {
      let store = try Store(in: folder, options: options)
      for start in [0, 20] as [Int64] { try await store.receive(window(start, type: .offCPU, [("web", [("main;a", 1000)])])) }
      try await store.write { database, _ in
        let stack = try #require(try database.integer("SELECT id FROM stack"))
        let bodies = [ValueCoding.encode([stack: 1_234_567]), ValueCoding.encode([stack: 1])]
        var parts = ByteWriter()
        for (index, (total, body)) in zip([0, 2] as [UInt64], zip([1_234_567, 1] as [UInt64], bodies)) {
          for number in [index, total, UInt64(body.count)] { parts.write(varint: number) }
        }
        try database.run("DELETE FROM block WHERE start > 0")
        try database.run(
          "UPDATE block SET resolution = 300, total = 1234568, parts = ?, data = ?",
          [.bytes(parts.bytes), .bytes(Deflated.compress(bodies[0] + bodies[1]))])
        try database.run("ALTER TABLE coverage DROP COLUMN parts")
        try database.run("DELETE FROM grdb_migrations WHERE identifier = '4'")
      }
    }
    let store = try Store(in: folder, options: options)
    let query = Query(.offCPU, in: 0..<40)
    #expect(try await store.text(0..<10, type: .offCPU) == ["web: main;a 1234567"])
    #expect(try await store.timeline(query, step: 10, by: "service").rows.map(\.sums) == [[1_234_567, 0, 1, 0]])
    #expect(try await store.extent(of: .offCPU) == 0..<30)

    // What comes late makes it a block of today, in microseconds.
    try await store.receive(window(20, type: .offCPU, [("web", [("main;a", 7_000_000)])]))
    try await store.maintain(now: 300)
    #expect(try await store.count("block") == 1)
    #expect(try await store.count("coverage WHERE resolution = 300") == 1)
    #expect(try await store.count("coverage") == 1)
    let timeline = try await store.timeline(query, step: 10, by: "service")
    #expect(timeline.rows.map(\.sums) == [[1_235_000, 0, 7_000_000, 0]])
    #expect(timeline.covered == [10_000_000_000, 0, 20_000_000_000, 0])
    #expect(try await store.text(20..<30, type: .offCPU) == ["web: main;a 7000000"])
  }

  /// What comes after its five minutes adds to their row.
  @Test func coverageOfFiveMinutesIsOneRow() async throws {
    let store = try Store(in: folder, options: options)
    for index in 0..<30 as Range<Int64> where index != 3 { try await store.receive(window(index * 10, [("web", [("main;a", 1)])])) }
    try await store.maintain(now: 300)
    #expect(try await store.count("coverage") == 1)
    try await store.receive(window(30, [("web", [("main;a", 1)])]))
    #expect(try await store.count("coverage") == 2)
    try await store.receive(window(40, [("web", [("main;a", 1)])]))
    let covered = [UInt64](repeating: 10_000_000_000, count: 30)
    var late = covered
    late[4] = 20_000_000_000
    #expect(try await store.timeline(Query(.cpu, in: 0..<300), step: 10, by: "service").covered == late)
    try await store.maintain(now: 300)
    #expect(try await store.count("coverage") == 1)
    #expect(try await store.timeline(Query(.cpu, in: 0..<300), step: 10, by: "service").covered == late)
    #expect(try await store.timeline(Query(.cpu, in: 40..<50), step: 10, by: "service").covered == [20_000_000_000])
  }

  @Test func sumsStayTheSameFromWindowsToHours() async throws {
    let store = try Store(in: folder, options: options)
    for index in 0..<361 as Range<Int64> {
      try await store.receive(window(index * 10, [("web", [("main;a", 2), ("main;b", UInt64(index))]), ("db", [("main;a", 3)])]))
    }
    let hour = ["db: main;a 1080", "web: main;a 720", "web: main;b 64620"]
    #expect(try await store.text(0..<3600) == hour)

    try await store.maintain(now: 3610)
    #expect(try await store.count("block WHERE resolution = 10") == 2)
    #expect(try await store.count("block WHERE resolution = 300") == 24)
    #expect(try await store.text(0..<3600) == hour)
    // 290, 300 and 310: a part of two blocks.
    #expect(try await store.text(290..<320) == ["db: main;a 9", "web: main;a 6", "web: main;b 90"])
    #expect(try await store.text(3600..<3610) == ["db: main;a 3", "web: main;a 2", "web: main;b 360"])

    try await store.maintain(now: 3600 + options.windowAge)
    #expect(try await store.count("block WHERE resolution = 3600") == 2)
    #expect(try await store.count("block") == 4)
    #expect(try await store.text(0..<3600) == hour)
    #expect(try await store.text(0..<10) == hour)
    #expect(try await store.text(10..<3600) == [])
    #expect(try await store.count("coverage") == 2)
    let timeline = try await store.timeline(Query(.cpu, in: 0..<7200), step: 1800, by: "service")
    #expect(timeline.rows.map(\.sums) == [[32670, 32670, 362, 0], [540, 540, 3, 0]])
    #expect(timeline.covered == [1_800_000_000_000, 1_800_000_000_000, 10_000_000_000, 0])

    try await store.maintain(now: options.hourAge)
    #expect(try await store.text(0..<3600) == hour)
    try await store.maintain(now: options.hourAge + 1)
    #expect(try await store.text(0..<3600) == [])
    #expect(try await store.extent(of: .cpu) == 3600..<7200)
    #expect(try await store.count("coverage") == 1)
    try await store.maintain(now: 2 * options.hourAge)
    #expect(try await store.count("block") == 0)
    #expect(try await store.count("stack") == 0)
    #expect(try await store.count("frame") == 0)
    #expect(try await store.count("series") == 0)
  }

  /// A clock that is set years ahead by mistake, and put right an hour later.
  @Test func aClockThatJumpsAheadRemovesNothing() async throws {
    let store = try Store(in: folder, options: options)
    for time in [0, 10, 86000] as [Int64] { try await store.receive(window(time, [("web", [("a", 2)])])) }
    var clock = RetentionClock(try await store.retention(), now: 86010, monotonic: 0)
    let years: Int64 = 5 * 365 * 86400
    for minute in 0..<60 as Range<Int64> {
      try await store.receive(window(years + minute * 60, [("web", [("a", 3)])]))
      let now = years + minute * 60 + 10
      try await store.maintain(now: now, retention: clock.look(now: now, monotonic: UInt64(minute * 60_000_000_000)))
    }
    // Neither removed nor summed up.
    #expect(try await store.text(0..<10) == ["web: a 2"])
    #expect(try await store.text(10..<20) == ["web: a 2"])
    #expect(try await store.text(years..<years + 3600) == ["web: a 180"])
    // Without the guard they would be gone.
    try await store.maintain(now: years + 3600)
    #expect(try await store.text(0..<86400) == [])
  }

  /// The clock is years ahead, windows are stored by it, and the agent is started again and again meanwhile.
  @Test func aRestartWhileTheClockIsAheadRemovesNothing() async throws {
    let (hour, years): (Int64, Int64) = (3600, 5 * 365 * 86400)
    let first = try Store(in: folder, options: options)
    for time in [0, 10, 86000] as [Int64] { try await first.receive(window(time, [("web", [("a", 2)])])) }
    #expect(try await first.retention() == nil)
    try await first.maintain(now: 86010, retention: .init(time: 86010))
    for run in 0..<25 as Range<Int64> {
      let store = try Store(in: folder, options: options)
      // The monotonic clock begins anew when the machine does.
      var clock = RetentionClock(try await store.retention(), now: years + run * hour, monotonic: 77)
      for second in stride(from: 0, through: hour, by: 1800) {
        let (now, waited) = (years + run * hour + second, run * hour + second)
        try await store.receive(window(now, [("web", [("a", 3)])]))
        let standing = clock.look(now: now, monotonic: 77 + UInt64(second) * 1_000_000_000)
        #expect(standing == (waited < 86400 ? .init(time: 86010 + waited, ahead: waited) : .init(time: now)))
        try await store.maintain(now: now, retention: standing)
        #expect(try await store.retention() == standing)
        let isKept = try await store.text(0..<90000) != []
        #expect(isKept == (waited < 86400))
      }
    }
  }

  /// What a file says that others could write ends nothing.
  @Test(arguments: [Int64.min, -1, 0, .max]) func anyKeptTimeCanBeRead(number: Int64) async throws {
    let store = try Store(in: folder, options: options)
    try await store.write { database, _ in try database.keep(.init(time: number, ahead: number)) }
    var clock = RetentionClock(try await store.retention(), now: 9_000_000, monotonic: 0)
    let standing = clock.look(now: 9_000_000, monotonic: 60_000_000_000)
    #expect(standing == (number == .max ? .init(time: 9_000_000) : .init(time: 60)))
    try await store.maintain(now: 9_000_000, retention: standing)
  }

  @Test func ofAnOlderFileTheNewestCounts() async throws {
    do {
      let store = try Store(in: folder)
      for time in [20, 86000, 10] as [Int64] { try await store.receive(window(time, [("web", [("a", 2)])])) }
      try await store.write { database, _ in
        try database.run("DROP TABLE retention")
        try database.run("DELETE FROM grdb_migrations WHERE identifier = '3'")
      }
    }
    #expect(try await Store(in: folder).retention() == .init(time: 86000))
  }

  @Test func ageIsJudgedByTimeThatPasses() {
    let (day, second): (Int64, UInt64) = (86400, 1_000_000_000)
    var clock = RetentionClock(.init(time: 1000), now: 1010, monotonic: 0)
    #expect(clock.look(now: 1070, monotonic: 60 * second).time == 1070)
    // Small corrections are believed, also backwards.
    #expect(clock.look(now: 1600, monotonic: 120 * second).time == 1600 && clock.look(now: 1500, monotonic: 121 * second).time == 1500)
    // Years ahead, and back.
    #expect(clock.look(now: 1000 * day, monotonic: 181 * second).time == 1560)
    #expect(clock.look(now: 1000 * day + 3600, monotonic: 3781 * second).time == 5160)
    #expect(clock.look(now: 5220, monotonic: 3841 * second).time == 5220)
    // Ahead for a day: it was wrong before.
    let start = 4000 * second
    #expect(clock.look(now: 2000 * day, monotonic: start).time == 5379)
    #expect(clock.look(now: 2001 * day - 1, monotonic: start + 86_399 * second).time == 5379 + day - 1)
    #expect(clock.look(now: 2001 * day, monotonic: start + 86_400 * second).time == 2001 * day)
    #expect(clock.look(now: 2001 * day + 60, monotonic: start + 86_460 * second).time == 2001 * day + 60)
    // Far back: nothing is old any more.
    #expect(clock.look(now: 5, monotonic: start + 86_461 * second).time == 5)
  }

  @Test func aStartFarAheadIsLookedAtForADay() {
    var clock = RetentionClock(.init(time: 1000), now: 9_000_000, monotonic: 77)
    #expect(clock.look(now: 9_000_060, monotonic: 60_000_000_077).time == 1060)
    #expect(clock.look(now: 9_086_460, monotonic: 86_460_000_000_077).time == 9_086_460)
    // A new store, and a clock that was put back.
    for kept in [nil, .init(time: 20_000_000), .init(time: 20_000_000, ahead: 7200)] as [RetentionClock.Standing?] {
      var clock = RetentionClock(kept, now: 9_000_000, monotonic: 0)
      #expect(clock.look(now: 9_000_060, monotonic: 60_000_000_000).time == 9_000_060)
    }
  }

  @Test func whatComesLateIsAdded() async throws {
    let store = try Store(in: folder, options: options)
    let now = 7200 + options.windowAge
    for time in [300, 3600 + options.windowAge, now] {
      try await store.receive(window(0, [("web", [("a", 2)])]))
      try await store.receive(window(10, [("web", [("a", 3), ("b", 5)])]))
      try await store.maintain(now: time)
    }
    #expect(try await store.count("block") == 1)
    #expect(try await store.count("coverage") == 1)
    #expect(try await store.text(0..<3600) == ["web: a 15", "web: b 15"])
    // Again, with nothing to do.
    try await store.maintain(now: now)
    #expect(try await store.text(0..<3600) == ["web: a 15", "web: b 15"])
  }

  @Test func namesGoWithTheLastBlockThatHasThem() async throws {
    let store = try Store(in: folder, options: options)
    let day = Store.day
    try await store.receive(window(0, [("web", [("main;old", 2), ("main;both", 3)]), ("db", [("main;both", 5)])]))
    try await store.receive(window(2 * day, [("web", [("main;new", 7), ("main;both", 11)])]))
    // Until there the oldest is of the first day.
    try await store.maintain(now: 4 * day)
    #expect(try await store.count("stack") == 3)
    try await store.maintain(now: 5 * day)
    #expect(try await store.count("stack") == 2)
    #expect(try await store.count("frame") == 3)
    #expect(try await store.count("series") == 1)
    // Its number may be another one's now.
    try await store.receive(window(4 * day, [("api", [("main;late", 13)]), ("web", [("main;old", 17)]), ("db", [("main;both", 19)])]))
    #expect(try await store.text(2 * day..<3 * day) == ["web: main;both 11", "web: main;new 7"])
    #expect(try await store.text(4 * day..<5 * day) == ["api: main;late 13", "db: main;both 19", "web: main;old 17"])
    #expect(try await store.count("stack") == 4)
    #expect(try await store.count("frame") == 5)
    #expect(try await store.count("series") == 3)
  }

  @Test func theFileShrinksWithWhatIsInIt() async throws {
    let store = try Store(in: folder, options: options)
    for index in 0..<30 as Range<Int64> { try await store.receive(manyStacks(index * 10, count: 300)) }
    try await store.maintain(now: 0)
    let full = await store.status().fileBytes
    #expect(full > 500_000)
    try await store.maintain(now: 1 + options.hourAge + 300)
    #expect(try await store.count("stack") == 0)
    #expect(try await store.read { try $0.integer("PRAGMA freelist_count") } == 0)
    let status = await store.status()
    #expect(status.fileBytes < 100_000)
    #expect(status.logBytes <= Store.largestLog)
    #expect(status.extent == nil)
  }

  @Test func theOldestGoesWhenTheFileIsTooLarge() async throws {
    var options = options
    options.largestFile = 600_000
    let store = try Store(in: folder, options: options)
    for hour in 0..<8 as Range<Int64> {
      try await store.receive(manyStacks(hour * 43200, count: 1000))
      try await store.maintain(now: hour * 43200)
      #expect(try await store.read { try $0.usedBytes() } <= options.largestFile)
    }
    let extent = try #require(try await store.extent(of: .cpu))
    #expect(extent.lowerBound > 0)
    #expect(extent.upperBound == 7 * 43200 + 10)
    #expect(try await store.profile(Query(.cpu, in: 7 * 43200..<8 * 43200)).samples.count == 1000)
  }

  @Test func withoutRoomWindowsAreDroppedWholeUntilThereIsSome() async throws {
    var options = options
    options.largestFile = 400_000
    let store = try Store(in: folder, options: options)
    var index: Int64 = 0
    while index < 1000 {
      do {
        try await store.receive(manyStacks(index * 86400, count: 500))
        index += 1
      } catch {
        #expect(error as? StoreError == .full)
        break
      }
    }
    #expect(index > 3)
    let status = await store.status()
    #expect(status.stored == UInt64(index))
    #expect(status.dropped == 1)
    #expect(status.fileBytes <= 500_000)
    #expect(try await store.count("block") == index)
    #expect(try await store.count("stack") == index * 500)
    #expect(try await store.profile(Query(.cpu, in: 0..<index * 86400)).samples.count == Int(index) * 500)
    // A small one still fits.
    try await store.receive(window(index * 86400, [("web", [("a", 3)])]))
    try await store.maintain(now: index * 86400)
    // The one that was dropped: what was learned of it then is not believed.
    try await store.receive(manyStacks(index * 86400, count: 500))
    let profile = try await store.profile(Query(.cpu, in: index * 86400..<(index + 1) * 86400))
    #expect(profile.samples.count == 501)
    #expect(profile.total == 3 + 500 * UInt64(index * 86400 + 1))
    #expect(await store.status().dropped == 1)
  }

  /// Stacks that no window of another start has.
  private func manyStacks(_ start: Int64, count: Int) -> ProfileWindow {
    window(start, [("web", (0..<count).map { ("main;loop \($0 % 17);from \(start) number \($0)", UInt64(start + 1)) })])
  }
}
