import Foundation
import Linux
import TestSupport
import Testing

/// A program whose threads have exact numbers of page faults while they are called `faulting`; compiled once, because that takes seconds in
/// a virtual machine.
private enum FaultWorkload {
  private static let folder = Result { try TemporaryFolder() }
  static let path = Result {
    let folder = try FaultWorkload.folder.get()
    // Globals are never released: the folder is removed when the tests end.
    atexit { if let path = try? FaultWorkload.folder.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <linux/fs.h>
      #include <pthread.h>
      #include <stdlib.h>
      #include <sys/ioctl.h>
      #include <sys/mman.h>
      #include <sys/prctl.h>
      #include <unistd.h>
      static int zero, disk = -1;
      /* u101: 101 pages that a program writes to; k53: 53 that the kernel writes to for it; d31: 31 of the disk, not in memory. */
      static void fault(const char *what, const char *name) {
        int pages = atoi(what + 1), is_disk = *what == 'd' && disk >= 0, step = is_disk ? 16 : 1;
        char *memory = mmap(0, (size_t)pages * step * 4096, PROT_READ | (is_disk ? 0 : PROT_WRITE),
          is_disk ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, is_disk ? disk : -1, 0);
        if (memory == MAP_FAILED || (is_disk ? madvise(memory, (size_t)pages * step * 4096, MADV_RANDOM) : 0)) _exit(2);
        /* Else many pages come with one fault. A kernel without huge pages refuses it. */
        if (!is_disk) madvise(memory, (size_t)pages * 4096, MADV_NOHUGEPAGE);
        if (is_disk && ioctl(disk, BLKFLSBUF)) _exit(3);
        prctl(PR_SET_NAME, name, 0, 0, 0);
        for (int i = 0; i < pages; i++) {
          volatile char *page = memory + (size_t)i * step * 4096;
          if (*what == 'k') { if (read(zero, (char *)page, 1) != 1) _exit(4); }
          else if (is_disk) (void)*page;
          else *page = 1;
        }
        prctl(PR_SET_NAME, "idle", 0, 0, 0);
        /* A page that is mapped stays in memory. */
        munmap(memory, (size_t)pages * step * 4096);
      }
      static void *run(void *what) {
        /* The code's own pages, and those of the stack. */
        fault("u1", "warm");
        fault("k1", "warm");
        fault("d1", "warm");
        fault(what, "faulting");
        return 0;
      }
      /* [DISK] KIND-AND-NUMBER...: a thread for each, one after the other */
      int main(int count, char **arguments) {
        zero = open("/dev/zero", O_RDONLY);
        if (mlockall(MCL_CURRENT)) return 5;
        for (int i = 1; i < count; i++) {
          pthread_t thread;
          if (*arguments[i] == '/') { disk = open(arguments[i], O_RDONLY); if (disk < 0) return 6; continue; }
          if (pthread_create(&thread, 0, run, arguments[i]) || pthread_join(thread, 0)) return 7;
        }
        return 0;
      }
      """, in: folder, name: "faultwork")
  }
}

@Suite(.requiresBPF, .serialized) struct FaultsLiveTests {
  private let program: String

  init() throws { program = try FaultWorkload.path.get() }

  /// The rows of the workload's threads while they are called `faulting`; nothing is lost.
  private func trace(_ options: [String], _ work: [String]) throws -> [[String: Any]] {
    let finished = try Swtrace.run(
      ["faults", "--comm", "faulting", "--propagate-exit", "--format", "json"] + options + ["--", program] + work)
    guard finished.status == 0 else { throw RunError("exit code \(finished.status): \(finished.errorText)") }
    let records = try finished.json()
    let counts = try summary(of: records)
    let rows = Array(records.dropLast())
    guard counts.lost.values.allSatisfy({ $0 == 0 }) else { throw RunError("\(counts)") }
    guard counts.delivered == rows.reduce(0, { $0 + ($1["major"] as? Int ?? 0) + ($1["minor"] as? Int ?? 0) }) else {
      throw RunError("\(rows) do not add up to \(counts)")
    }
    return rows
  }

  private func counts(_ rows: [[String: Any]], _ key: String) -> [Int] { rows.compactMap { $0[key] as? Int } }

  @Test func everyFaultOfAProcessCounts() throws {
    let rows = try trace([], ["u1009", "k53", "u7"])
    #expect(counts(rows, "minor") == [1069])
    #expect(counts(rows, "major") == [0])
    // The name of the process, not of the thread that faulted.
    #expect(rows.first?["comm"] as? String == "faultwork")
  }

  @Test func majorFaultsAreToldApart() throws {
    let disk = try LoopDisk()
    var rows = try trace([], [disk.path, "d31", "u101"])
    #expect(counts(rows, "major") == [31])
    #expect(counts(rows, "minor") == [101])
    rows = try trace(["--major"], [disk.path, "d31", "u101"])
    #expect(counts(rows, "major") == [31])
    #expect(rows.allSatisfy { $0["minor"] == nil })
  }

  @Test func keysAreThreadsNamesAndCgroups() throws {
    var rows = try trace(["-L"], ["u101", "u53", "k31"])
    #expect(counts(rows, "minor") == [101, 53, 31])
    #expect(Set(counts(rows, "tid")).count == 3)
    #expect(rows.allSatisfy { ["faulting", "idle"].contains($0["comm"] as? String) })
    rows = try trace(["--comms"], ["u101", "u53"])
    #expect(counts(rows, "minor") == [154])
    #expect(rows.first?["comm"] as? String == "faulting")
    rows = try trace(["--cgroups"], ["u101", "u53"])
    #expect(counts(rows, "minor") == [154])
    let line = try #require(ProcFile.read("/proc/self/cgroup")?.split(separator: "\n").first { $0.hasPrefix("0::") })
    #expect(rows.first?["cgroup"] as? String == String(line.dropFirst(3)))
  }

  /// With room for one thread in an interval and its successor, each fault is either counted or lost.
  @Test func fullMapLosesNothingInSilence() throws {
    let finished = try Swtrace.run(
      ["faults", "--comm", "faulting", "-L", "--max-keys", "1", "--format", "json", "--", program, "u101", "u53", "u31"])
    let counts = try summary(of: try finished.json())
    #expect(counts.delivered == 154)
    #expect(counts.lost["map_full"] == 31)
  }

  @Test func tableIsSortedByMajorFaults() throws {
    let disk = try LoopDisk()
    let finished = try Swtrace.run(["faults", "-L", "-T", "2", "--comm", "faulting", "--", program, disk.path, "u101", "d7", "u53"])
    let lines = finished.lines.dropFirst()
    #expect(lines.first == "TID     COMM                  MAJOR      MINOR")
    #expect(lines.dropFirst().map { $0.split(separator: " ").suffix(2).joined(separator: " ") } == ["7 0", "0 101"])
  }
}
