import Foundation
import TestSupport
import Testing

/// What a profile says of a program: its stacks, and the report of how they end.
struct SampledStacks {
  /// Each from the process's name on to the function that ran.
  var stacks: [(frames: [String], count: Int)]
  /// The record of stacks in JSON: how many there are, and why they end.
  var report: [String: Int]
  /// What became of all samples; it is exact.
  var summary: (seen: Int, filtered: Int, delivered: Int, lost: [String: Int])

  func count(where matches: ([String]) -> Bool = { _ in true }) -> Int {
    stacks.reduce(0) { $0 + (matches($1.frames) ? $1.count : 0) }
  }

  /// At least so many of 1000, of a workload with enough samples.
  func expectComplete(thousandths: Int = 995, atLeast samples: Int = 100, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(isComplete(thousandths: thousandths, atLeast: samples), "\(report)", sourceLocation: sourceLocation)
  }

  func isComplete(thousandths: Int, atLeast samples: Int) -> Bool {
    let (total, complete) = (report["total"] ?? 0, report["complete"] ?? 0)
    return total >= samples && complete * 1000 >= total * thousandths
  }
}

/// Programs that are built for a test, in a folder of its own, and profiles of them while they work.
struct WorkingPrograms {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The path of a program of C, or of C++ when its name ends in `.cpp`; builds it once.
  func c(_ name: String, _ source: String, _ flags: [String]) throws -> String {
    if FileManager.default.fileExists(atPath: folder.file(name)) { return folder.file(name) }
    return try compile(source, in: folder, name: name, compiler: name.hasSuffix(".cpp") ? "c++" : "cc", flags: flags)
  }

  /// The path of a program of Swift; its module has the name up to the first dash.
  func swift(_ name: String, _ source: String, _ flags: [String] = ["-O"]) throws -> String {
    let file = try folder.file("\(name).swift", "import Glibc\n" + source)
    let library = source.contains("@main") ? ["-parse-as-library"] : []
    try mustRun(["swiftc", "-module-name", String(name.prefix { $0 != "-" })] + flags + library + ["-o", folder.file(name), file])
    return folder.file(name)
  }

  /// Runs a program that works until it is killed, and says `ready` when it has begun.
  func during<Result>(_ program: [String], environment: [String: String] = [:], _ body: (Running) throws -> Result) throws -> Result {
    let running = try Running(program, environment: environment)
    defer {
      kill(running.pid, SIGKILL)
      _ = running.finish()
    }
    _ = try running.wait(for: "ready")
    return try body(running)
  }

  /// The stacks of such a program: of a second, and of more until there are so many samples.
  func profile(_ program: [String], _ options: [String] = [], atLeast samples: Int = 100) throws -> SampledStacks {
    try during(program) { running in
      var all = try stacks(["-p", "\(running.pid)", "-d", "1"] + options)
      // Of one that sleeps there are none; what is missing is the test's to say.
      for _ in 0..<60 where (all.report["total"] ?? samples) < samples {
        let more = try stacks(["-p", "\(running.pid)", "-d", "1"] + options)
        all.stacks += more.stacks
        all.report.merge(more.report) { $0 + $1 }
      }
      return all
    }
  }

  /// The user stacks of a profile with those options, whose loss report must be exact.
  func stacks(_ options: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> SampledStacks {
    let (folded, json) = (folder.file("out.folded"), folder.file("out.json"))
    let finished = try Swtrace.run(["profile", "-U", "-F", "997", "-o", folded, "-o", json] + options)
    #expect(finished.status == 0, "\(finished.errorText)", sourceLocation: sourceLocation)
    let stacks = try String(contentsOfFile: folded, encoding: .utf8).split(separator: "\n").compactMap { line -> ([String], Int)? in
      guard let space = line.lastIndex(of: " "), let count = Int(line[line.index(after: space)...]) else { return nil }
      return (line[..<space].split(separator: ";").map(String.init), count)
    }
    // Records of single stacks are the most, and not needed.
    let records = try String(contentsOfFile: json, encoding: .utf8).split(separator: "\n").filter { !$0.contains("\"type\":\"stack\",") }
      .map { try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]) }
    let report = records.first { $0["type"] as? String == "stacks" }?.compactMapValues { $0 as? Int } ?? [:]
    return SampledStacks(stacks: stacks, report: report, summary: try summary(of: records))
  }
}
