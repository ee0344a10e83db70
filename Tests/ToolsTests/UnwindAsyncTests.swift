import Foundation
import TestSupport
import Testing

/// A program of async functions, and the chain of those that await each other in it, the first of the task first.
struct AsyncShape: CustomTestStringConvertible {
  let name: String
  let source: String
  /// Each is the end of a function's name.
  let chain: [String]

  var testDescription: String { name }

  static let all = [
    AsyncShape(
      name: "actors",
      source: """
        actor Counter {
          var total = 0
          @inline(never) func bump(_ n: Int) async -> Int { total &+= spin(n); await Task.yield(); total &+= spin(n); return total }
          @inline(never) func twice(_ n: Int) async -> Int { let a = await bump(n); return a &+ 1 }
        }
        @inline(never) func use(_ c: Counter) async -> Int { let a = await c.twice(30_000); return a &+ 1 }
        @main struct Main { static func main() async { ready(); let c = Counter(); while true { sink &+= await use(c) } } }
        """,
      chain: ["async_Main", "actors.use(_:)", "actors.Counter.twice(_:)", "actors.Counter.bump(_:)"]),
    AsyncShape(
      name: "generics",
      source: """
        struct Failure: Error {}
        @inline(never) func leaf(_ n: Int) async throws -> Int { if n < 0 { throw Failure() }; let a = spin(n); await Task.yield(); return a &+ spin(n) }
        @inline(never) func apply<T>(_ v: T, _ f: (T) async throws -> Int) async throws -> Int { let a = try await f(v); return a &+ 1 }
        @inline(never) func outer(_ n: Int) async throws -> Int { let a = try await apply(n) { try await leaf($0) &+ 2 }; return a &+ 3 }
        @main struct Main { static func main() async throws { ready(); while true { sink &+= try await outer(30_000) } } }
        """,
      chain: ["async_Main", "generics.outer(_:)", "generics.apply(_:_:)", "generics.leaf(_:)"]),
    AsyncShape(
      name: "asynclet",
      source: """
        @inline(never) func leaf(_ n: Int) async -> Int { let a = spin(n); await Task.yield(); return a &+ spin(n) }
        @inline(never) func middle(_ n: Int) async -> Int { let a = await leaf(n); return a &+ 1 }
        @inline(never) func parent(_ n: Int) async -> Int { async let a = middle(n); async let b = middle(n + 1); return await a &+ b }
        @main struct Main { static func main() async { ready(); while true { sink &+= await parent(30_000) } } }
        """,
      chain: ["in asynclet.parent(_:)", "asynclet.middle(_:)", "asynclet.leaf(_:)"]),
    AsyncShape(
      name: "continuations",
      source: """
        @inline(never) func waiter(_ n: Int) async -> Int {
          let v = await withCheckedContinuation { (c: CheckedContinuation<Int, Never>) in Task.detached { c.resume(returning: n) } }
          return spin(v) &+ 1
        }
        @inline(never) func outer(_ n: Int) async -> Int { let a = await waiter(n); return a &+ 1 }
        @main struct Main { static func main() async { ready(); while true { sink &+= await outer(60_000) } } }
        """,
      chain: ["async_Main", "continuations.outer(_:)", "continuations.waiter(_:)"]),
    AsyncShape(
      name: "streams",
      source: """
        @inline(never) func handle(_ n: Int) async -> Int { let a = spin(n); await Task.yield(); return a &+ 1 }
        @inline(never) func consume(_ s: AsyncStream<Int>) async { for await v in s { sink &+= await handle(v) } }
        @main struct Main { static func main() async { ready(); while true { let s = AsyncStream<Int> { c in for _ in 0..<100 { c.yield(30_000) }; c.finish() }; await consume(s) } } }
        """,
      chain: ["async_Main", "streams.consume(_:)", "streams.handle(_:)"]),
    AsyncShape(
      name: "protocols",
      source: """
        protocol Worker: Sendable { func run(_ n: Int) async -> Int }
        struct Slow: Worker { @inline(never) func run(_ n: Int) async -> Int { let a = spin(n); await Task.yield(); return a &+ spin(n) } }
        final class Wrapper: Worker { let inner: any Worker; init(_ w: any Worker) { inner = w }; @inline(never) func run(_ n: Int) async -> Int { let a = await inner.run(n); return a &+ 1 } }
        @inline(never) func drive(_ w: any Worker) async -> Int { let a = await w.run(30_000); return a &+ 1 }
        @main struct Main { static func main() async { ready(); let w: any Worker = Wrapper(Slow()); while true { sink &+= await drive(w) } } }
        """,
      chain: ["async_Main", "protocols.drive(_:)", "protocols.Wrapper.run(_:)", "protocols.Slow.run(_:)"]),
    AsyncShape(
      name: "mainactor",
      source: """
        @MainActor final class Model {
          var n = 0
          @inline(never) func load(_ k: Int) async -> Int { n &+= spin(k); await Task.yield(); n &+= spin(k); return n }
          @inline(never) func refresh(_ k: Int) async -> Int { let a = await load(k); return a &+ 1 }
        }
        @main struct Main { static func main() async { ready(); let m = await Model(); while true { sink &+= await m.refresh(30_000) } } }
        """,
      chain: ["async_Main", "mainactor.Model.refresh(_:)", "mainactor.Model.load(_:)"]),
    AsyncShape(
      name: "deep",
      source: """
        @inline(never) func descend(_ n: Int) async -> Int {
          if n == 0 { let a = spin(30_000); await Task.yield(); return a }
          let a = await descend(n - 1)
          return a &+ 1
        }
        @main struct Main { static func main() async { ready(); while true { sink &+= await descend(20) } } }
        """,
      chain: ["async_Main"] + [String](repeating: "deep.descend(_:)", count: 21)),
    // The children begin when their parent waits: what it has to do before is done where it would be.
    AsyncShape(
      name: "children",
      source: """
        @inline(never) func leaf(_ n: Int) async -> Int { let a = spin(n); await Task.yield(); return a &+ spin(n) }
        @inline(never) func work(_ n: Int) async -> Int { let a = await leaf(n); return a &+ 1 }
        @inline(never) @MainActor func gather() async {
          await withTaskGroup(of: Void.self) { group in
            group.addTask {
              await MainActor.run { ready() }
              while true { sink &+= await work(30_000) }
            }
            await group.waitForAll()
          }
        }
        @inline(never) @MainActor func request() async -> Int { async let a: Void = gather(); await a; return 1 }
        @main struct Main { @MainActor static func main() async { sink &+= await request() } }
        """,
      chain: [
        "children.request()", "[async let]", "children.request()", "children.gather()", "[task group]", "children.gather()",
        "children.work(_:)", "children.leaf(_:)",
      ]),
  ]
}

