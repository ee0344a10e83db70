import Foundation
import Linux
import TestSupport
import Testing

@testable import Agent

/// The built program, as a service manager runs it.
@Suite(.requiresBPF, .serialized) struct ServiceTests {
  /// The agent with a store and a page of its own, and the socket that it reports to.
  private final class Service {
    let running: Running
    private let folder: TemporaryFolder
    private let descriptor: CInt
    let port: Int

    /// - Parameter prefix: what starts it, as setpriv with its options.
    init(_ prefix: [String] = [], settings: String = "cpu: {frequency: 97}\noff_cpu: {threshold: off}\n") throws {
      let folder = try TemporaryFolder()
      self.folder = folder
      port = Int.random(in: 20_000..<30_000)
      let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let name = folder.file("notify")
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.utf8) }
      let bound = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(2 + name.utf8.count)) }
      }
      try #require(bound == 0)
      self.descriptor = descriptor
      // So that an agent that has ended is noticed.
      var patience = timeval(tv_sec: 1, tv_usec: 0)
      setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
      for path in [folder.path, name] { try #require(chmod(path, 0o777) == 0) }
      let token = try folder.file("token", "0123456789abcdef\n")
      try #require(chmod(token, 0o640) == 0)
      let file = try folder.file(
        "agent.yaml", "listen: 127.0.0.1:\(port)\nstore: {path: \(folder.path)/agent.db}\n\(settings)")
      try #require(chmod(file, 0o644) == 0)
      let program = Swtrace.path + "-agent"
      running = try Running(
        prefix + [program, "run", "--config", file], environment: ["NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000"])
    }

    deinit {
      running.signal(9)
      close(descriptor)
    }

    func write(_ settings: String) throws {
      _ = try folder.file("agent.yaml", "listen: 127.0.0.1:\(port)\nstore: {path: \(folder.path)/agent.db}\n\(settings)")
    }

    /// The next report that begins so; those before it are read over. The test ends when the agent does.
    func report(_ start: String) throws -> String {
      var bytes = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else {
          try #require(!running.hasEnded, "\(running.finish().errorText)")
          continue
        }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        if text.hasPrefix(start) { return text }
      }
    }

    /// Sends SIGHUP. What was reported before is read over: the socket holds ten reports, and a report that finds it full is lost.
    func signalReload() {
      var byte: UInt8 = 0
      while recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) > 0 {}
      running.signal(SIGHUP)
    }

    func ask(_ path: String) async throws -> String {
      let finished = try TestSupport.run(["curl", "--silent", "--show-error", "--max-time", "60", "http://127.0.0.1:\(port)\(path)"])
      try #require(finished.status == 0, "\(finished.errorText)")
      return finished.outputText
    }

    /// What is said of each thread in /proc/PID/task/*/status.
    func statuses(_ name: String) -> Set<String> {
      let tasks = Directory.names("/proc/\(running.pid)/task")
      let lines = tasks.flatMap { (ProcFile.read("/proc/\(running.pid)/task/\($0)/status") ?? "").split(separator: "\n") }
      return Set(lines.filter { $0.hasPrefix(name + ":") }.map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) })
    }
  }

  private static var kept: UInt64 { Needs.all.reduce(0) { $0 | 1 << $1.capability.rawValue } }

  private static func hexadecimal(_ set: UInt64) -> String {
    let digits = String(set, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The first profile of a command that has all of these; asks as long as the agent runs.
  private func stacks(
    _ service: Service, _ type: String = "cpu", of command: String = ".*", until wanted: (String) -> Bool = { !$0.isEmpty }
  ) async throws -> String {
    while true {
      var stacks = ""
      // What is no service is named after its command.
      for label in ["comm", "service"] {
        stacks += try await service.ask(
          "/api/v1/profile?type=\(type)&format=folded&from=-10m&to=now&match=%7B\(label)=~%22\(command)%22%7D")
      }
      if wanted(stacks) { return stacks }
      try #require(!service.running.hasEnded, "\(service.running.finish().errorText)")
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  @Test func privilegesAreGivenUpAndProfilesStayWhole() async throws {
    let folder = try TemporaryFolder()
    try #require(chmod(folder.path, 0o755) == 0)
    let copy = folder.file("spin")
    // By another process: while this one writes a file, its children hold it open, and then it cannot be run.
    try mustRun(["cp", "/bin/bash", copy])
    let busy = try Running([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "-c", "echo ready; while :; do : < /dev/null; done",
    ])
    defer {
      busy.signal(9)
      _ = busy.finish()
    }
    try #require(busy.readLine() == "ready")
    let service = try Service()
    #expect(try service.report("READY=1").contains("STATUS=cpu at 97 Hz: "))
    let kept = Self.hexadecimal(Self.kept)
    #expect(service.statuses("CapEff") == [kept] && service.statuses("CapPrm") == [kept] && service.statuses("CapBnd") == [kept])
    #expect(service.statuses("CapInh") == [Self.hexadecimal(0)] && service.statuses("CapAmb") == [Self.hexadecimal(0)])
    #expect(service.statuses("NoNewPrivs") == ["1"])
    #expect(try service.report("WATCHDOG=1") == "WATCHDOG=1")
    // It opens a file all the time.
    func isWhole(_ stacks: String) -> Bool { stacks.contains("execute_command_internal") && stacks.contains("do_syscall_64") }
    let stacks = try await stacks(service, of: "spin", until: isWhole)
    #expect(isWhole(stacks), "\(stacks)")

    // Measured with a privilege that is gone.
    let times = try await service.ask("/metrics").split(separator: "\n").filter { $0.hasPrefix("swtrace_bpf_run_time_seconds_total{") }
    #expect(times.contains { Double($0.split(separator: " ").last ?? "") ?? 0 > 0 }, "\(times)")

    // Another frequency needs the probe anew: what is kept suffices. Who changed it is told whatever the log's level.
    try service.write("log_level: warning\ncpu: {frequency: 49}\noff_cpu: {threshold: 1000}\n")
    service.signalReload()
    #expect(try service.report("RELOADING=1").contains("MONOTONIC_USEC="))
    _ = try service.report("READY=1")
    _ = try service.report("STATUS=cpu at 49 Hz: ")
    try service.write("cpu: {frequency: 5000}\n")
    service.signalReload()
    _ = try service.report("READY=1\nSTATUS=cpu at 49 Hz")
    service.running.signal(SIGTERM)
    #expect(try service.report("STOPPING=1") == "STOPPING=1")
    let finished = service.running.finish()
    #expect(finished.status == 0)
    #expect(finished.errorText.contains("cpu.frequency: 97 -> 49, by SIGHUP"), "\(finished.errorText)")
    #expect(finished.errorText.contains("off_cpu.running: no -> yes, by SIGHUP"))
    #expect(finished.errorText.contains("is refused, the old one stays"))
    #expect(!finished.errorText.contains("is missing"))
  }

  /// A service manager, or who debugs it, may hold it up for longer than a window: what the kernel kept for it is of the windows in which it
  /// happened.
  @Test func windowsThatPassWhileItIsHeldUpAreWhole() async throws {
    let folder = try TemporaryFolder()
    try mustRun(["cp", "/bin/bash", folder.file("held-up")])
    let busy = try Running([folder.file("held-up"), "-c", "echo ready; while :; do :; done"])
    defer {
      busy.signal(9)
      _ = busy.finish()
    }
    try #require(busy.readLine() == "ready")
    let service = try Service(settings: "cpu: {frequency: 19}\noff_cpu: {threshold: off}\n")
    _ = try service.report("READY=1")
    service.running.signal(SIGSTOP)
    // All of two windows.
    let first = Int64(Clock.realtime / 1_000_000_000) / 10 * 10 + 10
    while Clock.realtime / 1_000_000_000 < UInt64(first + 20) { try await Task.sleep(for: .milliseconds(100)) }
    service.running.signal(SIGCONT)
    struct Timeline: Decodable {
      struct Row: Decodable { var sums: [UInt64] }
      var covered: [UInt64]
      var rows: [Row]
    }
    func timeline(_ match: String = "") async throws -> Timeline {
      let answer = try await service.ask("/api/v1/timeline?type=cpu&from=\(first)&to=\(first + 30)&step=10&match=\(match)")
      return try JSONDecoder().decode(Timeline.self, from: Data(answer.utf8))
    }
    var covered: [UInt64] = []
    // The third is stored after them.
    while covered.count != 3 || covered[2] == 0 {
      try #require(!service.running.hasEnded, "\(service.running.finish().errorText)")
      try await Task.sleep(for: .milliseconds(100))
      covered = try await timeline().covered
    }
    #expect(covered[..<2].allSatisfy { (9_900_000_000...10_100_000_000).contains($0) }, "\(covered)")
    var sums: [UInt64] = [0, 0, 0]
    for label in ["comm", "service"] {
      for row in try await timeline("%7B\(label)=~%22held-up.*%22%7D").rows {
        for (step, sum) in row.sums.enumerated() { sums[step] += sum }
      }
    }
    // A processor of its own for most of each, and no more than one.
    #expect(sums[..<2].allSatisfy { (19...191).contains($0) }, "\(sums)")
    service.running.signal(SIGTERM)
    #expect(service.running.finish().status == 0)
  }

  /// Not root, with the capabilities as ambient ones, as a service manager starts it.
  @Test func otherUsersCanRunIt() async throws {
    let folder = try TemporaryFolder()
    // Whoever measures on this machine may have turned on what the agent could not: the times that programs take.
    let script = "mount --bind \(try folder.file("off", "0\n")) /proc/sys/kernel/bpf_stats_enabled && exec \"$@\""
    let names = Needs.all.map { "+" + $0.capability.name.dropFirst(4).lowercased() }.joined(separator: ",")
    let service = try Service([
      "unshare", "--mount", "sh", "-c", script, "sh", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=\(names)",
      "--ambient-caps=\(names)",
    ])
    _ = try service.report("READY=1")
    #expect(service.statuses("CapEff") == [Self.hexadecimal(Self.kept)] && service.statuses("CapAmb") == [Self.hexadecimal(0)])
    #expect(service.statuses("NoNewPrivs") == ["1"])
    // Of this test's own process, whose files the other user may not read.
    let profile = try await stacks(service) { $0.contains("swift") }
    #expect(profile.contains("swift"), "\(profile)")
    // What is not known is no 0.
    let metrics = try await service.ask("/metrics")
    #expect(!metrics.contains("swtrace_bpf_run_time_seconds"))
    let health = try await service.ask("/api/v1/health")
    #expect(
      health.contains(#""programs":null"#) && health.contains("What the agent's programs take in the kernel is not known"), "\(health)")
    service.running.signal(SIGTERM)
    let finished = service.running.finish()
    #expect(finished.status == 0)
    #expect(finished.errorText.contains("the agent's cost is told without that of its programs"), "\(finished.errorText)")
  }

  /// A program that was deleted after its start has its names; a library takes `deleted_libraries`. The C library, which is where it
  /// was, is found by its path.
  @Test(arguments: [false, true]) func whatWasDeletedHasNames(_ keepsLibraries: Bool) async throws {
    let folder = try TemporaryFolder()
    let library = try compile(
      "void spinInLibrary(void) { for (volatile int i = 0; i < 10000000; i++) {} }", in: folder, name: "spin.so",
      flags: ["-O1", "-shared", "-fPIC"])
    let program = try compile(
      """
      #include <stdio.h>
      #include <stdlib.h>
      void spinInLibrary(void);
      __attribute__((noinline)) void spinInProgram(void) {
        void *volatile made = malloc(100000);
        for (volatile int i = 0; i < 10000000; i++) {}
        free(made);
      }
      int main() {
        puts("ready");
        fflush(stdout);
        for (;;) { spinInProgram(); spinInLibrary(); }
      }
      """, in: folder, name: "deleted-of-test", flags: ["-O1", "-Wl,--no-as-needed", library])
    let busy = try Running([program])
    defer {
      busy.signal(9)
      _ = busy.finish()
    }
    _ = busy.readLine()
    for path in [program, library] { #expect(unlink(path) == 0) }
    let service = try Service(
      settings: "cpu: {frequency: 97}\noff_cpu: {threshold: off}\nallocations: {interval: 64KB, comm: deleted-of-test}\n"
        + (keepsLibraries ? "deleted_libraries: on\n" : ""))
    let kept = Self.hexadecimal(Self.kept | (keepsLibraries ? 1 << Needs.ofDeletedLibraries.capability.rawValue : 0))
    _ = try service.report("READY=1")
    func isNamed(_ stacks: String) -> Bool { stacks.contains("spinInProgram") }
    // A window that began a moment before its end may have samples of one of both only.
    let found = try await stacks(service, of: "deleted-of-test") { isNamed($0) && (!keepsLibraries || $0.contains("spinInLibrary")) }
    #expect(isNamed(found) && found.contains("spinInLibrary") == keepsLibraries, "\(found)")
    let allocated = try await stacks(service, "allocations", of: "deleted-of-test", until: isNamed)
    #expect(isNamed(allocated), "\(allocated)")
    #expect(Set(["CapPrm", "CapEff", "CapBnd"].flatMap { service.statuses($0) }) == [kept])
    service.running.signal(SIGTERM)
    #expect(service.running.finish().status == 0)
  }

  /// Without profiles the agent is ready when the first values of metrics are stored.
  @Test func metricsAreEnough() async throws {
    let service = try Service(settings: "cpu: {frequency: 0}\noff_cpu: {threshold: off}\n")
    #expect(try service.report("READY=1") == "READY=1\nSTATUS=\(MetricKey.allCases.count) probes of metrics")
    let series = try await service.ask("/api/v1/metrics?from=-1m&to=now")
    #expect(series.contains("swtrace_run_queue_latency_seconds"), "\(series)")
    #expect(try await service.ask("/readyz") == "ok\n")
    #expect(try await service.ask("/api/v1/health").contains(#""profiles":[]"#))
    service.running.signal(SIGTERM)
    let finished = service.running.finish()
    #expect(finished.status == 0 && !finished.errorText.contains("does not measure"), "\(finished.errorText)")
  }

  /// Starts a program where the kernel refuses events of perf, as those of Debian and Ubuntu do above 2 to who has no CAP_SYS_ADMIN.
  private func withoutEvents(_ folder: TemporaryFolder) throws -> [String] {
    let refuser = try compile(
      """
      #include <errno.h>
      #include <linux/filter.h>
      #include <linux/seccomp.h>
      #include <stddef.h>
      #include <sys/prctl.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        struct sock_filter filter[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };
        if (!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) execv(arguments[1], arguments + 1);
        return 99;
      }
      """, in: folder, name: "refuser")
    let setting = try folder.file("paranoid", "4\n")
    let script = "mount --bind \(setting) /proc/sys/kernel/perf_event_paranoid && exec \(refuser) \"$@\""
    return ["unshare", "--mount", "sh", "-c", script, "sh"]
  }

  private static let refusal =
    "kernel.perf_event_paranoid is 4, with which this kernel refuses events of perf to all but CAP_SYS_ADMIN; "
    + "sysctl kernel.perf_event_paranoid=2, and in /etc/sysctl.d to keep it"

  @Test func whatNeedsNoEventsGoesOnWithoutThem() async throws {
    let folder = try TemporaryFolder()
    let service = try Service(try withoutEvents(folder), settings: "cpu: {frequency: 97}\noff_cpu: {threshold: 1000}\n")
    let ready = try service.report("READY=1")
    #expect(ready.contains("STATUS=off_cpu from 1000 us: ") && !ready.contains("cpu at"))
    var down: [Substring]
    repeat {
      let metrics = try await service.ask("/metrics").split(separator: "\n")
      down = metrics.filter { $0.hasPrefix("swtrace_probe_up{") && $0.hasSuffix(" 0") }
      // Others may not have begun yet.
    } while !down.allSatisfy { $0.contains("reason=") } || down.count < 2
    #expect(
      Set(down) == [#"swtrace_probe_up{probe="cpu",reason="failure"} 0"#, #"swtrace_probe_up{probe="faults",reason="failure"} 0"#],
      "\(down)")
    // Of this test's own process, by its name and those of its functions.
    let waits = try await stacks(service, "off_cpu") { $0.contains("swift") }
    #expect(waits.contains("swift"), "\(waits)")
    service.running.signal(SIGTERM)
    let finished = service.running.finish()
    #expect(finished.status == 0)
    let expected = [
      "\(Self.refusal): until then the profile cpu and page faults are not measured, and programs that run for a moment only lack names",
      "the probe cpu does not measure: cannot sample processor 0: \(Self.refusal); it is tried again in 10 s",
      "the probe page_faults does not measure: cannot count page faults of processor 0: \(Self.refusal)",
      "cannot record the processes of processor 0: \(Self.refusal)",
    ]
    for line in expected { #expect(finished.errorText.contains(line), "\(line) is not in \(finished.errorText)") }
  }

  /// What a check says of what the agent may do.
  @Test func aCheckLooksAtWhatIsAllowed() throws {
    let folder = try TemporaryFolder()
    try #require(chmod(folder.path, 0o777) == 0)
    func check(_ prefix: [String]) throws -> [String] {
      let finished = try TestSupport.run(
        prefix + [Swtrace.path + "-agent", "check"],
        environment: ["SWTRACE_STORE_PATH": folder.file("agent.db"), "SWTRACE_DELETED_LIBRARIES": "on"])
      #expect(finished.status == 0, "\(finished.errorText)")
      return finished.lines
    }
    let isRight = "the configuration is right"
    #expect(try check([]) == [isRight])
    #expect(
      try check(withoutEvents(folder)) == [
        "warning: \(Self.refusal): until then the profile cpu and page faults are not measured, and programs that run for a moment only lack "
          + "names", isRight,
      ])
    #expect(
      try check(["setpriv", "--inh-caps=-all", "--bounding-set=-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search"]) == [
        "warning: CAP_SYSLOG is missing: the kernel's functions have no names",
        "warning: CAP_CHECKPOINT_RESTORE is missing: deleted_libraries is on, but functions of libraries whose file was deleted or replaced "
          + "have no names", isRight,
      ])
    #expect(
      try check(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]) == [
        "warning: what the agent may do was not looked at: check needs CAP_BPF and CAP_PERFMON; run it as root", isRight,
      ])
  }

  /// What the kernel says of processes would be taken for others.
  @Test func inANamespaceOfItsOwnItDoesNotStart() throws {
    for command in [["run"], ["check"]] {
      let finished = try TestSupport.run(
        ["unshare", "--pid", "--fork", "--mount-proc", Swtrace.path + "-agent"] + command,
        environment: [:])
      #expect(finished.status != 0 && finished.outputText == "")
      #expect(
        finished.errorText.hasPrefix("Error: swtrace-agent runs in a pid namespace of its own")
          && finished.errorText.contains("docker run --pid=host") && finished.errorText.split(separator: "\n").count == 1,
        "\(finished.errorText)")
    }
  }

  @Test func withoutWhatItNeedsItSaysSo() throws {
    let finished = try TestSupport.run([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", Swtrace.path + "-agent",
    ])
    #expect(finished.status != 0)
    #expect(finished.errorText == "Error: swtrace-agent needs CAP_BPF and CAP_PERFMON; run it as root\n")
  }
}
