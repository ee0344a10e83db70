import Foundation
import TestSupport
import Testing

/// offcputime --locks: waits for locks, told from other waits in futex(2).
@Suite(.requiresBPF, .serialized) struct LockLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private struct Found {
    /// As the program saw it, in nanoseconds.
    var waited: Int
    var stacks: [[String: Any]]
    var counts: (seen: Int, filtered: Int, delivered: Int, lost: [String: Int])
    /// Waits whose end the kernel did not show.
    var unfinished: Int

    func sum(_ member: String, in function: String? = nil) -> Int {
      stacks.filter { function == nil || Found.functions($0).contains(function ?? "") }.reduce(0) { $0 + ($1[member] as? Int ?? 0) }
    }

    static func functions(_ record: [String: Any]) -> [String] {
      (record["frames"] as? [[String: Any]] ?? []).compactMap { $0["function"] as? String }
    }
  }

  private func trace(_ tool: [String], _ workload: [String]) throws -> Found {
    let program = try compileLocks(in: folder, name: "contended")
    let file = folder.file("locks.json")
    let finished = try Swtrace.run(tool + ["--comm", "contended", "--output", file, "--", program] + workload)
    #expect(finished.status == 0, "\(finished.errorText)")
    let records = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    return Found(
      waited: try #require(Int(finished.outputText.split(separator: "\n").first ?? "")),
      stacks: records.filter { $0["type"] as? String == "stack" }, counts: try summary(of: records),
      unfinished: (records.last?["remarks"] as? [String: Int])?["unfinished"] ?? 0)
  }

  /// Each wait for a lock is there with its length, in both tools; no wait for work is.
  @Test(arguments: ["offcputime", "offwaketime"]) func eachWaitForALockCountsAndNoOther(_ tool: String) throws {
    // Kernels that hide switches of some tasks hide waits of others: then once more.
    var found = try trace([tool, "--locks", "-m", "1000"], ["31", "17", "13", "23", "3000"])
    for _ in 0..<9 where found.unfinished > 0 { found = try trace([tool, "--locks", "-m", "1000"], ["31", "17", "13", "23", "3000"]) }
    #expect(found.counts.lost.filter { $0.value > 0 } == [:])
    for (function, count) in [("take_mutex", 31), ("take_rwlock", 17), ("take_inheriting", 13), ("wait_for_work", 0)] {
      #expect(found.sum("count", in: function) == count, "\(function): \(found.stacks.map(Found.functions))")
      #expect(found.sum("value", in: function) >= count * 3_000_000)
    }
    #expect(found.sum("count") == 61 && found.sum("value") <= found.waited, "\(found.sum("value")) of \(found.waited) ns")
    // What was left out by its name was seen.
    #expect(found.counts.delivered == 61 && found.counts.filtered >= 23)
  }

  /// A part of the waits stands for all: the sum is what the program measured, within six standard deviations.
  @Test func sampledWaitsSumUpToAllOfThem() throws {
    let found = try trace(["offcputime", "--locks", "-m", "1000", "--samples", "100"], ["1009", "0", "0", "211", "3000"])
    let taken = found.sum("count")
    // Not all, and enough for the bound below to say something.
    #expect((50...900).contains(taken), "\(taken)")
    #expect(
      abs(Double(found.sum("value")) / Double(found.waited) - 1) < 6 / Double(taken).squareRoot(),
      "\(found.sum("value")) of \(found.waited)")
    #expect(found.counts.lost.filter { $0.value > 0 } == [:] && found.counts.delivered == taken)
  }

  @Test func locksNeedNames() throws {
    let finished = try Swtrace.run(["offcputime", "--locks", "-K", "1"])
    #expect(finished.status != 0 && finished.errorText.contains("--locks finds locks by the names of functions"), "\(finished.errorText)")
  }
}
