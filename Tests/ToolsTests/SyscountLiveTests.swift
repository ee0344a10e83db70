import Foundation
import TestSupport
import Testing

@testable import Tools

@Suite(.requiresBPF, .serialized) struct SyscountLiveTests {
  private let folder: TemporaryFolder

  /// Compiled once for all tests: in a virtual machine that takes longer than most of them.
  private static let shared = Result { try TemporaryFolder() }
  private static let program = Result { try build() }

  init() throws { folder = try Self.shared.get() }

  private func workload() throws -> String { try Self.program.get() }

  private static func build() throws -> String {
    // Static values are never released: the folder is removed when the tests end.
    atexit { if let path = try? SyscountLiveTests.shared.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <unistd.h>
      int main(void) {
        for (int i = 0; i < 10007; i++) syscall(SYS_getppid);
        for (int i = 0; i < 101; i++) syscall(SYS_openat, -1, "/nonexistent", O_RDONLY);
        for (int i = 0; i < 53; i++) syscall(SYS_close, -1);
        for (int i = 0; i < 31; i++) syscall(499);
        for (int i = 0; i < 29; i++) syscall(5003);
      #ifdef __x86_64__
        for (int i = 0; i < 17; i++) { long result; __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11"); }
      #endif
        for (int i = 0; i < 7; i++) { if (!fork()) { for (int j = 0; j < 211; j++) syscall(SYS_getppid); _exit(0); } wait(0); }
        return 0;
      }
      """, in: shared.get())
  }

  private typealias Counts = (seen: Int, filtered: Int, delivered: Int, lost: [String: Int])

  private func rows(_ options: [String]) throws -> (rows: [[String: Any]], counts: Counts) {
    let finished = try Swtrace.run(["syscount", "--format", "json"] + options + ["--", try workload()])
    #expect(finished.status == 0)
    let records = try finished.json()
    let counts = try summary(of: records)
    let rows = Array(records.dropLast())
    #expect(rows.allSatisfy { $0["type"] as? String == "count" })
    #expect(rows.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == counts.delivered)
    return (rows, counts)
  }

  @Test(arguments: [[], ["-L"]]) func countsAreExact(_ options: [String]) throws {
    let (rows, counts) = try rows(options)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    func row(_ name: String) -> [String: Any] { rows.first { $0["syscall"] as? String == name } ?? [:] }
    #expect(row("getppid")["count"] as? Int == 10007 + 7 * 211)
    #expect(row("syscall_499")["count"] as? Int == 31 && row("syscall_499")["errors"] as? Int == 31)
    #expect(row("syscall_5003")["count"] as? Int == 29)
    #expect(row("wait4")["count"] as? Int == 7)
    #if arch(x86_64)
      // Kernels without the 32-bit interface kill the program at its first use; those here have it.
      #expect(row("compat_20")["count"] as? Int == 17)
    #endif
    if !options.isEmpty {
      let total = try #require(row("getppid")["total_ns"] as? Int)
      #expect(row("getppid")["average_ns"] as? Int == total / (10007 + 7 * 211))
      #expect(try #require(row("getppid")["p99_ns"] as? Int) <= #require(row("getppid")["max_ns"] as? Int))
    }
  }

  @Test func failuresAndErrorsSelect() throws {
    let (failed, counts) = try rows(["-x"])
    #expect(counts.filtered > 10007)
    #expect(failed.allSatisfy { $0["count"] as? Int == $0["errors"] as? Int })
    #expect(failed.first { $0["syscall"] as? String == "getppid" } == nil)
    let (bad, _) = try rows(["-e", "EBADF"])
    #expect(bad.first { $0["syscall"] as? String == "close" }?["count"] as? Int == 53)
    #expect(bad.first { $0["syscall"] as? String == "openat" } == nil)
  }

  @Test func processesAreCountedApart() throws {
    let (rows, counts) = try rows(["-P"])
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    #expect(rows.count == 8)
    #expect(rows.allSatisfy { $0["comm"] as? String == "workload" })
    #expect(rows.dropFirst().allSatisfy { $0["count"] as? Int ?? 0 >= 211 })
  }

  @Test func fullMapIsCounted() throws {
    let finished = try Swtrace.run(["syscount", "-P", "--max-keys", "1", "--format", "json", "--", try workload()])
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.lost["map_full"] ?? 0 >= 211)
    #expect(records.dropLast().reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == counts.delivered)
    #expect(finished.errorText.contains("map full"))
  }

  /// Calls go on until three intervals have been printed; the workload tells how many it made.
  @Test func intervalsLoseNothing() throws {
    let caller = try compile(
      """
      #include <stdio.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        long calls = 0;
        while (access(arguments[1], F_OK)) for (int i = 0; i < 101; i++, calls++) syscall(SYS_getppid);
        FILE *file = fopen(arguments[2], "w");
        fprintf(file, "%ld", calls);
        return fclose(file);
      }
      """, in: folder, name: "caller")
    let (go, made) = ("\(folder.path)/go", "\(folder.path)/made")
    let running = try Swtrace.start(["syscount", "-i", "1ms", "--format", "json", "--", caller, go, made])
    var lines: [String] = []
    while let line = running.readLine() {
      lines.append(line)
      // An interval in which nothing was called has no rows.
      if !["1", "2"].contains(where: { line.contains("\"interval\":\($0),") }) { break }
    }
    _ = try folder.file("go", "")
    var finished = running.finish()
    finished.output = Array((lines.joined(separator: "\n") + "\n").utf8) + finished.output
    let records = try finished.json()
    let counts = try summary(of: records)
    // See Swtrace.repeatWhileBusy; this one cannot be repeated.
    let missed = kernelVersion >= (6, 19) ? counts.lost["missed"] ?? 0 : 0
    #expect(counts.lost.values.reduce(0, +) == missed, "\(counts.lost)")
    #expect(records.dropLast().reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == counts.delivered)
    let calls = records.filter { $0["syscall"] as? String == "getppid" }.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
    let expected = try #require(Int(try String(contentsOfFile: made, encoding: .utf8)))
    #expect(calls <= expected && calls + missed >= expected)
  }
}

@Suite struct SyscallNamesTests {
  @Test func tablesAreRead() {
    let x86 = Dictionary(SyscallNames.parse(SyscallNames.x86).map { ($0.number, $0.name) }) { first, _ in first }
    let arm = Dictionary(SyscallNames.parse(SyscallNames.generic).map { ($0.number, $0.name) }) { first, _ in first }
    #expect(x86[0] == "read" && x86[59] == "execve" && x86[322] == "execveat" && x86[334] == "rseq")
    #expect(arm[56] == "openat" && arm[221] == "execve" && arm[281] == "execveat" && arm[25] == "fcntl")
    for number in 424...469 { #expect(x86[number] == arm[number]) }
    #expect(SyscallNames.name(100_000) == "syscall_100000")
    #expect(SyscallNames.name(3, isCompat: true) == "compat_3")
  }
}
