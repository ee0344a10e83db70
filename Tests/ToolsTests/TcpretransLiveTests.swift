import BPF
import CProbes
import Foundation
import Linux
import TestSupport
import Testing

@testable import Tools

@Suite(.requiresBPF, .serialized) struct TcpretransLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// What the workload says of its connections: the ports that were connected to, and how often the kernel sent again for each.
  private struct Truth {
    var full, last, within, deaf: Int
    var syns, lasts, withins, clients, answers: Int

    init(_ text: String) throws {
      let numbers = text.split { $0.isWhitespace }.compactMap { Int($0) }
      guard numbers.count == 9 else { throw RunError(text) }
      (full, last, within, deaf) = (numbers[0], numbers[2], numbers[4], numbers[6])
      (syns, lasts, withins, clients, answers) = (numbers[1], numbers[3], numbers[5], numbers[7], numbers[8])
    }

    var ports: [Int] { [full, last, within, deaf] }
  }

  private static let tracepoints = ["tcp/tcp_retransmit_skb", "tcp/tcp_retransmit_synack"]

  /// What is measured, when the kernel showed all retransmissions between ports.
  private func showingAll<Value>(_ measure: () async throws -> Value, ports: (Value) -> [Int]) async throws -> Value {
    try await KernelTrace.showingAll(Self.tracepoints, measure) { line, value in
      ports(value).contains { line.contains("port=\($0) ") }
    }
  }

  private func work() throws -> Truth {
    try mustRun([try NetworkWorkload.path.get(), "retransmissions", folder.file("truth")])
    return try Truth(try String(contentsOfFile: folder.file("truth"), encoding: .utf8))
  }

  /// The events of the tool while the workload runs.
  private func trace(_ arguments: [String]) async throws -> (rows: [[String: String]], Truth) {
    try await showingAll(
      {
        var truth: Truth?
        let rows = try trace(arguments) { truth = try work() }
        return (rows, try #require(truth))
      }, ports: { $0.1.ports })
  }

  private func trace(_ arguments: [String], _ work: () throws -> Void) throws -> [[String: String]] {
    var heading: [String] = []
    let finished = try Swtrace.repeatWhileBusy {
      let tool = try Swtrace.start(["tcpretrans", "--format", "csv", "--stats"] + arguments)
      // The heading is written when everything is attached.
      heading = try #require(tool.readLine()).split(separator: ",").map(String.init)
      try work()
      tool.signal(2)
      return tool.finish()
    }
    let rows = finished.lines.map { line in
      Dictionary(uniqueKeysWithValues: zip(heading, line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)))
    }
    #expect(finished.status == 0)
    #expect(finished.errorText.contains("delivered \(rows.count), lost 0\n"), "\(finished.errorText)")
    // On a busy machine the kernel also tells of attempts that sent nothing, as that of a segment which still waits to be sent.
    return rows.filter { ["", "0"].contains($0["errno"] ?? "") }
  }

  private func types(_ rows: [[String: String]]) -> Set<String> { Set(rows.compactMap { $0["type"] }) }

  @Test func everyRetransmissionIsOneEvent() async throws {
    let (rows, truth) = try await trace([])
    func to(_ port: Int) -> [[String: String]] { rows.filter { $0["remote_port"] == "\(port)" } }
    let (syns, lasts, withins, clients) = (to(truth.full), to(truth.last), to(truth.within), to(truth.deaf))
    #expect(syns.count == truth.syns && syns.count >= 13)
    #expect(Set(syns.compactMap { $0["state"] }) == ["SYN_SENT"])
    #expect(types(syns) == ["timeout"])
    #expect(Set(syns.compactMap { $0["length"] }) == ["1"])
    #expect(Set(syns.compactMap { $0["sequence"] }).count == 13)

    #expect(lasts.count == truth.lasts && lasts.count >= 14)
    #expect(types(lasts) == ["probe", "timeout"])
    #expect(lasts.count { $0["type"] == "probe" } == 7)
    #expect(Set(lasts.compactMap { $0["state"] }) == ["ESTABLISHED"])
    #expect(Set(lasts.compactMap { $0["length"] }) == ["1"])

    #expect(withins.count == truth.withins)
    #expect(types(withins).contains("fast"))
    #expect(Set(withins.compactMap { $0["remote_address"] }) == ["::1"])
    #expect(Set(withins.compactMap { $0["ip"] }) == ["6"])

    #expect(clients.count == truth.clients && types(clients) == ["timeout"])
    let answers = rows.filter { $0["local_port"] == "\(truth.deaf)" }
    #expect(answers.count == truth.answers && answers.count >= 2)
    #expect(types(answers) == ["syn-ack"])
    #expect(Set(answers.compactMap { $0["state"] }) == ["NEW_SYN_RECV"])
    #expect(Set(answers.compactMap { $0["sequence"] }).count == 1)

    for row in syns + lasts + withins + clients + answers {
      #expect(row["errno"] == "0")
      #expect(row["uid"] == "0")
      #expect(row["segments"] == "1")
      #expect((row["cgroup"] ?? "").hasPrefix("/"))
      #expect((Int(row["local_port"] ?? "") ?? 0) > 0)
    }
  }

  /// What is sent at once is one event, whatever it is cut into; the segments are those that the kernel counts, of the connection and of all.
  @Test func buffersHaveTheKernelsSegments() async throws {
    let (rows, truth) = try await showingAll(
      {
        var truth: [Int] = []
        let rows = try trace([]) {
          try mustRun([try NetworkWorkload.path.get(), "segments", folder.file("segments")])
          truth = try String(contentsOfFile: folder.file("segments"), encoding: .utf8).split { $0.isWhitespace }.compactMap { Int($0) }
        }
        return (rows, truth)
      }, ports: { Array($0.1.prefix(1)) })
    try #require(truth.count == 3)
    let sent = rows.filter { $0["remote_port"] == "\(truth[0])" }
    let segments = sent.compactMap { Int($0["segments"] ?? "") }
    #expect(segments.count == sent.count)
    #expect(segments.reduce(0, +) == truth[1] && truth[1] == truth[2])
    // The timer sends one; what others have overtaken goes as it was written, as far as the window allows.
    #expect(segments.contains { $0 > 1 }, "\(segments)")
    for row in sent {
      // 1000 bytes at most, less the options of each segment.
      let (bytes, count) = (try #require(Int(row["length"] ?? "")), try #require(Int(row["segments"] ?? "")))
      #expect(bytes <= count * 1000 && bytes > (count - 1) * 900, "\(row)")
    }
  }

  @Test func optionsSelect() async throws {
    let (rows, truth) = try await trace(["-6", "-A", "::1", "--uid", "root"])
    #expect(rows.filter { $0["remote_port"] == "\(truth.within)" }.count == truth.withins)
    #expect(Set(rows.compactMap { $0["ip"] }) == ["6"])
    #expect(try await trace(["--uid", "1"]).rows.isEmpty)
  }

  /// By the fallback, all in a map of the events' own.
  @Test func rawTracepointsSeeTheSame() async throws {
    let (counts, truth) = try await showingAll({ try countRaw() }, ports: { $0.1.ports })
    #expect(counts[UInt16(truth.full)] == truth.syns)
    #expect(counts[UInt16(truth.last)] == truth.lasts)
    #expect(counts[UInt16(truth.deaf)] == truth.clients + truth.answers)
    #expect(counts[UInt16(truth.within)] == nil)
  }

  /// Events by the port that was connected to.
  private func countRaw() throws -> ([UInt16: Int], Truth) {
    let attachment = try Attachment.attempt(
      .named("tcpretrans"), hooks: ["segment_raw", "answer_raw"].map { Hook($0, [Hook.Variant($0)]) },
      configure: { (probe, _) throws(BPFError) in
        var config = tcpretrans_config()
        config.ends.ip = 4
        try probe.configure(".rodata.config", config)
      })
    var meter = try LossMeter(attachment.probe)
    var reader = try attachment.probe.ringBuffer("events")
    let truth = try work()
    let (report, _) = try meter.close()
    #expect(report.isExact)
    var counts: [UInt16: Int] = [:]
    reader.drain { record in
      let event = record.header(tcpretrans_event.self)
      // An attempt that sent nothing.
      if event.error != 0 { return }
      counts[event.kind == TCPRETRANS_SYN_ACK.rawValue ? event.connection.local_port : event.connection.remote_port, default: 0] += 1
    }
    return (counts, truth)
  }

  @Test func tableHasItsColumns() async throws {
    let (lines, truth) = try await showingAll(
      {
        let tool = try Swtrace.start(["tcpretrans", "-s", "-6"])
        #expect(
          tool.readLine()
            == "TIME     UID    IP LADDR           LPORT RADDR           RPORT TYPE    STATE        SEGS SEQ        LEN    ERR CGROUP")
        let truth = try work()
        tool.signal(2)
        // But for attempts that sent nothing.
        return (tool.finish().lines.filter { $0.contains("\(truth.within)") && $0.split(separator: " ").dropLast().last == "0" }, truth)
      }, ports: { [$0.1.within] })
    #expect(lines.count == truth.withins)
    for line in lines {
      #expect(
        line.wholeMatch(
          of: #/\d\d:\d\d:\d\d 0 +6  ::1 +\d+ +::1 +\d+ +(probe|fast|timeout|other) +ESTABLISHED +1 \d+ +\d+ +0 /.*/#) != nil, "\(line)")
    }
  }

  @Test func processesCannotBeChosen() throws {
    let finished = try Swtrace.run(["tcpretrans", "--comm", "nginx"])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("tcpretrans observes packets, and the kernel does not know which process a packet is for: --comm"))
  }
}
