import Foundation
import TestSupport
import Testing

/// profile and offcputime: numbers of events and whole chains of frames.
@Suite(.requiresBPF, .serialized) struct StackToolLiveTests {
  private static let folder = Result { try TemporaryFolder() }
  private let folder: TemporaryFolder

  init() throws { folder = try Self.folder.get() }

  /// Burns processor time in `spin`, then sleeps in `nap`, called through known functions.
  private func workload() throws -> String {
    let path = "\(folder.path)/stacks"
    if FileManager.default.fileExists(atPath: path) { return path }
    return try compile(
      """
      #include <stdlib.h>
      #include <sys/syscall.h>
      #include <time.h>
      volatile long sink;
      /* Not by the C library, whose functions have no frame pointers. */
      static inline __attribute__((always_inline)) long sleep_for(struct timespec *time) {
      #if defined(__x86_64__)
        long result;
        __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_nanosleep), "D"(time), "S"(0) : "rcx", "r11", "memory");
        return result;
      #else
        register long number __asm__("x8") = SYS_nanosleep;
        register long first __asm__("x0") = (long)time;
        register long second __asm__("x1") = 0;
        __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second) : "memory");
        return first;
      #endif
      }
      __attribute__((noinline)) void spin(long count) { for (long i = 0; i < count; i++) sink += i; sink++; }
      __attribute__((noinline)) void around(long count) { spin(count); sink++; }
      __attribute__((noinline)) void nap(void) { struct timespec time = { 0, 5000000 }; sleep_for(&time); sink++; }
      __attribute__((noinline)) void rest(void) { nap(); sink++; }
      int main(int count, char **arguments) {
        for (int i = atoi(arguments[1]); i > 0; i--) around(3000000);
        for (int i = atoi(arguments[2]); i > 0; i--) rest();
        return 0;
      }
      """, in: folder, name: "stacks", compiler: "clang",
      flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-mno-omit-leaf-frame-pointer"])
  }

  private func frames(_ record: [String: Any]) -> [String] {
    (record["frames"] as? [[String: Any]] ?? []).compactMap { $0["function"] as? String }
  }

  @Test func samplesAreNamedFromTheRootToTheLeaf() throws {
    let finished = try Swtrace.run(["profile", "-F", "997", "--format", "json", "--", try workload(), "60", "0"])
    #expect(finished.status == 0)
    let records = try finished.json()
    let counts = try summary(of: records)
    let stacks = records.filter { $0["type"] as? String == "stack" }
    #expect(stacks.reduce(0) { $0 + ($1["value"] as? Int ?? 0) } == counts.delivered)
    let spinning = stacks.filter { frames($0).contains("spin") && $0["comm"] as? String == "stacks" }
    #expect(!spinning.isEmpty)
    for stack in spinning {
      let names = frames(stack)
      let leaf = try #require(names.firstIndex(of: "spin"))
      // The instruction before the frame is set up is the one place where a caller is skipped.
      let rest = Array(names[(leaf + 1)...])
      #expect(rest.starts(with: ["around", "main"]) || rest.starts(with: ["main"]), "\(names)")
    }
    let chain = spinning.filter { frames($0).contains("around") }.reduce(0) { $0 + ($1["value"] as? Int ?? 0) }
    let all = spinning.reduce(0) { $0 + ($1["value"] as? Int ?? 0) }
    #expect(chain * 10 >= all * 9, "\(chain) of \(all)")
  }

  @Test func everyWaitIsSummedWithItsStack() throws {
    let workload = try workload()
    let finished = try Swtrace.run(["offcputime", "-m", "4000", "--format", "json", "--", workload, "0", "47"])
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.lost.values.allSatisfy { $0 == 0 })
    let naps = records.filter { frames($0).contains("nap") }
    #expect(naps.reduce(0) { $0 + ($1["value"] as? Int ?? 0) } >= 47 * 5_000)
    for nap in naps {
      let names = frames(nap)
      let kernel = (nap["frames"] as? [[String: Any]] ?? []).prefix { $0["kernel"] as? Bool == true }.count
      #expect(names[..<kernel].contains { $0.contains("nanosleep") }, "\(names)")
      let user = Array(names[kernel...])
      let at = try #require(user.firstIndex(of: "nap"), "\(names)")
      #expect(Array(user[at...].prefix(3)) == ["nap", "rest", "main"])
    }
    // Every wait of at least 4 ms is one of the naps, unless the machine was that slow elsewhere.
    #expect(counts.delivered >= 47)
    #expect(counts.seen == counts.filtered + counts.delivered)
    // The same with a minimum that none reaches: all are seen, none is delivered.
    let none = try Swtrace.run(["offcputime", "-m", "600000000", "--format", "json", "--", workload, "0", "47"]).json()
    let filtered = try summary(of: none)
    #expect(filtered.delivered == 0)
    #expect(filtered.filtered >= 47)
  }

  @Test func foldedIsCommandThenRootToLeaf() throws {
    let finished = try Swtrace.run(["offcputime", "-m", "4000", "-f", "--annotate", "--", try workload(), "0", "37"])
    let line = try #require(finished.lines.first { $0.contains(";nap;") })
    #expect(line.hasPrefix("stacks;"))
    #expect(line.contains(";main;rest;nap;"))
    #expect(line.contains("nanosleep_[k]"))
    let value = try #require(line.split(separator: " ").last.flatMap { Int($0) })
    #expect(value >= 37 * 5_000)
    #expect(
      try Swtrace.run(["offcputime", "-m", "4000", "-U", "-f", "--", try workload(), "0", "37"]).lines.allSatisfy {
        !$0.contains("do_syscall")
      })
    #expect(
      try Swtrace.run(["offcputime", "-m", "4000", "-K", "-f", "--", try workload(), "0", "37"]).lines.allSatisfy { !$0.contains(";main") })
  }

  @Test func picturesAndTablesComeTogether() throws {
    let files = ["svg", "html", "folded", "json", "csv"].map { "\(folder.path)/out.\($0)" }
    let finished = try Swtrace.run(
      ["profile", "-F", "499", "--summary", "3"] + files.flatMap { ["--output", $0] } + ["--", try workload(), "30", "0"])
    #expect(finished.status == 0, "\(finished.errorText)")
    #expect(finished.lines.first?.contains("FUNCTION") == true)
    #expect(finished.lines.contains { $0.contains("spin [stacks]") })
    #expect(finished.errorText.contains("symbols: "))
    #expect(finished.errorText.contains("lost 0"))
    let contents = try files.map { try String(contentsOfFile: $0, encoding: .utf8) }
    #expect(contents[0].hasPrefix("<svg") && contents[0].contains("spin"))
    #expect(contents[1].hasPrefix("<!") && contents[1].contains("spin"))
    #expect(contents[2].contains("stacks;"))
    #expect(contents[3].contains("\"type\":\"summary\""))
    #expect(contents[4].hasPrefix("comm,pid,stack,samples\n"))
  }

  @Test func whatCannotBeSampledIsNamed() throws {
    let processor = try Swtrace.run(["profile", "-C", "9999"])
    #expect(processor.status == 1)
    #expect(processor.errorText.contains("processor 9999 is not online"))
    #expect(try Swtrace.run(["profile", "-F", "0"]).status == 64)
    let folder = try Swtrace.run(["profile", "-o", "/nonexistent/x.svg", "1"])
    #expect(folder.status == 1)
    #expect(folder.errorText.contains("cannot create /nonexistent/x.svg"))
  }
}
