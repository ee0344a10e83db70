import CProbes
import CUnwind
import Formats
import Glibc
import Profiles
import Testing

@testable import Tools

@Suite struct StackAggregatorTests {
  /// A process that cannot exist: its addresses have no names, so stacks differ by their depth only.
  private static let process: UInt32 = 0x7fff_0000

  private func record(
    _ kind: swtrace_stack_kind, thread: UInt32 = 1, time: UInt64 = 0, value: UInt64 = 0, user: [UInt64] = [], profiles: UInt8 = 0
  ) -> [UInt8] {
    var event = swtrace_stack_event()
    event.kind = UInt8(kind.rawValue)
    event.pid = Self.process
    event.tid = thread
    event.time_ns = time
    event.value = value
    event.user_frames = Int32(user.count)
    event.profiles = profiles
    return withUnsafeBytes(of: event) { Array($0) } + user.flatMap { address in withUnsafeBytes(of: address) { Array($0) } }
  }

  /// The values of a profile by the depth of their stacks.
  private func depths(_ aggregator: inout StackAggregator) -> [Int: UInt64] {
    let profile = aggregator.profile(unit: .nanoseconds)
    return profile.samples.reduce(into: [:]) { $0[profile.stacks[$1.stack].frames.count, default: 0] += $1.value }
  }

