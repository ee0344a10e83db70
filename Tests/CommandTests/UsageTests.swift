import TestSupport
import Testing

/// What the program says without looking at the kernel.
@Suite struct UsageTests {
  @Test func versionIsOneLine() throws {
    let finished = try Swtrace.run(["--version"])
    #expect(finished.status == 0)
    #expect(finished.lines.count == 1)
  }

  static let tools = [
    "allocs", "bashreadline", "biolatency", "cpudist", "execsnoop", "exitsnoop", "faults", "funccount", "funclatency", "offcputime",
    "offwaketime",
    "oomkill", "opensnoop",
    "profile", "runqlat", "syscount", "tcpconnlat",
    "tcpretrans", "tcprtt", "wakeuptime",
  ]

  @Test(arguments: tools) func everyToolExplainsItself(_ tool: String) throws {
    let short = try Swtrace.run(["help", tool])
    let long = try Swtrace.run([tool, "--help"])
    #expect(short.status == 0)
    #expect(long.status == 0)
    #expect(short.output == long.output)
    for part in ["OVERVIEW: ", "Overhead: ", "Example", "  swtrace \(tool)", "--pid", "--cgroup", "--format", "--duration", "--stats"] {
      #expect(long.outputText.contains(part), "\(tool) lacks \(part)")
    }
  }

  @Test(arguments: [["--help"], ["help", "profile"], ["profile", "--help"], ["--version"], ["list"]])
  func aFullDiskIsReported(_ arguments: [String]) throws {
    let finished = try Swtrace.start(arguments, outputPath: "/dev/full").finish()
    #expect(finished.status == 1)
    #expect(finished.errorText == "Error: cannot write standard output: No space left on device; the output is cut\n")
  }

  static let others = ["", "convert", "diff", "doctor", "flamegraph", "list", "symbolize", "unwind-info"]

  @Test(arguments: tools + others) func helpFits80Columns(_ command: String) throws {
    let shown = try Swtrace.run(["help", command].filter { !$0.isEmpty }, environment: ["COLUMNS": "80"])
    #expect(shown.status == 0)
    #expect(shown.lines.filter { $0.count > 80 } == [])
    // What is written in lines stays in these lines: on a wide terminal nothing is wrapped.
    let wide = try Swtrace.run(["help", command].filter { !$0.isEmpty }, environment: ["COLUMNS": "1000"])
    #expect(wide.lines.prefix { !$0.hasPrefix("USAGE") }.filter { $0.count > 80 } == [])
  }

  @Test(arguments: [
    ("opensnoop", "table, json, csv"), ("syscount", "table, json, csv"), ("runqlat", "table, json, csv"),
    ("profile", "stacks, table, folded, json, csv, svg, html, pprof, speedscope, firefox"), ("list", "table, json, csv"),
    ("doctor", "table, json"),
    ("symbolize", "table, json"),
    ("convert", "folded, pprof, speedscope, firefox, svg, html, table, stacks, csv, json"),
  ])
  func helpListsTheFormatsThatACommandHas(_ command: String, _ formats: String) throws {
    let finished = try Swtrace.run(["help", command], environment: ["COLUMNS": "1000"])
    #expect(finished.lines.count { $0.hasSuffix("(values: \(formats))") } == 1, "\(finished.outputText)")
  }

  /// What this kernel and these files offer, by the patterns that funccount takes.
  @Test(
    .requiresBPF,
    arguments: [
      ("t:sched:sched_sw*", ["t:sched:sched_switch"]), ("c:pthread_create", ["libc.so.6:pthread_create"]),
      ("u:stdc++:libstdcxx:*", ["libstdcxx:catch", "libstdcxx:rethrow", "libstdcxx:throw"]),
    ])
  func listShowsWhatAPatternMeans(_ pattern: String, _ endings: [String]) throws {
    let finished = try Swtrace.run(["list", pattern])
    #expect(finished.status == 0)
    for ending in endings { #expect(finished.lines.contains { $0.hasSuffix(ending) }, "\(finished.outputText)") }
  }

  @Test(
    .requiresBPF,
    arguments: [
      ("t:sched:sched_swich", "did you mean sched_switch"), ("c:maloc", "did you mean malloc"),
      ("u:stdc++:libstdcxx:thro", "did you mean libstdcxx:throw"), ("no-such-library:x", "there is no library or program"),
    ])
  func listSuggestsTheNearestNames(_ pattern: String, _ words: String) throws {
    let finished = try Swtrace.run(["list", pattern])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains(words), "\(finished.errorText)")
    #expect(finished.output.isEmpty)
  }

