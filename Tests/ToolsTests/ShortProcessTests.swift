import Foundation
import TestSupport
import Testing

/// Not in the virtual machines: where all is emulated, swtrace itself may not run for as long as such a process lives.
@Suite(.requiresBPF, .serialized) struct ShortProcessTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Most of them end before the next reading of the ring.
  ///
  /// Beside other tests that start programs by the thousand, swtrace may not come to read what the kernel has for it: samples, and records of
  /// processes without which there are no names. Nobody can promise otherwise, only that each of these is counted. Such a run is done again.
  @Test func samplesOfProcessesOfTwentyMillisecondsHaveNames() throws {
    let path = try compile(
      """
      #include <time.h>
      volatile long sink;
      int main(void) {
        struct timespec now;
        do {
          for (int i = 0; i < 10000; i++) sink++;
          clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        } while (now.tv_sec == 0 && now.tv_nsec < 20000000);
        return 0;
      }
      """, in: folder, name: "burst", flags: ["-O1", "-static"])
    for _ in 0..<9 { if try areNamed(path) { return } }
    Issue.record("each of nine runs has lost samples, or records of processes")
  }

  /// Whether it was a run without losses, in which all 53 processes have to have samples and these have names.
  private func areNamed(_ path: String) throws -> Bool {
    let records = try Swtrace.run(
      ["profile", "-F", "999", "--format", "json", "--", "bash", "-c", "for i in $(seq 53); do \(path); done"]
    ).json()
    let lost = try summary(of: records).lost.values.reduce(0, +)
    let lostRecords = try #require(records.first { $0["type"] as? String == "symbols" }?["lost_records"] as? Int)
    let samples = records.filter { $0["type"] as? String == "stack" && $0["comm"] as? String == "burst" }
      .map { stack in
        (
          name: (stack["frames"] as? [[String: Any]])?.first?["function"] as? String ?? "[unknown]", count: stack["count"] as? Int ?? 0,
          process: stack["pid"] as? Int
        )
      }
    // With what each took before it became the program.
    let processes = Set(samples.compactMap(\.process))
    let taken = records.filter { $0["type"] as? String == "stack" && ($0["pid"] as? Int).map(processes.contains) == true }
      .reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
    let total = samples.reduce(0) { $0 + $1.count }
    let named = samples.filter { $0.name != "[unknown]" && !$0.name.hasPrefix("burst+0x") }.reduce(0) { $0 + $1.count }
    // Each takes 20 ms of processor time and is sampled every millisecond of it. What is not there is counted, whatever the reason.
    #expect((taken + lost) * 100 >= 53 * 20 * 95, "\(taken) samples, \(lost) lost")
    guard lost == 0, lostRecords == 0 else { return false }
    #expect(Set(samples.map(\.process)).count == 53)
    #expect(named * 100 >= total * 95, "\(named) of \(total): \(samples)")
    return true
  }
}
