import Testing

@testable import Profiles

private func perf(_ text: String, event: String? = nil) throws(PerfScriptError) -> Profile {
  try PerfScriptParser.parse(Array(text.utf8), event: event)
}

@Test func perfTimesAreKeptWhenAllSamplesHaveOne() throws {
  let sample = { (time: String) in "cat 1/2 [000] \(time) cycles:\n\tff f+0x1 (/bin/cat)\n\n" }
  let profile = try perf(sample("12.000001:") + sample("12.5:") + sample("1.123456789012:"))
  #expect(profile.moments.all.map(\.time) == [12_000_001_000, 12_500_000_000, 1_123_456_789])
  #expect(profile.moments.all.allSatisfy { $0.sample == 0 && $0.value == 1 && $0.thread == 0 })
  #expect(try perf(sample("12.000001:") + sample("")).moments.all.isEmpty)
  #expect(try perf(sample("12.1:") + sample("99999999999999999999.1:")).moments.all.isEmpty)
}

@Test func perfSamplesAreReadWithTheirFrames() throws {
  let profile = try perf(
    """
    # ========
    # captured on: some day
    # ========
    #
    my app 27840/27841 [001] 20619.612126:   10101010 cpu-clock:pppH:\u{20}
    \tffffffff813a4413 finish_task_switch.isra.0+0x93 ([kernel.kallsyms])
    \tffffffffc0012345 xfs_read+0x1 ([xfs])
    \t    7ffd00001234 __vdso_gettime+0x5 ([vdso])
    \t          1750ce inner(int) (inlined)
    \t          1750ce operator new(unsigned long)+0xbe (/usr/lib/libc (copy).so.6 (deleted))
      new_op.cc:50
    \t    561823af5530 [unknown] ([unknown])
      app[561823af5530]

    my app 27840/27841 [001] 20619.712126:   10101010 cpu-clock:pppH:\u{20}
    \t           54d4 main+0x10 (/usr/bin/my app)\r

    swapper     0 20619.7:          1 cpu-clock:pppH:
    """)
  #expect(profile.total == 3 && profile.unit == .samples)
  let app = Profile.Process(command: Array("my app".utf8), pid: 27840, tid: 27841)
  #expect(profile.processes == [app, Profile.Process(command: Array("swapper".utf8), pid: 0)])
  // The path begins at the parenthesis that the last one closes, whatever is in it.
  let library = "libc (copy).so.6"
  #expect(
    profile.stacks[profile.samples[1].stack].frames == [Frame(function: "main", module: "my app")])
  let frames = profile.stacks[profile.samples[0].stack].frames
  #expect(
    frames == [
      Frame(function: "[unknown]"),
      Frame(function: "operator new(unsigned long)", module: library, file: "new_op.cc", line: 50),
      Frame(function: "inner(int)", module: library, isInlined: true),
      Frame(function: "__vdso_gettime", module: "[vdso]"),
      Frame(function: "xfs_read", module: "xfs", kind: .kernel),
      Frame(function: "finish_task_switch.isra.0", module: "[kernel]", kind: .kernel),
    ])
  #expect(profile.stacks[profile.samples[2].stack].frames.isEmpty)
}

@Test(
  arguments: [
    ("sh 27840 20619.579355: cpu-clock: \n\t 54d4 f (/bin/sh)", "sh", 27840, nil, ["f"]),
    ("              sh 27840 20619.579355:   10101010 cpu-clock:      561823adb4d4 f+0x1 (/usr/bin/dash)", "sh", 27840, nil, ["f"]),
    ("Thread 2 1234 [001] 1.5: cycles:u: \n\t1 g (x)", "Thread 2", 1234, nil, ["g"]),
    ("dead beef 12/13 1.5:\n\t1 g (x)\n\t2 f (x)", "dead beef", 12, 13, ["f", "g"]),
    ("a 5 [000] d.h1. 1.5: sched:sched_switch: prev_comm=x prev_pid=3 ==> next (y)\n\t1 g (x)", "a", 5, nil, ["g"]),
    (":-1    -1 [000] 1.5: cycles:", ":-1", nil, nil, []),
    ("kworker/0:1-ev 7 [003] 1.5: cycles:\n\tffffffff81000000 [unknown] ([kernel.kallsyms])\n", "kworker/0:1-ev", 7, nil, ["[unknown]"]),
  ] as [(String, String, UInt32?, UInt32?, [String])])
func perfHeadersHaveManyForms(_ text: String, _ command: String, _ pid: UInt32?, _ tid: UInt32?, _ frames: [String]) throws {
  let profile = try perf(text)
  #expect(profile.total == 1)
  #expect(profile.processes == [Profile.Process(command: Array(command.utf8), pid: pid, tid: tid)])
  #expect(profile.stacks[profile.samples[0].stack].frames.map(\.function) == frames)
}

