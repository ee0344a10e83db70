import BPF
import CProbes
import Formats
import Foundation
import Linux
import Profiles
import TestSupport
import Testing

@testable import Tools

/// Two connections on the loopback device, and what was received on them.
private final class Exchanges {
  /// What the ends of a connection received for one command: segments that came to the end that connected, to the one that accepted, and
  /// the round-trip time that the latter had measured before, in microseconds.
  struct Received { var from, to, microseconds: Int }

  let running: Running
  /// The ports that are connected to: of 127.0.0.1 and of ::1.
  let ports: [Int]

  init(cgroup: String? = nil) throws {
    running = try Running([try NetworkWorkload.path.get(), "exchanges"] + (cgroup.map { [$0] } ?? []), input: true)
    ports = try running.wait(for: "ports").split(separator: " ").dropFirst().compactMap { Int($0) }
  }

  /// `p`: 101 exchanges and 53; `o`: one byte on the first connection.
  func exchange(_ command: String) throws -> [Received] {
    running.write(command)
    let numbers = try running.wait(for: "done").split(separator: " ").dropFirst().compactMap { Int($0) }
    guard numbers.count == 6 else { throw RunError("\(numbers)") }
    return [
      Received(from: numbers[0], to: numbers[1], microseconds: numbers[2]),
      Received(from: numbers[3], to: numbers[4], microseconds: numbers[5]),
    ]
  }

  func end() {
    running.closeInput()
    #expect(running.finish().status == 0)
  }
}

@Suite(.requiresBPF, .serialized) struct TcprttLiveTests {
  /// The histograms of a run during which a command is carried out.
  private func measure(_ arguments: [String], _ work: Exchanges, _ command: String = "p") async throws -> (
    HistogramRun, [Exchanges.Received]
  ) {
    try await KernelTrace.showingAll(["tcp/tcp_probe"]) {
      var received: [Exchanges.Received] = []
      let run = try HistogramRun(["tcprtt"] + arguments) { received = try work.exchange(command) }
      return (run, received)
    } isMeant: { line, _ in
      work.ports.contains { line.contains(":\($0) ") }
    }
  }

  @Test func everySegmentCountsAtItsEnd() async throws {
    let work = try Exchanges()
    defer { work.end() }
    var (run, received) = try await measure(["-p", "\(work.ports[0])"], work)
    #expect(received[0].to >= 101 && received[0].from >= 101)
    #expect(run.counts() == [0: received[0].to])
    #expect(run.isExact(delivered: received[0].to))
    (run, received) = try await measure(["-P", "\(work.ports[0])", "-m"], work)
    #expect(run.counts() == [0: received[0].from])
    (run, received) = try await measure(["-P", "\(work.ports[1])", "-6"], work)
    #expect(run.counts() == [0: received[1].from])
    (run, received) = try await measure(["-p", "\(work.ports[1])", "-4"], work)
    #expect(run.counts() == [:])
    (run, received) = try await measure(["-p", "\(work.ports[1])", "-A", "::1", "-a", "::1"], work)
    #expect(run.counts() == [0: received[1].to])
    (run, received) = try await measure(["-p", "\(work.ports[1])", "-A", "::2"], work)
    #expect(run.counts() == [:])
    (run, received) = try await measure(["-p", "\(work.ports[0])", "-a", "127.0.0.1", "--uid", "root"], work)
    #expect(run.counts() == [0: received[0].to])
    (run, received) = try await measure(["-p", "\(work.ports[0])", "--uid", "1"], work)
    #expect(run.counts() == [:])
  }

  /// The value is the kernel's estimate before the segment, which the socket tells in whole microseconds.
  @Test(arguments: ["segment_btf", "segment_raw"]) func theValueIsTheKernelsEstimate(program: String) throws {
    let work = try Exchanges()
    defer { work.end() }
    _ = try work.exchange("p")
    var attachment = try Attachment.attempt(
      .named("tcprtt"), hooks: [Hook(program, [Hook.Variant(program)])],
      configure: { (probe, _) throws(BPFError) in
        var config = tcprtt_config()
        config.ends.local_port = UInt16(work.ports[0])
        try probe.configure(".rodata.config", config)
      })
    var meter = try LossMeter(attachment.probe)
    var reader = try HistogramReader(attachment.probe, unit: .nanoseconds, keyed: false)
    let received = try work.exchange("o")
    attachment.links.detach()
    let (report, copy) = try meter.close()
    let histogram = try #require(try reader.take(copy: copy).first).histogram
    #expect(received[0].to == 1)
    #expect(report.isExact && report.delivered == 1)
    #expect(histogram.count == 1)
    #expect(histogram.sum == histogram.maximum)
    #expect(histogram.sum / 1000 == UInt64(received[0].microseconds))
    #expect(histogram.sum > 0)
  }

