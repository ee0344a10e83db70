import Formats
import Profiles
import Testing

func profile(_ text: String, unit: Profile.Unit = .samples) throws -> Profile { try FoldedParser.parse(Array(text.utf8), unit: unit) }
func folded(_ profile: Profile, annotateKernel: Bool = false) -> String {
  String(decoding: FoldedWriter.write(profile, annotateKernel: annotateKernel), as: UTF8.self)
}
func process(_ command: String) -> Profile.Process { Profile.Process(command: Array(command.utf8)) }

@Test func foldedLinesAreSortedAndMerged() {
  var profile = Profile()
  let stack = Stack([Frame(function: "main"), Frame(function: "read"), Frame(function: "vfs_read", module: "[kernel]", kind: .kernel)])
  profile.add(2, stack: stack, process: Profile.Process(command: Array("cat".utf8), pid: 1))
  profile.add(3, stack: stack, process: Profile.Process(command: Array("cat".utf8), pid: 2))
  profile.add(1, stack: Stack(), process: process("bash"))
  #expect(folded(profile) == "bash 1\ncat;main;read;vfs_read 5\n")
  #expect(folded(profile, annotateKernel: true) == "bash 1\ncat;main;read;vfs_read_[k] 5\n")
  #expect(folded(Profile()) == "")
}

@Test(arguments: [
  ("a;b", "a:b"), ("two words", "two words"), ("line\nbreak", "line\\x0Abreak"), ("esc\u{1B}[0m", "esc\\x1B[0m"),
  ("tab\there", "tab\\x09here"),
  ("Thread 2", "Thread_2"), ("at 1.5", "at_1.5"), ("x 2 y", "x 2 y"), ("ends ", "ends_"), ("", "[unknown]"), ("  ", "[unknown]"),
])
func leafNamesAreEscaped(_ name: String, _ expected: String) {
  var profile = Profile()
  profile.add(7, stack: Stack([Frame(function: name)]), process: process("app"))
  #expect(folded(profile) == "app;\(expected) 7\n")
}

@Test(
  arguments: [
    (Array("#!sh".utf8), "\\x23!sh"), (Array(" #".utf8), " \\x23"), ([0xFF, 0x41], "\\xFFA"), (Array("a;b".utf8), "a:b"), ([], "[unknown]"),
    (Array("kworker/0:1".utf8), "kworker/0:1"),
  ] as [([UInt8], String)])
func commandsAreEscaped(_ command: [UInt8], _ expected: String) {
  var profile = Profile()
  profile.add(1, stack: Stack([Frame(function: "f")]), process: Profile.Process(command: command))
  #expect(folded(profile) == "\(expected);f 1\n")
}

@Test(arguments: [
  "app;main;work_[k] 3\napp;main;work 2\n", "a b;c d;e 1\n", "x 0.25\ny 1.5\nz 2\n", "app;-;[unknown];naïve 18446744073709551615\n",
])
func foldedTextIsWrittenAsItWasRead(_ text: String) throws {
  // Sorted by bytes, `work 2` stands before `work_[k] 3`.
  let lines = text.split(separator: "\n").sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  #expect(folded(try profile(text), annotateKernel: true) == lines.joined(separator: "\n") + "\n")
}

/// Any names at all: what is written can be read, and reads as what was written.
@Test func anyNamesSurviveTheRoundTrip() throws {
  let pieces: [[UInt8]] = [
    [0], [9], [10], [13], [27], [32], [35], [46], [48], [49], [59], [65], [91], [92], [93], [95], [0x7F], [0x80], [0xC2, 0x85],
    [0xE2, 0x80, 0xA8],
    [0xED, 0xA0, 0x80], [0xF0, 0x9F, 0x94, 0xA5], [0xFF], Array("_[k]".utf8), Array("_[i]".utf8),
  ]
  var state: UInt64 = 42
  func below(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(bound))
  }
  func bytes() -> [UInt8] { (0..<below(6)).flatMap { _ in pieces[below(pieces.count)] } }
  for _ in 0..<3_000 {
    var profile = Profile()
    for _ in 0...below(4) {
      let frames = (0..<below(4)).map { _ in
        Frame(function: String(decoding: bytes(), as: UTF8.self), kind: below(2) == 0 ? .user : .kernel)
      }
      profile.add(UInt64(below(9) + 1), stack: Stack(frames), process: Profile.Process(command: bytes()))
    }
    let once = FoldedWriter.write(profile, annotateKernel: true)
    let read = try FoldedParser.parse(once)
    #expect(read.total == profile.total)
    #expect(!once.contains { $0 < 0x20 && $0 != 10 || $0 == 0x7F })
    #expect(once.count { $0 == 10 } == once.split(separator: 10).count)
  }
}