  @Test(arguments: tools) func everyToolIsListed(_ tool: String) throws {
    #expect(try Swtrace.run(["--help"]).lines.contains { $0.hasPrefix("  \(tool) ") })
    #expect(try Swtrace.run(["list"]).lines.contains { $0.hasPrefix("\(tool) ") })
  }

  @Test(arguments: [
    (["opensnop"], "there is no command 'opensnop'; did you mean opensnoop"),
    (["opensnop", "--help"], "there is no command 'opensnop'; did you mean opensnoop"),
    (["help", "diff_"], "there is no command 'diff_'; did you mean diff?"),
    (["help", "nosuch"], "there is no command 'nosuch'\n"),
    (["opensnoop", "--nonsense"], "Unknown option '--nonsense'"),
    // The parser's, for which Foundation would have to be linked.
    (["opensnoop", "--experimental-dump-help"], "Unknown option '--experimental-dump-help'"),
    (["opensnoop", "--duration", "soon"], "The value 'soon' is invalid for '--duration <time>'"),
    (["opensnoop", "--pid", "1,x"], "The value '1,x' is invalid for '--pid <pid,...>'"),
    (["opensnoop", "--format", "svg"], "'svg' is invalid for '--format <format>'. Please provide one of 'table', 'json' or 'csv'."),
    (["doctor", "--format", "csv"], "'csv' is invalid for '--format <format>'. Please provide one of 'table' and 'json'."),
    (["list", ""], "the pattern is empty; leave it out to list the tools"),
    (["runqlat", "1", "0"], "the count of intervals must be at least 1"),
    (["runqlat", "-P", "-L"], "--pids, --tids, --pidnss and --cgroups exclude each other"),
    (["opensnoop", "-n", "sixteen-letters-"], "command names have 1 to 15 bytes; 'sixteen-letters-' has 16"),
    (["profile", "-F", "99", "-c", "1000000"], "--frequency and --count exclude each other"),
    (["profile", "-c", "49999"], "the count is 50000 to 1000000000 nanoseconds, not 49999"),
    (["funclatency", "--max-calls", "0", "c:malloc"], "--max-calls must be from 1 to 1000000"),
  ])
  func wrongUsageExitsWith64(_ arguments: [String], _ expected: String) throws {
    let finished = try Swtrace.run(arguments)
    #expect(finished.status == 64)
    #expect(finished.errorText.contains(expected), "\(finished.errorText)")
    #expect(finished.output.isEmpty)
  }