@Test func oneEventIsTaken() throws {
  let text = "a 1 1.0: cycles:u:\n\t1 f (x)\n\na 1 1.1: page-faults:\n\t1 g (x)\n\na 1 1.2: cycles:u:\n\t1 f (x)\n"
  #expect(try perf(text, event: "cycles").total == 2)
  #expect(try perf(text, event: "cycles:u").total == 2)
  #expect(try perf(text, event: "page-faults").total == 1)
  #expect(throws: PerfScriptError(line: 0, reason: .events(["cycles:u", "page-faults"]))) { try perf(text) }
  let error = try #require(throws: PerfScriptError.self) { try perf(text, event: "cyc") }
  #expect(error.description == "it has no samples of cyc, only of cycles:u, page-faults")
}

@Test(arguments: [
  ("", "no samples in it; a sample starts with a line such as \"cat 1234 [001] 5.678: cycles:\""),
  ("a;b 1", "line 1: neither a sample's first line, such as \"cat 1234 [001] 5.678: cycles:\", nor one of its frames"),
  ("a 1 1.0: c:\n\tnothing", "line 2: not a frame; one is \"ffffffff81 vfs_read+0x1a ([kernel.kallsyms])\""),
  (
    "a 1 1.0: c:\n\t1 f (x)\n\n\t2 g (x)",
    "line 4: neither a sample's first line, such as \"cat 1234 [001] 5.678: cycles:\", nor one of its frames"
  ),
])
func badPerfTextNamesItsFirstBadLine(_ text: String, _ message: String) throws {
  let error = try #require(throws: PerfScriptError.self) { try perf(text) }
  #expect(error.description == message)
}

@Test func perfTextIsToldFromFolded() {
  func isPerf(_ text: String) -> Bool { PerfScriptParser.recognizes(Array(text.utf8)) }
  #expect(isPerf("# comment\n\nsh 27840 20619.579355: cpu-clock: \n"))
  #expect(!isPerf("sh;main 27840"))
  #expect(!isPerf("java 12 5"))
  #expect(!isPerf(""))
}

@Test func perfSizesAreBounded() throws {
  let frame = "\t1 f (x)\n"
  let deep = "a 1 1.0: c:\n" + String(repeating: frame, count: PerfScriptParser.depthLimit)
  #expect(CallTree(try perf(deep)).depth == PerfScriptParser.depthLimit + 1)
  #expect(throws: PerfScriptError(line: PerfScriptParser.depthLimit + 2, reason: .tooDeep)) { try perf(deep + frame) }
  #expect(throws: PerfScriptError(line: 1, reason: .lineTooLong)) { try perf(String(repeating: "1 ", count: PerfScriptParser.lineLimit)) }
  // As long as allowed, and made so that every word could be the ids.
  let long = String(repeating: "1 ", count: PerfScriptParser.lineLimit / 2 - 1)
  #expect(throws: PerfScriptError(line: 1, reason: .noHeader)) { try perf(long + "x") }
}

@Test func mutatedPerfTextIsReadOrRefused() throws {
  var random = SplitMix(state: 20_263)
  let seed = Array(
    "my app 10/11 [001] 1.5:  1 cycles:u: \n\tff f(int)+0x93 (/bin/x (y))\n\t1 g (inlined)\n\t1 h+0x1 ([xfs])\n  a.c:12\n\nb 2 1.6: cycles:u: 1 f (x)\n"
      .utf8)
  let bytes: [UInt8] = [0, 9, 10, 13, 32, 35, 40, 41, 43, 46, 47, 48, 57, 58, 91, 93, 102, 0x80, 0xFF]
  var (read, refused) = (0, 0)
  for _ in 0..<5_000 {
    var text = seed
    for _ in 0...random.below(4) {
      let position = random.below(text.count)
      switch random.below(4) {
      case 0: text[position] = bytes[random.below(bytes.count)]
      case 1: text.insert(bytes[random.below(bytes.count)], at: position)
      case 2: text.remove(at: position)
      default: text.append(contentsOf: text[position...].prefix(random.below(40)))
      }
    }
    do {
      let profile = try PerfScriptParser.parse(text)
      read += 1
      #expect(profile.total == profile.samples.reduce(0) { $0 + $1.value })
    } catch {
      refused += 1
      #expect((0...text.count { $0 == 10 } + 1).contains(error.line))
    }
  }
  #expect(read > 500 && refused > 500, "the mutations reach both ends: \(read) read, \(refused) refused")
}