/// Those that await, in programs of many shapes. Not in the virtual machines, where a compiler takes minutes.
@Suite(.serialized, .requiresBPF) struct UnwindAsyncTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  private static let prelude = """
    @inline(never) func spin(_ n: Int) -> Int { var s = 0; for i in 0..<n { s = s &+ (i &* 7 ^ s) }; return s }
    func ready() { print("ready"); fflush(stdout) }
    nonisolated(unsafe) var sink = 0

    """

  /// Every sample in the function below the chain has the whole chain, and nothing else that is awaited.
  @Test(arguments: AsyncShape.all.map { ($0, ["-O"]) } + AsyncShape.all.suffix(1).map { ($0, ["-O", "-static-stdlib"]) })
  func chainsAreWhole(_ shape: AsyncShape, _ flags: [String]) throws {
    let program = try programs.swift(shape.name, Self.prelude + shape.source, flags)
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let spinning = sampled.stacks.filter { $0.frames.contains("\(shape.name).spin(_:)") }
    let samples = spinning.reduce(0) { $0 + $1.count }
    let whole = spinning.filter { stack in
      let known = stack.frames.filter { name in shape.chain.contains { name.hasSuffix($0) } }
      return known.count == shape.chain.count && zip(known, shape.chain).allSatisfy { $0.hasSuffix($1) }
        && !stack.frames.contains("[unknown]")
    }.reduce(0) { $0 + $1.count }
    #expect(samples >= 100 && whole * 1000 >= samples * 995, "\(whole) of \(samples): \(spinning)")
  }

  /// Each sample of a task has the number that the runtime says; the others have none.
  @Test(arguments: [["-O"], ["-O", "-static-stdlib"]]) func tasksAreToldApart(_ flags: [String]) throws {
    let program = try programs.swift(
      "tasks\(flags.joined())",
      Self.prelude + """
        @_silgen_name("swift_task_getCurrent") func current() -> UnsafeRawPointer
        @_silgen_name("swift_task_getJobTaskId") func number(_ task: UnsafeRawPointer) -> UInt64
        @inline(never) func one(_ n: Int) async { while true { sink &+= spin(n &+ sink & 15); await Task.yield() } }
        @inline(never) func another(_ n: Int) async { while true { sink &+= spin(n &+ sink & 15); await Task.yield() } }
        @MainActor var numbers: [UInt64] = [0, 0]
        @MainActor func say(_ place: Int, _ number: UInt64) {
          numbers[place] = number
          if !numbers.contains(0) { print("numbers \\(numbers[0]) \\(numbers[1])"); fflush(stdout) }
        }
        @main struct Main {
          @MainActor static func main() async {
            ready()
            async let first: Void = { await say(0, number(current())); await one(Int(CommandLine.argc) * 30_000) }()
            async let second: Void = { await say(1, number(current())); await another(Int(CommandLine.argc) * 30_000) }()
            _ = await (first, second)
          }
        }
        """, flags)
    try programs.during([program]) { running in
      let numbers = try running.wait(for: "numbers").split(separator: " ").compactMap { Int($0) }
      let sampled = try programs.stacks(["-p", "\(running.pid)", "-d", "1", "--tasks"])
      for (function, number) in zip(["one", "another"], numbers) {
        let name = "tasks.\(function)(_:)"
        let own = sampled.count { $0.contains(name) }
        let labelled = sampled.count { $0.contains(name) && $0.contains("[task \(number)]") }
        #expect(own >= 100 && labelled * 1000 >= own * 995, "\(labelled) of \(own): \(sampled.stacks)")
      }
      #expect(numbers.count == 2 && numbers[0] != numbers[1])
    }
  }
}