  @Test(arguments: [
    (["opensnoop", "--comm", "sixteen-letters-"], "the kernel's command names have 1 to 15 bytes; 'sixteen-letters-' has 16"),
    (["opensnoop", "--uid", "nosuchuser"], "no user is called 'nosuchuser' in /etc/passwd; give the number"),
    (["opensnoop", "--uid", "rooot"], "no user is called 'rooot' in /etc/passwd; did you mean root?"),
    (["opensnoop", "--pid", "4194303"], "no process has the id 4194303; see ps -e"),
    (["opensnoop", "--tid", "4194303"], "no thread has the id 4194303; see ps -eL"),
    (["opensnoop", "--cgroup", "no/such/group"], "cannot find cgroup no/such/group"),
    (["opensnoop", "-o", "/tmp/x.svg"], "opensnoop cannot write /tmp/x.svg: it has no format 'svg', but table, json, csv"),
    (["opensnoop", "--propagate-exit"], "--propagate-exit needs a command: swtrace opensnoop --propagate-exit -- COMMAND"),
    (["opensnoop", "--output", "/nonexistent/file.json"], "cannot create /nonexistent/file.json: No such file or directory"),
    (["opensnoop", "--output", ""], "--output needs the name of a file; leave it out for standard output"),
    (["profile", "--output", ""], "--output needs the name of a file; leave it out for standard output"),
    (["opensnoop", "--output", "/tmp/\(String(repeating: "x", count: 256)).json"], "cannot create /tmp/xxx"),
    (["list", "/dev/zero"], "'/dev/zero' is no program or library: it is no regular file"),
    (["list", "/etc"], "'/etc' is no program or library: it is no regular file"),
    (["funccount", "/etc:x"], "'/etc' is no program or library: it is no regular file"),
    (["flamegraph", ""], "the name of the profile is empty; write - for standard input"),
    (["opensnoop", "--btf", "/etc/passwd"], "/etc/passwd is no type information (BTF) of a kernel"),
    (["opensnoop", "--btf", "/dev/null"], "/dev/null is no type information (BTF) of a kernel"),
    (["opensnoop", "--btf", "/nonexistent"], "cannot read the type information file /nonexistent: No such file or directory"),
  ])
  func whatDoesNotExistIsNamedInOneLine(_ arguments: [String], _ expected: String) throws {
    let finished = try Swtrace.run(arguments)
    #expect(finished.status == 1)
    #expect(finished.errorText.hasPrefix("Error: \(expected)"), "\(finished.errorText)")
    #expect(finished.errorText.split(separator: "\n").count == 1)
    #expect(finished.output.isEmpty)
  }

  /// It need not be there yet; but it may be a slip of the pen.
  @Test(.requiresBPF) func aNameThatNobodyHasIsToldAndWaitedFor() throws {
    let finished = try Swtrace.run(["opensnoop", "--comm", "kthreadx", "--duration", "1ms"])
    #expect(finished.status == 0)
    #expect(
      finished.errorText.hasPrefix(
        "swtrace opensnoop: no process or thread is called 'kthreadx' yet, those to come are traced; did you mean kthreadd"),
      "\(finished.errorText)")
  }

  /// What another user than root can see of the tracepoints: that they are hidden.
  @Test(.requiresBPF) func unreadableTracepointsAreNamed() throws {
    let folder = try TemporaryFolder()
    let program = "\(folder.path)/swtrace"
    // Where the program itself is, others may not be allowed to look.
    #expect(try run(["sh", "-c", "chmod 755 \(folder.path) && cp \(Swtrace.path) \(program)"]).status == 0)
    func list(_ pattern: String) throws -> Finished {
      try run(["setpriv", "--reuid", "65534", "--clear-groups", program, "list", pattern])
    }
    for pattern in ["t:sched:sched_switch", "sched:sched_switch", "no_such_name"] {
      let finished = try list(pattern)
      #expect(finished.status == 1)
      #expect(finished.errorText.hasPrefix("Error: tracefs at /sys/kernel/"), "\(finished.errorText)")
      #expect(finished.errorText.hasSuffix(" is not readable for this user; run it as root\n"))
    }
    let functions = try list("vfs_read")
    #expect(functions.status == 0)
    #expect(functions.lines == ["TARGET", "vfs_read"] || functions.lines == ["vfs_read"])
    #expect(functions.errorText.hasPrefix("swtrace list: without tracepoints: tracefs at "))
  }

  @Test func missingCapabilitiesAreNamed() throws {
    let finished = try run(["setpriv", "--inh-caps=-all", "--bounding-set=-all", Swtrace.path, "opensnoop"])
    #expect(finished.status == 1)
    #expect(finished.errorText == "Error: swtrace opensnoop needs CAP_BPF and CAP_PERFMON; run it as root\n")
    #expect(finished.output.isEmpty)
  }
}