  @Test func equalStacksAreOne() {
    var aggregator = StackAggregator()
    for value in 1...5 as ClosedRange<UInt64> { aggregator.add(record(SWTRACE_STACK_WHOLE, value: value, user: [16, 32]).span.bytes) }
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 100, user: [16, 32, 48]).span.bytes)
    #expect(aggregator.count == 6)
    #expect(depths(&aggregator) == [2: 15, 3: 100])
    #expect(aggregator.withoutUserStack == 0)
  }

  /// Processes choose the values of some probes.
  @Test func sumsStayAtTheLargestNumber() {
    var aggregator = StackAggregator()
    for value in [.max - 1, 1, 5] as [UInt64] { aggregator.add(record(SWTRACE_STACK_WHOLE, value: value, user: [16, 32]).span.bytes) }
    #expect(depths(&aggregator) == [2: .max])
  }

  /// Frames are numbered alike in every run, though addresses are named file by file.
  @Test func addressesAreNamedInOneOrder() throws {
    // Each a little behind a function's beginning, in two libraries.
    let own = try ["qsort", "swift_allocObject", "getenv", "swift_getTypeByMangledNameInContext", "fopen"].map { (name: String) in
      1 + UInt64(UInt(bitPattern: try #require(dlsym(nil, name))))
    }
    func frames(_ events: [[UInt64]]) -> [Frame] {
      var aggregator = StackAggregator()
      for user in events {
        var event = swtrace_stack_event()
        (event.kind, event.pid, event.user_frames) = (UInt8(SWTRACE_STACK_WHOLE.rawValue), UInt32(getpid()), Int32(user.count))
        aggregator.add((withUnsafeBytes(of: event) { Array($0) } + user.flatMap { withUnsafeBytes(of: $0) { Array($0) } }).span.bytes)
      }
      return aggregator.profile(unit: .nanoseconds).stacks.frames
    }
    let events = [own, Array(own.dropFirst()), Array(own.reversed()), [own[2], own[0], own[4]]]
    let first = frames(events)
    #expect(Set(first.map { $0.module }) == ["libc.so.6", "libswiftCore.so"])
    #expect(first.contains { $0.function == "qsort" } && first.contains { $0.function == "getenv" })
    for _ in 0..<3 { #expect(frames(events) == first) }
  }

  @Test func aUserPartIsForAllWaitsOfItsCall() {
    var aggregator = StackAggregator()
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 100, value: 1).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 8, time: 110, value: 2).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 120, value: 4).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 7, time: 100, user: [16, 32, 48]).span.bytes)
    #expect(aggregator.count == 3)
    #expect(depths(&aggregator) == [3: 5, 0: 2])
    #expect(aggregator.withoutUserStack == 1)
  }

  /// The sum of a window's values by the depth of their stacks.
  private func window(_ aggregator: inout StackAggregator, next end: UInt64 = .max) -> [Int: UInt64] {
    let closed = aggregator.closeWindow(since: 0)
    aggregator.endWindow(at: end)
    return closed.stacks.entries.reduce(into: [:]) { if $1.events > 0 { $0[Int($1.count), default: 0] += $1.value } }
  }

  @Test func whatComesAfterAWindowsEndIsOfTheNextOne() {
    var aggregator = StackAggregator()
    aggregator.endWindow(at: 100)
    for (time, value) in [(98, 1), (100, 2), (99, 4), (200, 8), (199, 16)] as [(UInt64, UInt64)] {
      aggregator.add(record(SWTRACE_STACK_WHOLE, time: time, value: value, user: [16, 32]).span.bytes)
    }
    #expect(aggregator.count == 2 && aggregator.come.all == 5 && aggregator.waitingProcesses.contains(Self.process))
    #expect(window(&aggregator, next: 200) == [2: 5])
    #expect(aggregator.count == 4 && aggregator.come.all == 5)
    #expect(window(&aggregator, next: 300) == [2: 18])
    // A window that is closed before its end has all of what came.
    #expect(window(&aggregator, next: 400) == [2: 8])
    #expect(aggregator.count == 5 && aggregator.come.all == 5 && aggregator.waitingProcesses.isEmpty && window(&aggregator) == [:])
  }

  /// Some programs of a probe run while others are attached.
  @Test func whatComesBeforeTheBeginningIsLeftOut() {
    var aggregator = StackAggregator()
    aggregator.takesUserStacksFromCalls = true
    aggregator.beginning = 100
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 99, value: 1).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 100, value: 2).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 7, time: 90, user: [16, 32]).span.bytes)
    #expect(aggregator.count == 1 && aggregator.skipped == 1 && aggregator.withoutUserStack == 0)
    #expect(window(&aggregator) == [2: 2])
  }

  /// The rate of what is taken does not depend on when windows are closed.
  @Test func whatHasComeHasTheNextWindowsLocks() {
    var aggregator = StackAggregator()
    aggregator.endWindow(at: 100)
    for (time, profiles) in [(99, 0), (99, RawStacks.locks), (100, RawStacks.locks), (101, 0), (102, RawStacks.locks)] as [(UInt64, UInt8)]
    {
      aggregator.add(record(SWTRACE_STACK_WHOLE, time: time, value: 1, user: [16], profiles: profiles).span.bytes)
    }
    #expect(aggregator.count == 2 && aggregator.come == (5, 3))
    _ = aggregator.closeWindow(since: 0)
    aggregator.endWindow(at: 200)
    #expect(aggregator.count == 5 && aggregator.come == (5, 3))
  }

  @Test func aWindowMayGoOnBeyondItsEnd() {
    var aggregator = StackAggregator()
    aggregator.endWindow(at: 100)
    for time in 98...102 as ClosedRange<UInt64> {
      aggregator.add(record(SWTRACE_STACK_WHOLE, time: time, value: 1, user: [16, 32]).span.bytes)
    }
    #expect(aggregator.count == 2)
    aggregator.endWindow(at: 101)
    #expect(aggregator.count == 3)
    aggregator.endWindow(at: .max)
    #expect(aggregator.count == 5 && aggregator.come.all == 5 && window(&aggregator) == [2: 5])
  }

  /// Nothing is lost when a window is closed much too late, and it does not say that it ended when it should have.
  @Test func aWindowGoesOnWhereTooMuchComesBeforeItIsClosed() {
    var aggregator = StackAggregator()
    aggregator.endWindow(at: 100)
    let large = record(SWTRACE_STACK_WHOLE, time: 100, value: 1, user: Array(repeating: 16, count: 1 << 16))
    var count: UInt64 = 0
    while aggregator.windowEnd == 100, count < 1000 {
      aggregator.add(large.span.bytes)
      count += 1
    }
    #expect(count * UInt64(large.count) > 8 << 20 && (count - 1) * UInt64(large.count) <= 8 << 20)
    #expect(aggregator.windowEnd == .max && aggregator.count == count)
    #expect(window(&aggregator) == [1 << 16: count])
  }

  /// The wait is not in the window yet when its user part comes, whose time is when the call began.
  @Test func aUserPartWaitsWithItsWait() {
    var aggregator = StackAggregator()
    aggregator.takesUserStacksFromCalls = true
    aggregator.endWindow(at: 100)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 95, value: 1).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 105, value: 2).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 8, time: 90, value: 4).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 7, time: 90, user: [16, 32, 48]).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 8, time: 80, user: [16, 32]).span.bytes)
    #expect(aggregator.count == 2 && aggregator.come.all == 3)
    #expect(window(&aggregator) == [2: 4])
    #expect(window(&aggregator) == [3: 3])
    #expect(aggregator.withoutUserStack == 0)
  }

  /// Its earlier waits were in the same system call, which has not ended.
  @Test func aBlockedTaskGivesItsEarlierWaitsItsUserStack() {
    var aggregator = StackAggregator()
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 50, value: 1).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 100, value: 2).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 120, value: 4).span.bytes)
    var event = swtrace_stack_event()
    (event.pid, event.tid, event.time_ns, event.value, event.user_frames) = (Self.process, 7, 130, 100, 2)
    aggregator.add(BlockedTask(event: event, kernelStack: [], userStack: [16, 32, 48, 64]), waited: 8, now: 138)
    #expect(aggregator.count == 4)
    // The first was in an earlier call; the marker is a frame of its own.
    #expect(depths(&aggregator) == [0: 1, 4: 6, 5: 8])
    #expect(aggregator.withoutUserStack == 1)
  }

  @Test func aWakersStackIsUpsideDownOnTop() throws {
    var event = swtrace_stack_event()
    (event.pid, event.value, event.user_frames) = (Self.process, 3, 2)
    (event.relation, event.partner_pid, event.partner_user_frames) = (UInt8(SWTRACE_PARTNER_WOKE.rawValue), Self.process, 3)
    event.partner.0 = 0x77
    let addresses: [UInt64] = [16, 32, 48, 64, 80]
    var aggregator = StackAggregator()
    aggregator.add((withUnsafeBytes(of: event) { Array($0) } + addresses.flatMap { withUnsafeBytes(of: $0) { Array($0) } }).span.bytes)
    let profile = aggregator.profile(unit: .nanoseconds)
    let sample = try #require(profile.samples.first)
    #expect(profile.samples.count == 1 && sample.value == 3)
    let frames = profile.stacks[sample.stack].frames
    #expect(frames.count == 2 + 1 + 3 + 1)
    #expect(frames[2].function == "--" && frames[2].kind == .marker)
    #expect(frames.last?.function == "w" && frames.last?.kind == .marker)
  }

  @Test func theParentsOfATaskFollowItsOwnCallers() throws {
    let addresses = [
      1 << 20, 2 << 20, UInt64(SWTRACE_PARENT_OF_GROUP_CHILD.rawValue), 3 << 20, UInt64(SWTRACE_PARENT_OF_ASYNC_LET.rawValue), 4 << 20,
    ]
    var stacks = RawStacks()
    let owner = RawStacks.Owner(process: Self.process, command: SIMD16(repeating: 0), task: 9)
    let entry = stacks.entry(owner, RawStacks.Parts(kernel: 0, async: 5), addresses)
    stacks.add(1, to: try #require(entry))
    var aggregator = StackAggregator(stacks: stacks)
    let profile = aggregator.profile(unit: .samples)
    let sample = try #require(profile.samples.first)
    let frames = profile.stacks[sample.stack].frames
    // From the root to the leaf.
    #expect(
      frames.map(\.function).filter { $0.hasPrefix("[") && $0 != "[unknown]" } == ["[task 9]", "[async let]", "[task group]", "[async]"])
    #expect(frames.count == 4 + 4 && frames[1].kind != .marker && frames[7].kind != .marker)
    #expect(profile.processes[sample.process].task == 9)
    var json: [UInt8] = []
    StackWriter.writeJSON(profile, into: &json)
    #expect(String(decoding: json, as: UTF8.self).contains(#""pid":\#(Self.process),"task":9,"#))
  }

  /// The part of the first call was lost: its wait must not get that of the second.
  @Test func aLostUserPartIsNotReplacedByTheNext() {
    var aggregator = StackAggregator()
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 100, value: 1).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 200, value: 2).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 7, time: 200, user: [16]).span.bytes)
    // A walk that failed.
    aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 300, value: 4).span.bytes)
    aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 7, time: 300).span.bytes)
    #expect(depths(&aggregator) == [1: 2, 0: 5])
    #expect(aggregator.withoutUserStack == 2)
  }

  /// Each event's own time and thread, also where the user part came later or never.
  @Test func momentsAreKeptWhereWanted() {
    func moments(_ isWanted: Bool) -> [[UInt64]] {
      var aggregator = StackAggregator()
      aggregator.keepsMoments = isWanted
      aggregator.add(record(SWTRACE_STACK_WHOLE, thread: 5, time: 90, value: 8, user: [16]).span.bytes)
      aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 7, time: 100, value: 1).span.bytes)
      aggregator.add(record(SWTRACE_STACK_USER_FOLLOWS, thread: 8, time: 110, value: 2).span.bytes)
      aggregator.add(record(SWTRACE_STACK_USER_PART, thread: 7, time: 100, user: [16, 32, 48]).span.bytes)
      let profile = aggregator.profile(unit: .nanoseconds).mappingStacks { $0 }
      return profile.moments.all.map {
        [$0.time, $0.value, UInt64($0.thread), UInt64(profile.stacks[profile.samples[Int($0.sample)].stack].frames.count)]
      }
    }
    #expect(moments(true) == [[90, 8, 5, 1], [100, 1, 7, 3], [110, 2, 8, 0]])
    #expect(moments(false).isEmpty)
  }

  @Test func whatHasNoRoomIsCounted() {
    var aggregator = StackAggregator(stacks: RawStacks(entryLimit: 3, addressLimit: 4))
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 1, user: [16, 32]).span.bytes)
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 1, user: [16, 32, 48]).span.bytes)
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 1, user: [16]).span.bytes)
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 1, user: []).span.bytes)
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 1, user: [64]).span.bytes)
    aggregator.add(record(SWTRACE_STACK_WHOLE, value: 1, user: [16, 32]).span.bytes)
    #expect(aggregator.count == 6)
    #expect(aggregator.overflow == 2)
    #expect(depths(&aggregator) == [2: 2, 1: 1, 0: 1])
  }

  /// More than the first size of the index, twice, so that every one is found again after it has grown.
  @Test func manyStacksAreKeptApart() {
    var stacks = RawStacks()
    let command = SIMD16<UInt8>(repeating: 0)
    for round in 1...2 as ClosedRange<UInt64> {
      for number in 0..<10_007 as Range<UInt64> {
        let owner = RawStacks.Owner(process: UInt32(number % 7), command: command)
        guard let entry = stacks.entry(owner, RawStacks.Parts(kernel: Int32(number % 3)), [number, number, 5]) else {
          Issue.record("no room for stack \(number)")
          return
        }
        #expect(entry == Int(number))
        stacks.add(number, to: entry)
        #expect(stacks.entries[entry].events == round)
      }
    }
    #expect(stacks.entries.count == 10_007)
    let last = stacks.entries[10_006]
    #expect(last.value == 20_012 && Array(stacks.kernel(last)) == [10_006] && Array(stacks.user(last)) == [10_006, 5])
  }
}
