import Foundation
import TestSupport
import Testing

/// Not in the virtual machines: where all is emulated, swtrace itself may not run for as long as such a process lives.
@Suite(.requiresBPF, .serialized) struct ShortProcessTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Most of them end before the next reading of the ring.
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
    let records = try Swtrace.run(
      ["profile", "-F", "999", "--format", "json", "--", "bash", "-c", "for i in $(seq 53); do \(path); done"]
    ).json()
    _ = try summary(of: records)
    let samples = records.filter { $0["type"] as? String == "stack" && $0["comm"] as? String == "burst" }
      .map { stack in
        (
          name: (stack["frames"] as? [[String: Any]])?.first?["function"] as? String ?? "[unknown]", count: stack["count"] as? Int ?? 0,
          process: stack["pid"] as? Int
        )
      }
    let total = samples.reduce(0) { $0 + $1.count }
    let named = samples.filter { $0.name != "[unknown]" && !$0.name.hasPrefix("burst+0x") }.reduce(0) { $0 + $1.count }
    // Each takes 20 ms of processor time and is sampled every millisecond of it.
    #expect(Set(samples.map(\.process)).count == 53)
    #expect(named * 100 >= total * 95, "\(named) of \(total): \(samples)")
  }
}
