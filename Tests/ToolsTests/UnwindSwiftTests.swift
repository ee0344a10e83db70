import TestSupport
import Testing

/// User stacks of Swift, and the callers that await its async functions. Not in the virtual machines, where a compiler takes minutes.
@Suite(.serialized, .requiresBPF) struct UnwindSwiftTests {
  private let folder: TemporaryFolder
  private let programs: WorkingProgram

  init() throws {
    folder = try TemporaryFolder()
    programs = WorkingProgram(folder: folder)
  }

  /// Optimized Swift, whose functions have neither frame pointers nor, partly, rules.
  @Test func optimizedSwift() throws {
    let program = try swift(
      "words",
      """
      @inline(never) func count(_ text: String, _ counts: inout [String: Int]) { for word in text.split(separator: " ") { counts[String(word), default: 0] += 1 } }
      @inline(never) func work(_ round: Int) -> Int { var counts: [String: Int] = [:]; for i in 0..<50 { count("a b \\(i % 7) c \\(round)", &counts) }; return counts.count }
      var sum = 0
      print("ready")
      fflush(stdout)
      for round in 0... { sum &+= work(round) }
      """)
    let (stacks, report) = try programs.profile([program])
    programs.expectComplete(report)
    let all = stacks.reduce(0) { $0 + $1.count }
    let named = stacks.filter { $0.frames.contains("words.work(_:)") }.reduce(0) { $0 + $1.count }
    #expect(named * 10 >= all * 9, "\(named) of \(all)")
  }

  /// The functions that await one another stand in order, from the task's first on; what runs them does not.
  @Test(arguments: [["-O"], ["-O", "-g"], ["-Onone", "-g"]]) func asyncCallersThatAwait(_ flags: [String]) throws {
    let program = try swift(
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
    let (stacks, report) = try programs.profile([program])
    programs.expectComplete(report)
    let spinning = stacks.filter { $0.frames.contains { $0.hasSuffix(".spin(_:)") } && $0.frames.contains { $0.hasSuffix(".plain(_:)") } }
    let samples = spinning.reduce(0) { $0 + $1.count }
    let whole = spinning.filter { stack in
      let names = stack.frames.compactMap { name in
        ["first", "second", "third", "fourth", "plain", "spin"].first { name.hasSuffix(".\($0)(_:)") }
      }
      return names == ["first", "second", "third", "fourth", "plain", "spin"] && stack.frames.contains("[async]")
        && !stack.frames.contains { $0.contains("runJobInEstablishedExecutorContext") }
    }.reduce(0) { $0 + $1.count }
    #expect(samples >= 100 && whole * 1000 >= samples * 995, "\(whole) of \(samples): \(spinning.prefix(3))")
    let (executor, _) = try programs.profile([program], ["--async", "physical"])
    #expect(executor.contains { $0.frames.contains { $0.contains("runJobInEstablishedExecutorContext") } })
  }

  private func swift(_ name: String, _ source: String, _ flags: [String] = ["-O"]) throws -> String {
    let path = "\(folder.path)/\(name)"
    let file = try folder.file("\(name).swift", "import Glibc\n" + source)
    let library = source.contains("@main") ? ["-parse-as-library"] : []
    try mustRun(["swiftc", "-module-name", String(name.prefix { $0 != "-" })] + flags + library + ["-o", path, file])
    return path
  }
}
