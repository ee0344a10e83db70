import BPF
import CProbes
import Foundation
import Linux
import TestSupport
import Testing

@testable import Tools

/// A program that makes exact numbers of requests; compiled once, because that takes seconds in a virtual machine.
private enum BlockWorkload {
  private static let folder = Result { try TemporaryFolder() }
  static let path = Result {
    let folder = try BlockWorkload.folder.get()
    // Globals are never released: the folder is removed when the tests end.
    atexit { if let path = try? BlockWorkload.folder.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <linux/aio_abi.h>
      #include <linux/fs.h>
      #include <stdint.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/file.h>
      #include <sys/ioctl.h>
      #include <sys/mman.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      /* DEVICE READS WRITES DISCARDS FLUSHES AT-ONCE: direct requests of 4096 bytes, one after the other or at once;
         with a seventh argument after a byte on standard input, and it stays until that ends. */
      int main(int count, char **arguments) {
        char byte, *memory = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int disk = open(arguments[1], O_RDWR | O_DIRECT), at_once = atoi(arguments[6]);
        /* Whoever watches for changed disks leaves a locked one alone. */
        if (disk < 0 || flock(disk, LOCK_EX)) return 1;
        if (count > 7) { write(1, "ready\\n", 6); read(0, &byte, 1); }
        for (int i = 0; i < atoi(arguments[2]); i++) if (pread(disk, memory, 4096, i * 8192) != 4096) return 2;
        for (int i = 0; i < atoi(arguments[3]); i++) if (pwrite(disk, memory, 4096, i * 8192) != 4096) return 3;
        for (int i = 0; i < atoi(arguments[4]); i++) {
          uint64_t range[2] = { (uint64_t)i << 20, 1 << 20 };
          if (ioctl(disk, BLKDISCARD, range)) return 4;
        }
        for (int i = 0; i < atoi(arguments[5]); i++) if (fsync(disk)) return 5;
        if (at_once) {
          aio_context_t context = 0;
          struct iocb blocks[256] = {}, *list[256];
          struct io_event events[256];
          if (syscall(SYS_io_setup, at_once, &context)) return 6;
          for (int i = 0; i < at_once; i++) {
            list[i] = &blocks[i];
            blocks[i].aio_fildes = disk;
            blocks[i].aio_lio_opcode = IOCB_CMD_PREAD;
            blocks[i].aio_buf = (uintptr_t)memory + i * 4096;
            blocks[i].aio_nbytes = 4096;
            blocks[i].aio_offset = i * 8192;
          }
          if (syscall(SYS_io_submit, context, at_once, list) != at_once) return 7;
          if (syscall(SYS_io_getevents, context, at_once, at_once, events, 0) != at_once) return 8;
        }
        if (count > 7) { write(1, "done\\n", 5); read(0, &byte, 1); }
        return 0;
      }
      """, in: folder, name: "biowork")
  }
}

@Suite(.requiresBPF, .serialized) struct BiolatencyLiveTests {
  private let program: String
  private let disk: LoopDisk

  init() throws {
    program = try BlockWorkload.path.get()
    disk = try LoopDisk()
  }

  /// The histograms of a run with a command, by a label; everything delivered is in them.
  private func measure(_ arguments: [String], by label: String? = nil, _ work: [Int]) throws -> [String: Int] {
    let numbers = work + Array(repeating: 0, count: 5 - work.count)
    let finished = try Swtrace.run(
      ["biolatency", "--propagate-exit", "--format", "json"] + arguments + ["--", program, disk.path] + numbers.map(String.init))
    guard finished.status == 0 else { throw RunError("exit code \(finished.status): \(finished.errorText)") }
    let records = try finished.json()
    let counts = try summary(of: records)
    guard counts.lost.values.allSatisfy({ $0 == 0 }) else { throw RunError("lost: \(counts)") }
    var sums: [String: Int] = [:]
    for record in records.dropLast() {
      let key = label.map { record[$0] as? String ?? "null" } ?? ""
      sums[key, default: 0] += record["count"] as? Int ?? 0
    }
    guard sums.values.reduce(0, +) == counts.delivered else { throw RunError("\(sums) do not add up to \(counts)") }
    return sums
  }

  @Test func requestsOfACommandOnItsDisk() throws {
    #expect(try measure(["-d", disk.name], [101, 53]) == ["": 154])
    #expect(try measure(["-d", disk.path, "-m"], [31]) == ["": 31])
    #expect(try measure(["-Q", "-d", disk.name], [101, 53, 0, 0, 7]) == ["": 161])
  }

  @Test func disksAreKeptApart() throws {
    let other = try LoopDisk()
    var counts = try measure(["-D"], by: "disk", [101, 53])
    #expect(counts[disk.name] == 154)
    #expect(counts[other.name] == nil)
    counts = try measure(["-d", other.name], [31])
    #expect(counts == ["": 0])
  }

  @Test func kindsAreKeptApart() throws {
    let counts = try measure(["-F", "-d", disk.name], by: "flags", [101, 53, 3])
    func sum(_ operation: String) -> Int {
      counts.filter { $0.key == operation || $0.key.hasSuffix("-\(operation)") }.values.reduce(0, +)
    }
    #expect(sum("Read") == 101)
    #expect(sum("Write") == 53)
    #expect(sum("Discard") == 3)
    #expect(counts.values.reduce(0, +) == 157)
    #expect(counts.keys.contains { $0.hasSuffix("Write") && $0.contains("Sync-") })
  }

  /// Without a filter on tasks flushes count too, which the kernel makes by itself.
  @Test(arguments: [[], ["-Q"]]) func allRequestsOfADisk(options: [String]) throws {
    let work = try Running([program, disk.path, "101", "53", "3", "7", "0", "wait"], input: true)
    _ = try work.wait(for: "ready")
    let run = try HistogramRun(["biolatency", "-F", "-d", disk.name] + options) {
      work.write("g")
      _ = try work.wait(for: "done")
    }
    work.closeInput()
    #expect(work.finish().status == 0)
    let counts = run.counts(named: "flags")
    let flushes = counts.filter { $0.key.hasSuffix("Flush") }.values.reduce(0, +)
    #expect(flushes == 7)
    let all = counts.values.reduce(0, +)
    #expect(all == 164)
    #expect(run.isExact(delivered: 164))
  }

  /// An I/O scheduler queues every request, perhaps for another task to issue; the one that asked is the subject.
  @Test func scheduledRequestsBelongToTheTaskThatAsked() throws {
    let schedulers = "/sys/block/\(disk.name)/queue/scheduler"
    for module in ["mq-deadline", "bfq"] { _ = try run(["modprobe", "-q", module]) }
    for scheduler in ["mq-deadline", "bfq", "none"] where try String(contentsOfFile: schedulers, encoding: .utf8).contains(scheduler) {
      try scheduler.write(toFile: schedulers, atomically: false, encoding: .utf8)
      #expect(try measure(["-Q", "-d", disk.name], [101, 53]) == ["": 154], "\(scheduler)")
      #expect(try measure(["-d", disk.name, "--comm", "biowork"], [31]) == ["": 31], "\(scheduler)")
    }
  }

  @Test func otherTasksAreFiltered() throws {
    let finished = try Swtrace.run(
      ["biolatency", "--format", "json", "-d", disk.name, "--comm", "somebody", "--", program, disk.path, "101", "0", "0", "0", "0"])
    let counts = try summary(of: try finished.json())
    #expect(counts.delivered == 0)
    #expect(counts.filtered >= 101)
  }

  /// With room for one request at a time, each is either measured or counted as lost, once: also where it comes by several times, because
  /// it is queued before it is issued.
  @Test(arguments: [["start_btf", "insert_btf"], ["insert_btf"], []], ["none", "mq-deadline"])
  func fullMapLosesNothingInSilence(beginning: [String], scheduler: String) throws {
    _ = try run(["modprobe", "-q", scheduler])
    try scheduler.write(toFile: "/sys/block/\(disk.name)/queue/scheduler", atomically: false, encoding: .utf8)
    // Where other disks are so busy that their requests take the room again and again, none of this one's gets it: then once more.
    for _ in 0..<20 { if try deliversIntoFullMap(beginning) > 0 { return } }
    Issue.record("none of 20 times 251 requests was measured")
  }

  /// How many of 251 requests were measured with room for one at a time.
  private func deliversIntoFullMap(_ beginning: [String]) throws -> UInt64 {
    let work = try Running([program, disk.path, "0", "0", "0", "0", "251", "wait"], input: true)
    _ = try work.wait(for: "ready")
    let number = try Disk(named: disk.name).number
    let process = UInt32(work.pid)
    let hooks = [Hook("the issue", ["issue_btf"]), Hook("the completion", ["complete_btf"])]
    var attachment = try Attachment.attempt(
      .named("biolatency"), hooks: hooks + (beginning.isEmpty ? [] : [Hook("the start", beginning.map { Hook.Variant($0) })]),
      configure: { (probe, programs) throws(BPFError) in
        var filter = swtrace_filter()
        // Only the start, or nobody, is sure to be in the task that asks.
        filter.pid = programs.last == "start_btf" ? process : 0
        try probe.configure(".rodata.filter", filter)
        try probe.configure(
          ".rodata.config",
          biolatency_config(
            since_ns: Clock.monotonic, disk: number, has_disk: 1, queued: 0, per_disk: 0, per_flags: 0,
            has_start: programs.last == "start_btf" ? 1 : 0, reserved: (0, 0, 0, 0, 0, 0, 0)))
        try probe.resize("requests", to: 1)
      })
    var meter = try LossMeter(attachment.probe)
    work.write("g")
    _ = try work.wait(for: "done")
    attachment.links.detach()
    let (report, _) = try meter.close()
    work.closeInput()
    #expect(work.finish().status == 0)
    #expect(report.isExact)
    let lost = report.lost[.mapFull] ?? 0
    #expect(lost > 0)
    #expect(report.delivered + lost == 251)
    #expect(report.seen == report.delivered + report.filtered + lost)
    return report.delivered
  }

  /// What is lacking without block_io_start (before 6.5) is said on standard error and in the summary, and only if it matters.
  @Test func attributionIsSaidToBeReduced() throws {
    let hasStart = FileManager.default.fileExists(atPath: "/sys/kernel/tracing/events/block/block_io_start")
    for (arguments, matters) in [(["--comm", "swtrace"], true), (["-Q"], true), ([], false)] {
      let tool = try Swtrace.start(["biolatency", "--format", "json", "--duration", "10ms"] + arguments)
      let finished = tool.finish()
      let lacking = try #require(try finished.json().last?["lacking"] as? [String])
      #expect(lacking.isEmpty == (hasStart || !matters))
      for line in lacking {
        #expect(finished.errorText.contains(line))
        #expect(line.contains("block_io_start"))
      }
    }
  }

  @Test func unknownDisksAndPartsOfDisks() throws {
    var finished = try Swtrace.run(["biolatency", "-d", "nodisk"])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("there is no disk 'nodisk'"))
    finished = try Swtrace.run(["biolatency", "-d", "../loop0"])
    #expect(finished.status == 1)
    finished = try Swtrace.run(["biolatency", "-d", "\(disk.name)x"])
    #expect(finished.errorText.contains("did you mean"))
  }

  @Test func csvHasARowForEachBucketThatHasRequests() throws {
    var csv = try CSV(["biolatency", "-d", disk.name, "--", program, disk.path, "1", "0", "0", "0", "0"])
    #expect(csv.heading == "time_unix_ns,min_us,max_us,count")
    // One request is in one bucket.
    #expect(csv.column("count") == ["1"])
    csv = try CSV(["biolatency", "-D", "-F", "-d", disk.name, "--", program, disk.path, "1", "0", "0", "0", "0"])
    #expect(csv.heading == "time_unix_ns,disk,flags,min_us,max_us,count")
    #expect(csv.column("count") == ["1"])
    #expect(csv.column("disk") == [disk.name])
    #expect(csv.column("flags").first?.hasSuffix("Read") == true)
    csv = try CSV(["biolatency", "-m", "-d", disk.name, "--", program, disk.path, "101", "53", "0", "0", "0"])
    #expect(csv.heading == "time_unix_ns,min_ms,max_ms,count")
    #expect(csv.column("count").reduce(0) { $0 + (Int($1) ?? 0) } == 154)
  }

  @Test func tableHasBCCsForm() throws {
    let finished = try Swtrace.run(["biolatency", "-D", "-F", "-T", "--", program, disk.path, "101", "0", "0", "0", "0"])
    let title = "disk = \(disk.name)  flags = "
    #expect(finished.lines.contains { $0.hasPrefix(title) && $0.hasSuffix("Read") })
    #expect(finished.lines.contains("     usecs               : count    distribution"))
  }
}

@Suite struct RequestFlagsTests {
  @Test func operationsAndFlagsHaveBCCsNames() {
    let flags = RequestFlags(operations: [13: "ZoneClose"])
    #expect(flags.name(0) == "Read")
    #expect(flags.name(1 << 11 | 1) == "Sync-Write")
    #expect(flags.name(1 << 19) == "ReadAhead-Read")
    #expect(flags.name(1 << 17 | 1 << 12 | 1 << 11 | 1) == "FUA-Metadata-Sync-Write")
    #expect(flags.name(1 << 18 | 2) == "PreFlush-Flush")
    #expect(flags.name(13) == "ZoneClose")
    #expect(flags.name(99) == "Operation99")
    #expect(RequestFlags.words("WRITE_ZEROES") == "WriteZeroes")
  }

  @Test func disksAreNumberedAsTheKernelDoes() {
    #expect(Disk.parse("252:16\n") == Disk(number: 252 << 20 | 16))
    #expect(Disk.parse("252") == nil)
    #expect(Disk.parse("a:b") == nil)
    #expect(Disk(number: 4095 << 20 | 1).name == "4095:1")
  }
}
