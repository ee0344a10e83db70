import TestSupport
import Testing

@Suite struct SymbolizeTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func build() throws -> (path: String, address: String) {
    let path = try compile(
      """
      static inline __attribute__((always_inline)) int inner(int x) { return x * 7; }
      __attribute__((noinline)) int outer(int x) {
        return inner(x) + 1;
      }
      int main(int count, char **arguments) { return outer(count) == 0; }
      """, in: folder, flags: ["-O1", "-g", "-no-pie"])
    let address = try mustRun(["nm", path]).split(separator: "\n").first { $0.hasSuffix(" outer") }?.split(separator: " ").first
    return (path, String(try #require(address)))
  }

  @Test func inlinedCallsAndLinesAreShown() throws {
    let (path, address) = try build()
    let finished = try Swtrace.run(["symbolize", path, address])
    #expect(finished.status == 0)
    #expect(finished.lines.count == 2)
    #expect(finished.lines.first?.contains(" inner at ") == true && finished.lines.first?.hasSuffix("workload.c:1") == true)
    #expect(finished.lines.last?.contains("  inlined into outer at ") == true && finished.lines.last?.hasSuffix("workload.c:3") == true)
    let plain = try Swtrace.run(["symbolize", "--no-inline", path, "0x" + address])
    #expect(plain.lines.count == 1 && plain.lines[0].contains(" outer at "))
  }

  @Test func addressesComeFromStandardInput() throws {
    let (path, address) = try build()
    let input = Array("\(address)\n\n0x7\n".utf8)
    let finished = try run([Swtrace.path, "symbolize", "--format", "json", path], input: input)
    let records = try finished.json()
    #expect(records.count == 2)
    let frames = try #require(records[0]["frames"] as? [[String: Any]])
    #expect(frames.map { $0["function"] as? String } == ["inner", "outer"])
    #expect(frames.map { $0["line"] as? Int } == [1, 3])
    #expect(frames.map { $0["inlined"] as? Bool } == [true, false])
    #expect(records[1]["unknown"] as? String == "outside every symbol")
  }

  /// A server that has the debug file, by the protocol's path.
  @Test func serversAreAskedOnlyWhenWanted() throws {
    let (path, address) = try build()
    let notes = try mustRun(["readelf", "-n", path])
    let id = try #require(notes.split(separator: "\n").first { $0.contains("Build ID: ") }?.split(separator: " ").last)
    try mustRun(["mkdir", "-p", folder.file("www/buildid/\(id)")])
    try mustRun(["objcopy", "--only-keep-debug", path, folder.file("www/buildid/\(id)/debuginfo")])
    try mustRun(["strip", path])
    let server = try Running([
      "python3", "-uc",
      """
      import functools, http.server
      handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory='\(folder.file("www"))')
      server = http.server.HTTPServer(('127.0.0.1', 0), handler)
      print('port', server.server_port)
      server.serve_forever()
      """,
    ])
    defer {
      server.signal(9)
      _ = server.finish()
    }
    let port = try #require(try server.wait(for: "port ").split(separator: " ").last)
    let environment = [
      "DEBUGINFOD_URLS": "http://127.0.0.1:\(port)/", "DEBUGINFOD_CACHE_PATH": folder.file("cache"), "no_proxy": "127.0.0.1",
    ]
    func ask(_ options: [String], _ environment: [String: String]) throws -> Finished {
      try run([Swtrace.path, "symbolize"] + options + [path, address], environment: environment)
    }
    #expect(try ask([], environment).outputText.contains("[unknown]"))
    let answer = try ask(["--debuginfod"], environment)
    #expect(answer.outputText.contains(" inner at ") && answer.outputText.contains("into outer at "), "\(answer)")
    let without = try ask(["--debuginfod"], ["DEBUGINFOD_URLS": ""])
    #expect(without.status == 1 && without.errorText.contains("needs the addresses of servers in DEBUGINFOD_URLS"))
  }

  @Test func badInputIsNamed() throws {
    let (path, _) = try build()
    let word = try Swtrace.run(["symbolize", path, "main"])
    #expect(word.status == 1 && word.errorText.contains("'main' is no hexadecimal address"))
    let file = try Swtrace.run(["symbolize", "/etc/passwd", "1"])
    #expect(file.status == 1 && file.errorText.contains("cannot read /etc/passwd: not an ELF file"))
    #expect(try Swtrace.run(["symbolize", "/nonexistent", "1"]).errorText.contains("cannot open /nonexistent: No such file or directory"))
  }
}
