import Glibc
import TestSupport
import Testing

@Suite(.requiresBPF, .serialized) struct OpensnoopLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Opens by all four system calls, with numbers of times that are different primes.
  private func workload() throws -> String {
    try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <stdint.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      struct how { uint64_t flags, mode, resolve; };
      int main(int count, char **arguments) {
        chdir(arguments[1]);
        for (int i = 0; i < 101; i++) close(syscall(SYS_openat, AT_FDCWD, "here", O_RDWR | O_CREAT, 0640));
      #ifdef SYS_open
        for (int i = 0; i < 53; i++) close(syscall(SYS_open, "here", O_RDONLY, 0));
        for (int i = 0; i < 31; i++) close(syscall(SYS_creat, "made", 0600));
      #endif
        struct how how = { O_RDONLY | O_CLOEXEC, 0, 0 };
        for (int i = 0; i < 43; i++) close(syscall(SYS_openat2, AT_FDCWD, "here", &how, sizeof(how)));
        for (int i = 0; i < 17; i++) syscall(SYS_openat, AT_FDCWD, "missing/\\n\\x1b[31m\\xff", O_RDONLY, 0);
        int d = open("..", O_RDONLY | O_DIRECTORY);
        char inside[256];
        const char *name = arguments[1], *slash = name;
        for (const char *c = name; *c; c++) if (*c == '/') slash = c + 1;
        int n = 0;
        while (slash[n]) { inside[n] = slash[n]; n++; }
        inside[n++] = '/'; inside[n++] = 'h'; inside[n++] = 'e'; inside[n++] = 'r'; inside[n++] = 'e'; inside[n] = 0;
        for (int i = 0; i < 7; i++) close(openat(d, inside, O_RDONLY));
        return 0;
      }
      """, in: folder)
  }

  @Test func everyOpenIsPrintedExactly() throws {
    let finished = try Swtrace.run(["opensnoop", "--format", "json", "-F", "--", try workload(), folder.path])
    #expect(finished.status == 0)
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    #expect(counts.delivered == records.count - 1)
    let events = records.dropLast().filter { ($0["comm"] as? String) == "workload" }
    func count(_ condition: ([String: Any]) -> Bool) -> Int { events.count(where: condition) }
    let here = "\(folder.path)/here"
    #expect(count { $0["path"] as? String == here && $0["flags"] as? Int == 0o102 && $0["mode"] as? Int == 0o640 } == 101)
    #if arch(x86_64)
      #expect(count { $0["path"] as? String == here && $0["flags"] as? Int == 0 } == 53 + 7)
      #expect(count { $0["path"] as? String == "\(folder.path)/made" && $0["mode"] as? Int == 0o600 } == 31)
    #endif
    #expect(count { $0["path"] as? String == here && $0["flags"] as? Int == 0o2000000 } == 43)
    let failed = events.filter { $0["errno"] as? Int == 2 && ($0["path"] as? String)?.contains("missing") == true }
    #expect(failed.count == 17)
    #expect(failed.allSatisfy { $0["path"] as? String == "\(folder.path)/missing/\n\u{1b}[31m\\xff" && $0["fd"] as? Int == -1 })
  }

  @Test func tableHasBCCsColumnsAndNoControlCharacters() throws {
    let finished = try Swtrace.run(["opensnoop", "-T", "-U", "-e", "-x", "--", try workload(), folder.path])
    #expect(finished.lines.first == "TIME     UID    PID    COMM              FD ERR FLAGS    MODE  PATH")
    let failed = finished.lines.filter { $0.hasSuffix("missing/\\n\\x1b[31m\\xff") }
    #expect(failed.count == 17)
    #expect(finished.output.allSatisfy { $0 >= 0x20 || $0 == 0x0a })
    #expect(finished.lines.dropFirst().allSatisfy { $0.contains("  -1   ") })
  }

  @Test func callersAreNamed() throws {
    let program = try compile(
      """
      #include <fcntl.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      volatile int sink;
      /* The C library's functions have no frame pointers, which hides who calls them. */
      __attribute__((noinline)) void load(const char *path) { sink += close(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0)); sink++; }
      __attribute__((noinline)) void load_settings(void) { load("/proc/version"); sink++; }
      __attribute__((noinline)) void load_data(void) { load("/proc/uptime"); sink++; }
      int main(void) {
        for (int i = 0; i < 11; i++) load_settings();
        for (int i = 0; i < 7; i++) load_data();
        return 0;
      }
      """, in: folder, name: "loads", compiler: "clang", flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"])
    let records = try Swtrace.run(["opensnoop", "-c", "--comm", "loads", "--format", "json", "--", program]).json()
    #expect(try summary(of: records).delivered == records.count - 1)
    for (path, function, count) in [("/proc/version", "load_settings", 11), ("/proc/uptime", "load_data", 7)] {
      let opens = records.filter { $0["path"] as? String == path }
      #expect(opens.count == count)
      for open in opens {
        let callers = try #require(open["callers"] as? [String])
        let at = try #require(callers.firstIndex(of: function), "\(callers) \(records.last ?? [:])")
        #expect(callers[at + 1] == "main", "\(callers)")
      }
    }
    let table = try Swtrace.run(["opensnoop", "-c", "-F", "--comm", "loads", "--", program])
    #expect(table.lines.first?.hasSuffix("PATH                                     CALLERS") == true, "\(table.lines)")
    #expect(table.lines.count { $0.contains("/proc/uptime ") && $0.contains(" load_data main ") } == 7, "\(table.lines)")
  }

  @Test func filtersTestTheOpeningTask() throws {
    let workload = try workload()
    for filter in [["-n", "workload"], ["-n", "load"], ["-n", "w"], ["-n", "rkl"], ["--comm", "workload"], ["-u", "0"]] {
      let finished = try Swtrace.run(["opensnoop", "--format", "json"] + filter + ["--", workload, folder.path])
      let records = try finished.json()
      _ = try summary(of: records)
      #expect(records.dropLast().count { ($0["path"] as? String) == "here" && $0["flags"] as? Int == 0o102 } == 101)
    }
    for filter in [["-n", "another"], ["-n", "workloads"], ["-n", "oad\u{1}"], ["--comm", "work"]] {
      let other = try Swtrace.run(["opensnoop", "--format", "json"] + filter + ["--", workload, folder.path]).json()
      let counts = try summary(of: other)
      #expect(counts.delivered == 0)
      #expect(counts.filtered == counts.seen)
      #expect(counts.seen >= 101 + 43 + 17)
    }
  }

  #if arch(x86_64)
    /// Calls by the interface of 32-bit programs have other numbers and registers: theirs are opens, and what has an open's number in the
    /// other interface is none. Without that interface in the kernel (a program learns it by a signal) there are only the 64-bit ones.
    @Test func callsOf32BitPrograms() throws {
      let program = try compile(Compat.source(in: folder.path), in: folder, name: "compat")
      let finished = try Swtrace.run(["opensnoop", "--format", "json", "-F", "--propagate-exit", "--", program])
      let hasCompat = try Compat.isSupported(finished)
      let records = try finished.json()
      let counts = try summary(of: records)
      #expect(counts.lost.filter { $0.value > 0 } == [:])
      func count(_ path: String, _ flags: Int, _ mode: Int?) -> Int {
        records.count { $0["path"] as? String == path && $0["flags"] as? Int == flags && (mode == nil || $0["mode"] as? Int == mode) }
      }
      let path = "\(folder.path)/low"
      #expect(count(path, 0o101, 0o640) == (hasCompat ? 53 : 0))
      #expect(count(path, 0o1101, 0o600) == (hasCompat ? 31 : 0))
      #expect(count(path, 0o2, nil) == (hasCompat ? 101 : 0))
      #expect(count(path, 0o2000000, nil) == (hasCompat ? 43 : 0))
      #expect(count(path, 0o200000, nil) == 7)
      #expect(records.count { $0["path"] as? String == path } == (hasCompat ? 53 + 31 + 101 + 43 : 0) + 7)
    }
  #endif

  /// Names in the root are paths with a slash, from the working folder as well as from a descriptor.
  @Test func fullPathsInTheRoot() throws {
    let program = try compile(
      """
      #include <fcntl.h>
      #include <unistd.h>
      int main(void) {
        chdir("/");
        for (int i = 0; i < 11; i++) close(open("etc/passwd", O_RDONLY | O_NOFOLLOW));
        int root = open("/", O_RDONLY | O_DIRECTORY);
        chdir("/proc");
        for (int i = 0; i < 13; i++) close(openat(root, "etc/passwd", O_RDONLY | O_NONBLOCK));
        for (int i = 0; i < 5; i++) close(openat(-1, "etc/passwd", O_RDONLY));
        return 0;
      }
      """, in: folder, name: "rooted")
    let records = try Swtrace.run(["opensnoop", "--format", "json", "-F", "--", program]).json()
    func count(_ path: String, _ flags: Int) -> Int { records.count { $0["path"] as? String == path && $0["flags"] as? Int == flags } }
    #expect(count("/etc/passwd", 0o400000) == 11)
    #expect(count("/etc/passwd", 0o4000) == 13)
    #expect(records.count { $0["path"] as? String == "etc/passwd" && $0["errno"] as? Int == 9 } == 5)
  }

  /// A program that opens a file so many times: one that is in memory, whatever holds the other files.
  private func loop() throws -> String {
    try compile(
      """
      #include <fcntl.h>
      #include <stdlib.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        for (int i = atoi(arguments[1]); i > 0; i--) close(open("/dev/full", O_RDONLY));
      }
      """, in: folder, name: "loop")
  }

  private typealias Opens = (counts: (seen: Int, filtered: Int, delivered: Int, lost: [String: Int]), full: Int, others: Int)

  private func opens(_ command: [String]) throws -> Opens {
    let records = try Swtrace.run(["opensnoop", "--format", "json", "-n", "loop", "--"] + command).json()
    let full = records.dropLast().count { $0["path"] as? String == "/dev/full" }
    return (try summary(of: records), full, records.count - 1 - full)
  }

  /// What the program opens before its loop, such as its libraries.
  private func opensBeforeTheLoop(_ program: String) throws -> Int {
    let start = try opens([program, "0"])
    #expect(start.counts.lost.filter { $0.value > 0 } == [:])
    #expect(start.full == 0 && start.others == start.counts.delivered)
    return start.others
  }

  private func isExact(_ loop: Opens, _ expected: Int) -> Bool {
    // Those that the kernel did not show to the probe may be of any task.
    let (missed, lost) = (loop.counts.lost["missed"] ?? 0, loop.counts.lost.values.reduce(0, +))
    return loop.full + loop.others == loop.counts.delivered && loop.counts.delivered + lost - missed <= expected
      && loop.counts.delivered + lost >= expected
  }

  /// Opens in a tight loop are delivered or counted.
  @Test func aTightLoopIsAccountedFor() throws {
    let program = try loop()
    let before = try opensBeforeTheLoop(program)
    let run = try opens([program, "30011"])
    #expect(isExact(run, before + 30011), "\(run)")
  }

  /// A reader that is held up for longer than its ring lasts loses events, and each of them is counted.
  @Test func aSlowReaderLosesNothingInSilence() throws {
    let program = try loop()
    let before = try opensBeforeTheLoop(program)
    let run = try opens(["sh", "-c", "kill -STOP $PPID; \(program) 30011; kill -CONT $PPID"])
    #expect(run.counts.lost["ring"] ?? 0 > 0)
    #expect(run.counts.delivered > 1000)
    #expect(isExact(run, before + 30011), "\(run)")
  }
}
