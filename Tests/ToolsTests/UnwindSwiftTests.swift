import TestSupport
import Testing

/// User stacks of Swift, and the callers that await its async functions. Not in the virtual machines, where a compiler takes minutes.
@Suite(.serialized, .requiresBPF) struct UnwindSwiftTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  /// Optimized Swift, whose functions have neither frame pointers nor, partly, rules.
  @Test func optimizedSwift() throws {
    let program = try programs.swift(
      "words",
      """
      @inline(never) func count(_ text: String, _ counts: inout [String: Int]) { for word in text.split(separator: " ") { counts[String(word), default: 0] += 1 } }
      @inline(never) func work(_ round: Int) -> Int { var counts: [String: Int] = [:]; for i in 0..<50 { count("a b \\(i % 7) c \\(round)", &counts) }; return counts.count }
      var sum = 0
      print("ready")
      fflush(stdout)
      for round in 0... { sum &+= work(round) }
      """)
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let named = sampled.count { $0.contains("words.work(_:)") }
    #expect(named * 10 >= sampled.count() * 9, "\(named) of \(sampled.count())")
  }

  /// The functions that await one another stand in order, from the task's first on; what runs them does not.
  @Test(arguments: [["-O"], ["-O", "-g"], ["-Onone", "-g"], ["-O", "-static-stdlib"]]) func asyncCallersThatAwait(_ flags: [String]) throws
  {
    let program = try programs.swift(
      "awaiting\(flags.joined())",
      """
      @inline(never) func spin(_ n: Int) -> Int { var s = 0; for i in 0..<n { s = s &+ (i &* 7 ^ s) }; return s }
      @inline(never) func plain(_ n: Int) -> Int { spin(n) &+ 1 }
      @inline(never) func fourth(_ n: Int) async -> Int { let a = plain(n); await Task.yield(); return a &+ plain(n) }
      @inline(never) func third(_ n: Int) async -> Int { let a = await fourth(n); return a &+ 3 }
      @inline(never) func second(_ n: Int) async -> Int { let a = await third(n); return a &+ 2 }
      @inline(never) func first(_ n: Int) async -> Int { let a = await second(n); return a &+ 1 }
      @main struct Main {
        static func main() async {
          print("ready")
          fflush(stdout)
          while true {
            await withTaskGroup(of: Int.self) { group in
              for i in 0..<4 { group.addTask { await first(30_000 + i) } }
              for await each in group where each == 42 { print(each) }
            }
          }
        }
      }
      """, flags)
    let sampled = try programs.profile([program])
    sampled.expectComplete()
    let spinning = sampled.stacks.filter {
      $0.frames.contains { $0.hasSuffix(".spin(_:)") } && $0.frames.contains { $0.hasSuffix(".plain(_:)") }
    }
    let samples = spinning.reduce(0) { $0 + $1.count }
    let whole = spinning.filter { stack in
      let names = stack.frames.compactMap { name in
        ["first", "second", "third", "fourth", "plain", "spin"].first { name.hasSuffix(".\($0)(_:)") }
      }
      return names == ["first", "second", "third", "fourth", "plain", "spin"] && stack.frames.contains("[async]")
        && !stack.frames.contains { $0.contains("runJobInEstablishedExecutorContext") }
    }.reduce(0) { $0 + $1.count }
    #expect(samples >= 100 && whole * 1000 >= samples * 995, "\(whole) of \(samples): \(spinning.prefix(3))")
    let executor = try programs.profile([program], ["--async", "physical"])
    #expect(executor.stacks.contains { $0.frames.contains { $0.contains("runJobInEstablishedExecutorContext") } })
  }
}