  @Test func keysAreAddressesAndConnections() async throws {
    let work = try Exchanges()
    defer { work.end() }
    var (run, received) = try await measure(["-b"], work)
    // Others may use the loopback device meanwhile.
    var counts = run.counts(named: "local_address")
    #expect(counts["127.0.0.1", default: 0] >= received[0].from + received[0].to)
    #expect(counts["::1", default: 0] >= received[1].from + received[1].to)
    (run, received) = try await measure(["-B", "-p", "\(work.ports[1])"], work)
    counts = run.counts(named: "remote_address")
    #expect(counts == ["::1": received[1].to])
    #expect(run.isExact(delivered: received[1].to))
    (run, received) = try await measure(["--connections"], work)
    #expect(run.counts(by: "local_port")[work.ports[0]] == received[0].to)
    #expect(run.counts(by: "remote_port")[work.ports[0]] == received[0].from)
    #expect(run.counts(by: "local_port")[work.ports[1]] == received[1].to)
    #expect(run.counts(by: "remote_port")[work.ports[1]] == received[1].from)
    #expect(run.records.allSatisfy { $0["remote_address"] as? String != "" })
  }

  /// The socket's, in whatever task its segments arrive.
  @Test func cgroupsAreThoseOfSockets() async throws {
    guard let root = ControlGroup.root else { throw RunError("no cgroup v2 is mounted") }
    let name = "/swtrace-test-\(getpid())-rtt"
    mkdir(root + name, 0o755)
    let work = try Exchanges(cgroup: root + name)
    defer {
      work.end()
      rmdir(root + name)
    }
    var (run, received) = try await measure(["--cgroup", name], work)
    let all = received.reduce(0) { $0 + $1.from + $1.to }
    #expect(run.counts() == [0: all])
    #expect(run.isExact(delivered: all))
    (run, received) = try await measure(["--cgroups"], work)
    #expect(run.counts(named: "cgroup")[name] == received.reduce(0) { $0 + $1.from + $1.to })
    #expect(run.counts(by: "cgroup_id")[Int(try ControlGroup(name).id)] == received.reduce(0) { $0 + $1.from + $1.to })
    (run, received) = try await measure(["--cgroup", name, "-p", "\(work.ports[1])"], work)
    #expect(run.counts() == [0: received[1].to])
  }

  @Test func tableNamesWhatAHistogramIsOf() throws {
    let work = try Exchanges()
    defer { work.end() }
    let tool = try Swtrace.start(["tcprtt", "-B", "-b", "-T", "-i", "50ms", "-p", "\(work.ports[1])"])
    _ = try tool.wait(for: "(no values)")
    _ = try work.exchange("p")
    _ = try tool.wait(for: "laddr = ::1  raddr = ::1")
    #expect(tool.readLine() == "     usecs               : count    distribution")
    tool.signal(2)
    #expect(tool.finish().status == 0)
  }

  @Test(arguments: [
    (
      ["--pid", "1"], "tcprtt observes packets, and the kernel does not know which process a packet is for: --pid cannot choose among them"
    ),
    (["--", "true"], "a command to start cannot choose among them; choose by port or address, or by --cgroup or --uid of the socket"),
    (["-A", "example"], "'example' is no IP address; it looks like 192.0.2.1 or 2001:db8::1"),
    (["-4", "-6"], "--ipv4 and --ipv6 exclude each other"), (["-p", "0"], "ports are from 1 to 65535"),
    (["--cgroups", "-b"], "--cgroups and --byladdr, --byraddr or --connections exclude each other"),
  ])
  func optionsThatCannotBeAreRefused(_ arguments: [String], _ words: String) throws {
    let finished = try Swtrace.run(["tcprtt"] + arguments)
    #expect(finished.status != 0)
    #expect(finished.errorText.contains(words), "\(finished.errorText)")
  }
}
