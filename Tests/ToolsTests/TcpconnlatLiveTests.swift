import BPF
import CProbes
import Formats
import Foundation
import TestSupport
import Testing

@testable import Tools

@Suite(.requiresBPF, .serialized) struct TcpconnlatLiveTests {
  private let command: [String]
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    command = [try NetworkWorkload.path.get(), "connects", folder.file("retransmits")]
  }

  /// The connects of the workload, without the summary, which must be exact and without loss.
  private func trace(_ arguments: [String]) async throws -> (events: [[String: Any]], filtered: Int) {
    // Connects that nobody answers end in whatever task runs then.
    try await KernelTrace.showingAll(["sock/inet_sock_set_state"]) {
      try traceOnce(arguments)
    } isMeant: { line, _ in
      line.contains("state=TCP_SYN_SENT") && (line.contains("daddr=127.0.0.1") || line.contains("daddrv6=::1"))
    }
  }

  private func traceOnce(_ arguments: [String]) throws -> (events: [[String: Any]], filtered: Int) {
    let finished = try Swtrace.run(["tcpconnlat", "--propagate-exit", "--format", "json"] + arguments + ["--"] + command)
    guard finished.status == 0 else { throw RunError("exit code \(finished.status): \(finished.errorText)") }
    let records = try finished.json()
    let counts = try summary(of: records)
    guard counts.lost.values.allSatisfy({ $0 == 0 }), counts.delivered == records.count - 1 else { throw RunError("\(counts)") }
    return (Array(records.dropLast()), counts.filtered)
  }

  /// Where connect(2) sends nothing and the program goes on, the connect ends by what becomes of the SYN.
  @Test func fastOpensEndOnceWithTheirResult() throws {
    let finished = try Swtrace.run([
      "tcpconnlat", "--propagate-exit", "--format", "json", "--", try NetworkWorkload.path.get(), "fast-opens",
    ])
    try #require(finished.status == 0, "\(finished.errorText)")
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(self.counts(records.dropLast()) == ["connected": 24, "refused": 3, "closed": 2])
    #expect(counts.delivered == 29 && counts.lost.values.allSatisfy { $0 == 0 })
  }

  /// Those without an answer at the end of the trace are printed at last, tested as all others, and counted.
  @Test(arguments: [([], 61, 0), (["-x"], 61, 0), (["600000"], 0, 61), (["-6"], 0, 61)] as [([String], Int, Int)])
  func whatIsPendingAtTheEndIsPrinted(_ arguments: [String], _ printed: Int, _ filtered: Int) throws {
    let work = try Running([command[0], "pending"], input: true)
    _ = try work.wait(for: "ready")
    let tool = try Swtrace.start(["tcpconnlat", "--format", "csv", "--stats", "--pid", "\(work.pid)"] + arguments)
    // The heading is written when everything is attached.
    let heading = try #require(tool.readLine()).split(separator: ",").map(String.init)
    work.write("k")
    _ = try work.wait(for: "done")
    tool.signal(2)
    let finished = tool.finish()
    work.closeInput()
    #expect(work.finish().status == 0)
    let rows = finished.lines.map { line in
      Dictionary(uniqueKeysWithValues: zip(heading, line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)))
    }
    #expect(rows.count == printed)
    for row in rows {
      #expect(row["result"] == "pending" && row["pid"] == "\(work.pid)" && row["comm"] == "network")
      #expect(row["remote_address"] == "127.0.0.1" && Int(row["remote_port"] ?? "") ?? 0 > 0)
      #expect(row["retransmits"] == "" && Int(row["latency_ns"] ?? "") ?? 0 > 0)
    }
    #expect(finished.errorText.contains("delivered \(printed), lost 0\n"), "\(finished.errorText)")
    let counted = finished.errorText.firstMatch(of: #/filtered (\d+),/#).flatMap { Int($0.1) } ?? 0
    // Others connect, too.
    #expect(counted >= filtered)
  }

  private func counts(_ events: [[String: Any]]) -> [String: Int] {
    events.reduce(into: [:]) { $0[$1["result"] as? String ?? "", default: 0] += 1 }
  }

  @Test func everyConnectEndsOnceWithItsResult() async throws {
    let events = try await trace([]).events
    #expect(counts(events) == ["connected": 113, "refused": 89, "timed out": 13, "closed": 12, "failed": 5])
    for event in events {
      let result = try #require(event["result"] as? String)
      #expect(event["errno"] as? Int == ["refused": 111, "timed out": 110][result, default: 0])
      // One that was closed may have waited long enough for another SYN on a slow machine.
      if result != "closed" { #expect((event["retransmits"] as? Int ?? 0 > 0) == (result == "timed out")) }
      #expect(event["comm"] as? String == "network")
      #expect(event["pid"] as? Int == event["tid"] as? Int)
      #expect((event["latency_ns"] as? Int ?? -1) >= (result == "timed out" ? 1_000_000_000 : 0))
      // Also of those whose port was given back before the event.
      #expect((event["local_port"] as? Int ?? 0) > 0)
      #expect(event["local_address"] as? String == event["remote_address"] as? String)
    }
    #expect(Set(events.compactMap { $0["pid"] as? Int }).count == 1)
    let retransmits = events.filter { $0["result"] as? String == "timed out" }.reduce(0) { $0 + ($1["retransmits"] as? Int ?? 0) }
    #expect("\(retransmits)\n" == (try String(contentsOfFile: folder.file("retransmits"), encoding: .utf8)))
    let versions = events.reduce(into: [:]) { $0["\($1["ip"] ?? "") \($1["remote_address"] ?? "")", default: 0] += 1 }
    #expect(versions == ["4 127.0.0.1": 221, "6 ::1": 11])
    // The port of each listener is one of five.
    #expect(Set(events.compactMap { $0["remote_port"] as? Int }).count == 4)
  }

  @Test func optionsSelect() async throws {
    var traced = try await trace(["-x"])
    #expect(counts(traced.events) == ["refused": 89, "timed out": 13, "closed": 12, "failed": 5])
    #expect(traced.filtered >= 113)
    traced = try await trace(["-6"])
    #expect(counts(traced.events) == ["connected": 11])
    #expect(try await trace(["-4", "-x"]).events.count == 119)
    // A SYN is sent again after a second at the earliest.
    traced = try await trace(["950"])
    #expect(traced.events.count { $0["result"] as? String == "timed out" } == 13)
    #expect(traced.events.allSatisfy { $0["latency_ns"] as? Int ?? 0 >= 950_000_000 })
    #expect(traced.filtered + traced.events.count >= 232)
    traced = try await trace(["--comm", "nobody"])
    #expect(traced.events.isEmpty && traced.filtered >= 232)
  }

  @Test func tableHasBCCsColumns() throws {
    let finished = try Swtrace.run(["tcpconnlat", "-t", "-L", "-6", "--"] + command)
    #expect(
      finished.lines.first
        == "TIME     PID     COMM             IP SADDR           LPORT DADDR           DPORT    LAT(ms) RETR RESULT")
    #expect(finished.lines.count == 12)
    for line in finished.lines.dropFirst() {
      #expect(line.wholeMatch(of: #/\d\d:\d\d:\d\d \d+ +network +6  ::1 +\d+ +::1 +\d+ +\d+\.\d{3} +0 connected/#) != nil, "\(line)")
    }
  }

  /// With room for one connect at a time, each is delivered or counted as lost, once; by both variants.
  @Test(arguments: [["state_btf", "destroy_btf"], ["state_raw", "destroy_raw"]])
  func fullMapLosesNothingInSilence(programs: [String]) throws {
    let work = try Running([command[0], "pending"], input: true)
    _ = try work.wait(for: "ready")
    let process = UInt32(work.pid)
    var attachment = try Attachment.attempt(
      .named("tcpconnlat"), hooks: programs.map { Hook($0, [Hook.Variant($0)]) },
      configure: { (probe, _) throws(BPFError) in
        var filter = swtrace_filter()
        filter.pid = process
        try probe.configure(".rodata.filter", filter)
        try probe.resize("connects", to: 1)
      })
    var meter = try LossMeter(attachment.probe)
    work.write("g")
    _ = try work.wait(for: "done")
    attachment.links.detach()
    let (report, _) = try meter.close()
    work.closeInput()
    #expect(work.finish().status == 0)
    #expect(report.isExact)
    #expect(report.delivered == 1)
    #expect(report.lost[.mapFull] == 60)
    #expect(report.remarks[.unfinished] == 0)
  }
}

