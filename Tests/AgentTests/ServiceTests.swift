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

  /// The first profile of a command that has all of these; the last one that there was where none does.
  private func stacks(_ service: Service, of command: String = ".*", until wanted: (String) -> Bool = { !$0.isEmpty }) async throws
    -> String
  {
    var stacks = ""
    for _ in 0..<600 {
      stacks = ""
      // What is no service is named after its command.
      for label in ["comm", "service"] {
        stacks += try await service.ask("/api/v1/profile?format=folded&from=-10m&to=now&match=%7B\(label)=~%22\(command)%22%7D")
      }
      if wanted(stacks) { return stacks }
      try await Task.sleep(for: .milliseconds(100))
    }
    return stacks
  }

  @Test func privilegesAreGivenUpAndProfilesStayWhole() async throws {
    let folder = try TemporaryFolder()
    try #require(chmod(folder.path, 0o755) == 0)
    let copy = folder.file("spin")
    try FileManager.default.copyItem(atPath: "/bin/bash", toPath: copy)
    let busy = try Running([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "-c", "echo ready; while :; do : < /dev/null; done",
    ])
    defer {
      busy.signal(9)
      _ = busy.finish()
    }
    _ = busy.readLine()
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
    service.running.signal(SIGHUP)
    #expect(try service.report("RELOADING=1").contains("MONOTONIC_USEC="))
    _ = try service.report("READY=1")
    _ = try service.report("STATUS=cpu at 49 Hz: ")
    try service.write("cpu: {frequency: 5000}\n")
    service.running.signal(SIGHUP)
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

  /// Not root, with the capabilities as ambient ones, as a service manager starts it.
  @Test func otherUsersCanRunIt() async throws {
    let names = Needs.all.map { "+" + $0.capability.name.dropFirst(4).lowercased() }.joined(separator: ",")
    let service = try Service([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=\(names)", "--ambient-caps=\(names)",
    ])
    _ = try service.report("READY=1")
    #expect(service.statuses("CapEff") == [Self.hexadecimal(Self.kept)] && service.statuses("CapAmb") == [Self.hexadecimal(0)])
    #expect(service.statuses("NoNewPrivs") == ["1"])
    let profile = try await stacks(service)
    // Of this test's own process, whose files the other user may not read.
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
