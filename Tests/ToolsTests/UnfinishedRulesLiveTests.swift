import BPF
import CProbes
import CUnwind
import DebugInfo
import Dispatch
import Glibc
import Linux
import Profiles
import TestSupport
import Testing

@testable import Symbolication
@testable import Tools
@testable import Unwinding

/// Stacks that need rules which are being made.
@Suite(.requiresBPF, .serialized) struct UnfinishedRulesLiveTests {
  private let gate = DispatchSemaphore(value: 0)
  private let begun = DispatchSemaphore(value: 0)
  private let unwinder: Unwinder
  private let process = ProcessID(UInt32(getpid()))
  /// A function of the C library, at whose first instruction only the return address is on the stack.
  private let function: UInt64

  init() throws {
    let probe = try Probe(.named("profile"))
    try probe.select("sample_rules")
    let maps = try probe.load().share(Unwinder.maps)
    let worker = TableWorker { [gate, begun] file in
      begun.signal()
      gate.wait()
      return TableResult { () throws(Symbolized.Reason) in try file.open() }
    }
    unwinder = try Unwinder(maps, limit: 4 << 20, worker)
    function = UInt64(UInt(bitPattern: try #require(dlsym(nil, "getenv"))))
  }

  /// A copy of a stack whose first caller is nowhere.
  private var rest: [UInt8] {
    var rest = swtrace_stack_rest()
    (rest.ip, rest.sp, rest.count, rest.is_leaf) = (function, 0x7ff0_0000, 16, 1)
    return withUnsafeBytes(of: rest) { Array($0) } + [UInt64(1 << 20), 0].flatMap { withUnsafeBytes(of: $0) { Array($0) } }
  }

  private func finish(_ regions: [CodeRegion], _ unfinished: Unwinder.UnfinishedRules) -> String {
    switch unwinder.finish(rest.span.bytes, regions, hasCallees: false, unfinished) {
    case .waits: return "waits"
    case .ended(let addresses, let ending, _, _):
      return "\(addresses.map { $0 == function ? "function" : String($0) }) \(StackEnding(rawValue: ending).text)"
    }
  }

  @Test func aWalkComesAgainOrWaitsOrEnds() throws {
    var symbolizer = Symbolizer()
    symbolizer.processes.learn(process)
    let regions = symbolizer.processes.code(of: process)
    #expect(finish(regions, .retry) == "waits")
    begun.wait()
    #expect(finish(regions, .retry) == "waits")
    #expect(finish(regions, .end) == #"["function"] before their rules were made"#)
    #expect(unwinder.generation == 0)
    gate.signal()
    let ended = #"["function", "1048576"] at an address that is not mapped"#
    #expect(finish(regions, .wait) == ended)
    #expect(finish(regions, .retry) == ended && finish(regions, .end) == ended)
    try unwinder.build()
    #expect(unwinder.generation == 1)
  }

  private func record(thread: UInt32) -> [UInt8] {
    var event = swtrace_stack_event()
    (event.kind, event.pid, event.tid, event.value) = (UInt8(SWTRACE_STACK_WHOLE.rawValue), process.rawValue, thread, 1)
    (event.ending, event.async_at) = (UInt8(SWTRACE_END_NO_TABLE.rawValue), UInt8(SWTRACE_NO_ASYNC))
    return withUnsafeBytes(of: event) { Array($0) } + rest
  }

  /// A window has all that came in it, also what rules were not there for, and the next one has its own.
  @Test func aWindowEndsWithoutRules() throws {
    let shared = StackProcesses(indexLimit: 1 << 20)
    shared.walks = StackWalks(unwinder, callers: .callers)
    var aggregator = StackAggregator(shared)
    var waits = aggregator.waitForRules(nanoseconds: .max / 4)
    #expect(!waits)
    for thread in 1...3 as ClosedRange<UInt32> { aggregator.add(record(thread: thread).span.bytes) }
    #expect(aggregator.count == 0 && aggregator.waitingProcesses == [process.rawValue])
    waits = aggregator.waitForRules(nanoseconds: 1)
    #expect(waits)
    let first = aggregator.closeWindow(since: 0)
    #expect(aggregator.count == 3 && first.stacks.entries.reduce(0) { $0 + $1.events } == 3)
    #expect(aggregator.walked.endings == [UInt8(SWTRACE_END_NO_TABLE.rawValue): 3])
    #expect(aggregator.walked.line == "stacks: 0.00 % of 3 complete, 100.00 % end before their rules were made")
    #expect(aggregator.waitingProcesses.isEmpty)
    for thread in 4...5 as ClosedRange<UInt32> { aggregator.add(record(thread: thread).span.bytes) }
    #expect(aggregator.count == 3)
    gate.signal()
    while aggregator.waitForRules(nanoseconds: .max / 4) {}
    #expect(aggregator.count == 5)
    let second = aggregator.closeWindow(since: 0)
    #expect(second.stacks.entries.reduce(0) { $0 + $1.events } == 2)
    #expect(
      aggregator.walked.endings == [UInt8(SWTRACE_END_NO_TABLE.rawValue): 3, UInt8(SWTRACE_END_NO_MAPPING.rawValue): 2])
  }
}

/// What is kept from window to window.
@Suite(.serialized) struct WindowNamesTests {
  private let process = ProcessID(UInt32(getpid()))

  /// Names a window with one stack through three libraries.
  ///
  /// - Returns: the names, and the bytes of the indexes that are kept.
  private func window(_ shared: StackProcesses) throws -> (names: [String], size: Int) {
    let user = try ["qsort", "swift_allocObject", "getenv"].map { (name: String) in
      1 + UInt64(UInt(bitPattern: try #require(dlsym(nil, name))))
    }
    var event = swtrace_stack_event()
    (event.kind, event.pid, event.value) = (UInt8(SWTRACE_STACK_WHOLE.rawValue), process.rawValue, 1)
    event.user_frames = Int32(user.count)
    var aggregator = StackAggregator(shared)
    aggregator.add((withUnsafeBytes(of: event) { Array($0) } + user.flatMap { withUnsafeBytes(of: $0) { Array($0) } }).span.bytes)
    let named = shared.name(aggregator.closeWindow(since: 0), unit: .samples) {}
    shared.settle(before: 0, keeping: [])
    #expect(named.names.total == 3 && named.names.named == 3)
    var sizes: [ObjectIdentifier: Int] = [:]
    for region in shared.symbolizer.processes.code(of: process) {
      if case .ready(let symbols) = region.object.state { sizes[ObjectIdentifier(symbols)] = symbols.memoryUse }
    }
    let sample = try #require(named.profile.samples.first)
    return (named.profile.stacks[sample.stack].frames.map(\.function), sizes.values.reduce(0, +))
  }

  @Test func whereMemoryIsShortAFourthIsKept() throws {
    let (names, all) = try window(StackProcesses(indexLimit: 1 << 30))
    #expect(names.count == 3 && names.contains("qsort") && all > 0)
    let shared = StackProcesses(indexLimit: all)
    var found = try window(shared)
    #expect(found == (names, all))
    shared.isLean = true
    // The names of this window are still there, and are given up behind it.
    found = try window(shared)
    #expect(found == (names, all))
    found = try window(shared)
    #expect(found.names == names && found.size <= all / 4)
    shared.isLean = false
    found = try window(shared)
    #expect(found == (names, all))
  }
}