@Suite struct IPAddressTests {
  @Test(arguments: [
    ("192.0.2.1", 4, "192.0.2.1"), ("0.0.0.0", 4, "0.0.0.0"), ("::ffff:192.0.2.1", 4, "192.0.2.1"), ("::", 6, "::"),
    ("2001:DB8:0:0:1:0:0:1", 6, "2001:db8::1:0:0:1"), ("::1", 6, "::1"),
  ])
  func addressesAreWrittenAsPeopleDo(_ text: String, _ version: Int, _ written: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.version == version)
    #expect(String(decoding: address.text.bytes, as: UTF8.self) == written)
  }

  @Test(arguments: ["", "192.0.2", "192.0.2.256", "localhost", "::1::"]) func otherTextIsNoAddress(_ text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test(arguments: [("5", 5_000_000), ("0.5", 500_000), ("200us", 200_000), ("2s", 2_000_000_000)] as [(String, UInt64)])
  func thresholdsAreMillisecondsUnlessTheySayOtherwise(_ text: String, _ nanoseconds: UInt64) {
    #expect(Milliseconds(argument: text)?.nanoseconds == nanoseconds)
  }

  @Test(arguments: ["", "-1", "ms", "5 ms", "1e3x"]) func otherTextIsNoThreshold(_ text: String) {
    #expect(Milliseconds(argument: text) == nil)
  }
}
