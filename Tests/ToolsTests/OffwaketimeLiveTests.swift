import Foundation
import TestSupport
import Testing

/// offwaketime: both stacks of each wait.
@Suite(.requiresBPF, .serialized) struct OffwaketimeLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func functions(_ record: [String: Any]) -> [String] {
    (record["frames"] as? [[String: Any]] ?? []).compactMap { $0["function"] as? String }
  }

  @Test func everyWaitHasItsStackAndThatOfItsWaker() throws {
    let workload = try WakeuptimeLiveTests.workload(in: folder)
    let records = try Swtrace.run(["offwaketime", "--comm", "sleeper", "-m", "0", "--format", "json", "--", workload]).json()
    let counts = try summary(of: records)
    // From Linux 6.19 on a probe that is preempted misses some.
    let missed = counts.lost["missed"] ?? 0
    #expect(counts.lost.filter { $0.value > 0 && $0.key != "missed" } == [:])
    let stacks = records.filter { $0["type"] as? String == "stack" }
    #expect(stacks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == counts.delivered)
    #expect(stacks.allSatisfy { $0["comm"] as? String == "sleeper" && $0["unit"] as? String == "ns" })
    let kicks = stacks.filter { functions($0).contains("kick") }
    let seen = kicks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
    #expect((53 - missed...53).contains(seen), "\(records)")
    let duration = try #require(records.last?["duration_ns"] as? Int)
    let waited = kicks.reduce(0) { $0 + ($1["value"] as? Int ?? 0) }
    #expect(waited > 0 && waited <= duration)
    for kick in kicks {
      let names = functions(kick)
      // The name of the waker, its stack from the root to the leaf, and the stack of the wait from the leaf to the root.
      #expect(names.first == "kicker", "\(names)")
      let parts = names.split(separator: "--").map(Array.init)
      try #require(parts.count == 2, "\(names)")
      let (waker, sleeper) = (parts[0], parts[1])
      let kicking = try #require(waker.firstIndex(of: "kick"), "\(names)")
      #expect(waker[kicking - 1] == "main" && waker[kicking...].contains { $0.hasSuffix("pipe_write") }, "\(names)")
      let dozing = try #require(sleeper.firstIndex(of: "doze"), "\(names)")
      #expect(sleeper[dozing + 1] == "main" && sleeper[..<dozing].contains { $0.hasSuffix("pipe_read") }, "\(names)")
      #expect(!waker.contains("doze") && !sleeper.contains("kick"))
    }
  }

  @Test func foldedEndsWithTheWaker() throws {
    let workload = try WakeuptimeLiveTests.workload(in: folder)
    let folded = try Swtrace.run(["offwaketime", "--comm", "sleeper", "-m", "0", "-f", "--", workload])
    let line = try #require(folded.lines.first { $0.contains(";kick;") }, "\(folded.lines)")
    #expect(line.wholeMatch(of: #/sleeper;.*;main;doze;.*pipe_read;--;.*pipe_write;.*;kick;main;.*;kicker \d+/#) != nil, "\(line)")
    let users = try Swtrace.run(["offwaketime", "--comm", "sleeper", "-m", "0", "-U", "-f", "--", workload])
    #expect(users.lines.contains { $0.contains(";doze;") && $0.contains(";--;") && $0.contains(";kick;") }, "\(users.lines)")
    #expect(users.lines.allSatisfy { !$0.contains("pipe_") })
    let kernels = try Swtrace.run(["offwaketime", "--comm", "sleeper", "-m", "0", "-K", "-f", "--", workload])
    #expect(kernels.lines.contains { $0.contains("pipe_read;--;") }, "\(kernels.lines)")
    #expect(kernels.lines.allSatisfy { !$0.contains("kick;") && !$0.contains("doze") })
  }

  @Test func whatIsNotWantedIsFiltered() throws {
    let workload = try WakeuptimeLiveTests.workload(in: folder)
    for limits in [["-m", "600000000"], ["-m", "0", "-M", "1"], ["-m", "0", "-k"], ["-m", "0", "--state", "2"]] {
      let records = try Swtrace.run(["offwaketime", "--comm", "sleeper"] + limits + ["--format", "json", "--", workload]).json()
      #expect(records.allSatisfy { !functions($0).contains("kick") }, "\(limits)")
      #expect(try summary(of: records).filtered >= 53, "\(limits)")
    }
  }
}
