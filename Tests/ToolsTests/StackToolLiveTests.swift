import Foundation
import Linux
import TestSupport
import Testing

/// profile, offcputime and offwaketime: numbers of events and whole chains of frames.
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
      #include <sys/resource.h>
      #include <sys/syscall.h>
      #include <time.h>
      volatile long sink;
      \(sleepInline)
      \(napUntilLeft)
      __attribute__((noinline)) void spin(long count) { for (long i = 0; i < count; i++) sink += i; sink++; }
      __attribute__((noinline)) void around(long count) { spin(count); sink++; }
      __attribute__((noinline)) void nap(void) { struct timespec time = { 0, 5000000 }; sleep_for(&time); sink++; }
      __attribute__((noinline)) void rest(void) { nap_until_left(nap); sink++; }
      int main(int count, char **arguments) {
        for (int i = atoi(arguments[1]); i > 0; i--) around(3000000);
        for (int i = atoi(arguments[2]); i > 0; i--) rest();
        return 0;
      }
      """, in: folder, name: "stacks", compiler: "clang",
      flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-mno-omit-leaf-frame-pointer"])
  }

  /// The functions of a stack, innermost first; the kernel's or the user's only.
  private func frames(_ record: [String: Any], ofKernel: Bool? = nil) -> [String] {
    (record["frames"] as? [[String: Any]] ?? []).filter { ofKernel == nil || $0["kernel"] as? Bool == ofKernel }
      .compactMap { $0["function"] as? String }
  }

  /// Waits whose end the kernel did not show: some hide the switches of a few tasks, and with them those to the tasks after them.
  private func unfinished(_ records: [[String: Any]]) -> Int { (records.last?["remarks"] as? [String: Int])?["unfinished"] ?? 0 }

  /// All files of one run hold the same samples, whatever their format.
  @Test(arguments: ["profile", "offcputime", "offwaketime"]) func everyFormatHoldsTheSame(_ tool: String) throws {
    let names = ["all.pb.gz", "all.speedscope.json", "all.firefox.json", "all.json"].map { "\(folder.path)/\(tool).\($0)" }
    let options = tool == "profile" ? ["-F", "997"] : []
    let finished = try Swtrace.run([tool] + options + names.flatMap { ["-o", $0] } + ["--", try workload(), "20", "5"])
    #expect(finished.status == 0, "\(finished.errorText)")
    let data = try names.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    let sum = try #require(
      String(decoding: data[3], as: UTF8.self).split(separator: "\n").compactMap {
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
      }.compactMap { $0["value"] as? Int }.reduce(0, +) as Int?)
    #expect(sum > 0)
    let speedscope = try #require(try JSONSerialization.jsonObject(with: data[1]) as? [String: Any])
    #expect((speedscope["profiles"] as? [[String: Any]])?.first?["endValue"] as? Int == sum)
    let type = ["profile": "samples", "offcputime": "offcpu", "offwaketime": "blocked"][tool]
    let folded = try Swtrace.run(["convert", names[0], "--type", try #require(type)])
    #expect(folded.status == 0, "\(folded.errorText)")
    #expect(folded.lines.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) == sum)
    #expect(
      folded.lines.contains { $0.contains(tool == "profile" ? ";around;spin" : ";rest;nap") }, "\(folded.lines) \(finished.errorText)")
    let firefox = try #require(try JSONSerialization.jsonObject(with: data[2]) as? [String: Any])
    #expect((firefox["threads"] as? [[String: Any]])?.isEmpty == false)
  }

  @Test func samplesAreNamedFromTheRootToTheLeaf() throws {
    let finished = try Swtrace.run(["profile", "-F", "997", "--endings", "--format", "json", "--", try workload(), "60", "0"])
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
    // Interruptible waits of this command: its sleeps, and what its files may have to wait for.
    let only = ["offcputime", "--comm", "stacks", "--state", "1", "--format", "json"]
    let finished = try Swtrace.run(only + ["-m", "0", "--", workload, "0", "47"])
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    let stacks = records.filter { $0["type"] as? String == "stack" }
    #expect(stacks.allSatisfy { $0["unit"] as? String == "ns" && $0["comm"] as? String == "stacks" })
    #expect(stacks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == counts.delivered)
    let naps = stacks.filter { frames($0).contains("nap") }
    let unfinished = unfinished(records)
    #expect(naps.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == 47 - unfinished)
    // The 5 ms of a nap begin a little before its switch.
    #expect(naps.reduce(0) { $0 + ($1["value"] as? Int ?? 0) } >= (47 - unfinished) * 4_000_000)
    #expect((records.last?["remarks"] as? [String: Int])?["missing_kernel_stack"] == 0)
    for nap in naps {
      let names = frames(nap)
      let kernel = (nap["frames"] as? [[String: Any]] ?? []).prefix { $0["kernel"] as? Bool == true }.count
      #expect(names[..<kernel].contains { $0.contains("nanosleep") }, "\(names)")
      let user = Array(names[kernel...])
      let at = try #require(user.firstIndex(of: "nap"), "\(names)")
      #expect(Array(user[at...].prefix(3)) == ["nap", "rest", "main"])
    }
    // The same with a minimum that none reaches, and with a maximum that all exceed: all are seen, none is delivered.
    // A user thread is no kernel thread.
    for limits in [["-m", "600000000"], ["-m", "0", "-M", "1"], ["-m", "0", "-k"]] {
      let records = try Swtrace.run(only + limits + ["--", workload, "0", "47"]).json()
      #expect(records.allSatisfy { !frames($0).contains("nap") })
      #expect(try summary(of: records).filtered >= 47 - self.unfinished(records))
    }
    let users = try Swtrace.run(only + ["-m", "0", "-u", "--", workload, "0", "47"]).json()
    #expect(users.filter { frames($0).contains("nap") }.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == 47 - self.unfinished(users))
  }

  /// Half of the waits stand for all: the sum is what the program measured itself, within six standard deviations.
  @Test func sampledWaitsSumUpToAllOfThem() throws {
    let program = try compile(
      """
      #include <stdio.h>
      #include <time.h>
      int main(void) {
        struct timespec before, after, time = { 0, 5000000 };
        long long waited = 0;
        for (int i = 0; i < 1511; i++) {
          clock_gettime(CLOCK_MONOTONIC, &before);
          nanosleep(&time, 0);
          clock_gettime(CLOCK_MONOTONIC, &after);
          waited += (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
        }
        printf("%lld\\n", waited);
        return 0;
      }
      """, in: folder, name: "sampled", compiler: "clang", flags: ["-O1"])
    let file = folder.file("sampled.json")
    let finished = try Swtrace.run(
      ["offcputime", "--comm", "sampled", "--state", "1", "--samples", "100", "--whole-waits-only", "-m", "3000", "--output", file, "--"]
        + [program])
    let waited = try #require(Double(finished.outputText.split(separator: "\n").first ?? ""))
    let records = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
    let stacks = records.filter { $0["type"] as? String == "stack" }
    let (taken, sum) = (
      stacks.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }, stacks.reduce(0.0) { $0 + Double($1["value"] as? Int ?? 0) }
    )
    // Not all, and enough for the bound below.
    #expect((200..<1511).contains(taken), "\(taken)")
    #expect(abs(sum / waited - 1) < 0.25, "\(sum) of \(waited) ns in \(taken) waits")
    let counts = try summary(of: records)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    #expect(counts.delivered == taken && counts.filtered + counts.delivered >= 1511)
  }

  @Test func foldedIsCommandThenRootToLeaf() throws {
    let finished = try Swtrace.run(["offcputime", "-m", "4000", "-f", "--annotate", "--", try workload(), "0", "37"])
    let lines = finished.lines.filter { $0.contains(";main;rest;nap;") }
    #expect(lines.allSatisfy { $0.hasPrefix("stacks;") && $0.contains("nanosleep_[k]") }, "\(lines)")
    #expect(lines.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) >= 37 * 4_000)
    #expect(
      try Swtrace.run(["offcputime", "-m", "4000", "-U", "-f", "--", try workload(), "0", "37"]).lines.allSatisfy {
        !$0.contains("do_syscall")
      })
    #expect(
      try Swtrace.run(["offcputime", "-m", "4000", "-K", "-f", "--", try workload(), "0", "37"]).lines.allSatisfy { !$0.contains(";main") })
  }

  @Test func picturesAndTablesComeTogether() throws {
    let files = ["svg", "html", "folded", "json", "csv", "txt", "stacks"].map { "\(folder.path)/out.\($0)" }
    let finished = try Swtrace.run(
      ["profile", "-F", "499", "--comm", "stacks", "--summary", "3"] + files.flatMap { ["--output", $0] }
        + ["--", try workload(), "30", "0"])
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
    #expect(contents[5] == finished.outputText)
    #expect(contents[6].contains("    spin\n"))
  }

  /// BCC's -c, -a, -A and -s; and what has no effect here says so.
  @Test func lettersOfBCC() throws {
    let page = "\(folder.path)/cpu.svg"
    let folded = "\(folder.path)/cpu.folded"
    let finished = try Swtrace.run(
      ["profile", "-c", "1000000", "-A", "--stack-storage-size", "1024", "--perf-max-stack-depth", "64", "-o", page, "-o", folded]
        + ["--", try workload(), "60", "0"])
    #expect(finished.status == 0)
    #expect(finished.errorText.contains("--stack-storage-size has no effect"))
    #expect(finished.errorText.contains("--perf-max-stack-depth has no effect"))
    #expect(try String(contentsOfFile: page, encoding: .utf8).contains("every 1000000 ns on"))
    let stacks = try String(contentsOfFile: folded, encoding: .utf8)
    #expect(stacks.contains(";stacks+0x"))
    #expect(!stacks.contains(";spin"))
    let waits = try Swtrace.run(["offcputime", "-a", "-f", "--", try workload(), "0", "5"])
    #expect(waits.lines.contains { $0.contains(";nap;") && $0.split(separator: " ").first?.hasSuffix("_[k]") == true }, "\(waits.lines)")
    let offsets = try Swtrace.run(["offcputime", "-s", "-m", "4000", "-f", "--", try workload(), "0", "5"])
    #expect(
      offsets.lines.contains { $0.contains(#/;main;rest;nap;.*;do_syscall_64\+0x[0-9a-f]+;.*nanosleep\+0x[0-9a-f]+ \d+$/#) },
      "\(offsets.lines)")
    #expect(!(try Swtrace.run(["help", "profile"]).outputText.contains("stack-storage-size")))
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

  /// While nobody reads, the ring fills: what is lost is counted, and no wait gets the user stack of another one.
  @Test func aFullRingLosesNothingUncounted() throws {
    let workload = try compile(
      """
      #include <pthread.h>
      #include <signal.h>
      #include <time.h>
      #include <unistd.h>
      static int there[2], back[2];
      volatile int sink;
      /* Deep, so that a user part needs more room than its event: often the event still fits, and the part does not. */
      __attribute__((noinline)) void pass(int depth, int from, int to) {
        char byte;
        if (depth) pass(depth - 1, from, to);
        else if (read(from, &byte, 1) == 1) sink += write(to, &byte, 1);
        sink++;
      }
      __attribute__((noinline)) void nap(void) { struct timespec time = { 0, 20000000 }; nanosleep(&time, 0); sink++; }
      static void *answer(void *rounds) { for (long i = 0; i < (long)rounds; i++) pass(90, there[0], back[1]); return 0; }
      int main(void) {
        long rounds = 9973;
        pthread_t thread;
        if (pipe(there) || pipe(back)) return 1;
        kill(getppid(), SIGSTOP);
        pthread_create(&thread, 0, answer, (void *)rounds);
        for (long i = 0; i < rounds; i++) { sink += write(there[1], "x", 1); char byte; sink += read(back[0], &byte, 1); }
        pthread_join(thread, 0);
        kill(getppid(), SIGCONT);
        for (int i = 0; i < 13; i++) nap();
        return 0;
      }
      """, in: folder, name: "flood", compiler: "clang", flags: ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"])
    let records = try Swtrace.run(["offcputime", "--comm", "flood", "-m", "0", "--format", "json", "--", workload]).json()
    let counts = try summary(of: records)
    #expect((counts.lost["ring"] ?? 0) > 0)
    #expect(counts.delivered > 0)
    for stack in records where stack["type"] as? String == "stack" {
      let user = frames(stack, ofKernel: false)
      let sleeps = frames(stack, ofKernel: true).contains { $0.contains("nanosleep") }
      if user.contains(where: { $0.contains("nanosleep") }) { #expect(sleeps, "\(frames(stack))") }
      if sleeps { #expect(!user.contains("read"), "\(frames(stack))") }
    }
  }

  /// A wait in a page fault is not of the system call that comes next.
  @Test func aPageFaultHasTheInterruptedFunction() throws {
    let workload = try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <linux/userfaultfd.h>
      #include <pthread.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/ioctl.h>
      #include <sys/mman.h>
      #include <sys/syscall.h>
      #include <time.h>
      #include <unistd.h>
      static int faults;
      volatile int sink;
      /* The kernel shows the system call of a task that is off the processors only. */
      static void wait_until_it_left(void) {
        char path[64], text[8];
        snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", getpid());
        do {
          int file = open(path, O_RDONLY);
          memset(text, 0, sizeof(text));
          if (read(file, text, sizeof(text) - 1) < 0) exit(4);
          close(file);
        } while (!strncmp(text, "running", 7));
      }
      static void *serve(void *unused) {
        struct uffd_msg message;
        while (read(faults, &message, sizeof(message)) == sizeof(message)) {
          wait_until_it_left();
          struct timespec time = { 0, 5000000 };
          struct uffdio_zeropage zero = { .range = { message.arg.pagefault.address & ~4095ul, 4096 } };
          nanosleep(&time, 0);
          ioctl(faults, UFFDIO_ZEROPAGE, &zero);
        }
        return unused;
      }
      __attribute__((noinline)) void touch(char *page) { sink += *(volatile char *)page; sink++; }
      __attribute__((noinline)) void call(void) { sink += syscall(SYS_getppid); sink++; }
      int main(void) {
        char *pages = mmap(0, 19 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct uffdio_api api = { .api = UFFD_API };
        struct uffdio_register area = { .range = { (unsigned long)pages, 19 * 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
        pthread_t thread;
        faults = syscall(SYS_userfaultfd, O_CLOEXEC);
        if (faults < 0 || ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &area)) return 3;
        pthread_create(&thread, 0, serve, 0);
        for (int i = 0; i < 19; i++) { touch(pages + i * 4096); call(); }
        return 0;
      }
      """, in: folder, name: "faults", compiler: "clang", flags: ["-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"])
    let finished = try Swtrace.run(
      ["offcputime", "--comm", "faults", "-m", "4000", "--propagate-exit", "--format", "json", "--", workload])
    #expect(finished.status == 0)
    let records = try finished.json()
    _ = try summary(of: records)
    let waits = records.filter { record in frames(record).contains { $0.contains("handle_userfault") } }
    let count = waits.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
    #expect(count == 19 - unfinished(records))
    #expect(waits.reduce(0) { $0 + ($1["value"] as? Int ?? 0) } >= count * 4_000_000)
    for wait in waits {
      let user = frames(wait, ofKernel: false)
      // Kernel 5.10 cannot tell where user code was interrupted.
      #expect(user == ["touch"] || user.isEmpty && KernelFeatures.release.hasPrefix("5.10."), "\(frames(wait))")
    }
    #expect(((records.last?["remarks"] as? [String: Int])?["missing_user_stack"] ?? 0) >= count)
  }

  @Test func onlyWhatWasAskedForIsSampled() throws {
    let workload = try workload()
    let wanted = try Running([workload, "1000000", "0"])
    let other = try Running([workload, "1000000", "0"])
    defer {
      for process in [wanted, other] {
        process.signal(SIGKILL)
        _ = process.finish()
      }
    }
    let stacks = { (arguments: [String]) throws -> [[String: Any]] in
      let records = try Swtrace.run(["profile", "-F", "499", "--format", "json"] + arguments + ["1"]).json()
      let counts = try summary(of: records)
      let stacks = records.filter { $0["type"] as? String == "stack" }
      #expect(counts.delivered > 0 && stacks.reduce(0) { $0 + ($1["value"] as? Int ?? 0) } == counts.delivered)
      #expect((records.last?["remarks"] as? [String: Int])?["missing_kernel_stack"] == 0)
      return stacks
    }
    for ids in [["-p", "\(wanted.pid)"], ["-L", "\(wanted.pid)"]] {
      #expect(try stacks(ids).allSatisfy { $0["pid"] as? Int == Int(wanted.pid) })
    }
    for option in ["-p", "-L"] {
      let both = try stacks([option, "\(wanted.pid),\(other.pid)"])
      #expect(Set(both.compactMap { $0["pid"] as? Int }) == [Int(wanted.pid), Int(other.pid)])
    }
    #expect(try stacks(["-p", "\(wanted.pid)", "-K"]).allSatisfy { !frames($0).contains("spin") })
    #expect(try stacks(["-p", "\(wanted.pid)", "-U"]).contains { frames($0).contains("spin") })
    let delimited = try Swtrace.run(["offcputime", "-d", "-m", "4000", "--comm", "stacks", "-f", "--", workload, "0", "7"])
    let line = try #require(delimited.lines.first { $0.contains(";nap;") })
    #expect(line.contains(";main;rest;nap;-;"))
    let table = try Swtrace.run(["offcputime", "-d", "-m", "4000", "--comm", "stacks", "--", workload, "0", "7"])
    let at = try #require(table.lines.firstIndex(of: "    nap"))
    #expect(table.lines[(at - 1)...].prefix(4) == ["    --", "    nap", "    rest", "    main"])
    #expect(table.lines.contains { $0.hasPrefix("    -                stacks (") })
  }
}
