import Profiles
import Testing

func parse(_ text: String) throws(FoldedError) -> Profile { try FoldedParser.parse(Array(text.utf8)) }

@Test(arguments: [
  ("app;main;run 3\napp;main 2\n", "all 0/5\n  app 0/5\n    main 2/5\n      run 3/3"),
  ("app;main 1\r\napp;main 2\r\n", "all 0/3\n  app 0/3\n    main 3/3"),
  ("\n# made by a tool; 12\n  \nidle 4", "all 0/4\n  idle 4/4"),
  ("web server;operator new(unsigned long) 7", "all 0/7\n  web server 0/7\n    operator new(unsigned long) 7/7"),
  ("java;Thread 2 5", "all 0/5\n  java 0/5\n    Thread 2 5/5"),
  ("a;;b; ; 1", "all 0/1\n  a 0/1\n    b 1/1"),
  ("a;b\t1", "all 0/1\n  a 0/1\n    b 1/1"),
  ("a;b 0\na;c 1", "all 0/1\n  a 0/1\n    c 1/1"),
  ("a;b\u{1B}[2J 1", "all 0/1\n  a 0/1\n    b\\x1B[2J 1/1"),
])
func foldedText(_ text: String, _ expected: String) throws {
  #expect(outline(CallTree(try parse(text))) == expected)
}

@Test func suffixesAndMarkersSetTheKind() throws {
  let profile = try parse("app;main;fast_[i];-;[unknown];vfs_read_[k];jit_[j];_[k] 1")
  let frames = profile.stacks[profile.samples[0].stack].frames
  #expect(frames.map(\.function) == ["main", "fast", "-", "[unknown]", "vfs_read", "jit_[j]", "_[k]"])
  #expect(frames.map(\.kind) == [.user, .user, .marker, .marker, .kernel, .user, .user])
  #expect(frames.map(\.isInlined) == [false, true, false, false, false, false, false])
}

@Test(
  arguments: [
    ("a 1.5\nb 2\nc .25", 2, [150, 200, 25]),
    ("a 3.\nb 4", 0, [3, 4]),
    ("a 0.1234567891", 9, [123_456_789]),
  ] as [(String, Int, [UInt64])])
func decimalCountsAreExact(_ text: String, _ decimals: Int, _ values: [UInt64]) throws {
  let profile = try parse(text)
  #expect(profile.decimals == decimals)
  #expect(profile.samples.map(\.value) == values)
}

@Test(arguments: [
  ("", 0, "no stacks in it; a line is \"command;caller;callee 12\""),
  ("\n\n# only a comment\n", 0, "no stacks in it; a line is \"command;caller;callee 12\""),
  ("a 0\n", 0, "no stacks in it; a line is \"command;caller;callee 12\""),
  ("a;b 1\n\na;c\n", 3, "line 3: no count after the last space; a line is \"command;caller;callee 12\""),
  ("a;b 1\na;b c", 2, "line 2: no count after the last space; a line is \"command;caller;callee 12\""),
  ("a;b -4", 1, "line 1: \"-4\" is not a count of at least 0, such as 12 or 12.5"),
  ("a;b 1e9", 1, "line 1: \"1e9\" is not a count of at least 0, such as 12 or 12.5"),
  ("a;b 1.2.3", 1, "line 1: \"1.2.3\" is not a count of at least 0, such as 12 or 12.5"),
  ("a;b 1\u{1B}[2J", 1, "line 1: \"1\\x1B[2J\" is not a count of at least 0, such as 12 or 12.5"),
  ("a;b .", 1, "line 1: no count after the last space; a line is \"command;caller;callee 12\""),
  ("12", 1, "line 1: there is a count but no stack before it"),
  (";; 12", 1, "line 1: there is a count but no stack before it"),
  ("a 18446744073709551615\nb 1", 2, "line 2: the counts up to here add up to more than 64 bits hold"),
  ("a 18446744073709551616", 1, "line 1: the counts up to here add up to more than 64 bits hold"),
  ("a 99999999999\nb 0.123456789", 1, "line 1: the counts up to here add up to more than 64 bits hold"),
  ("\0ELF", 1, "line 1: no count after the last space; a line is \"command;caller;callee 12\""),
])
func badTextNamesItsFirstBadLine(_ text: String, _ line: Int, _ message: String) throws {
  let error = try #require(throws: FoldedError.self) { try parse(text) }
  #expect(error.line == line)
  #expect(error.description == message)
}

@Test func sizesAreBounded() throws {
  let deep = Array(repeating: "f", count: FoldedParser.depthLimit).joined(separator: ";")
  #expect(CallTree(try parse(deep + " 1")).depth == FoldedParser.depthLimit)
  // The earlier line is named although the later one is the first that cannot even be split.
  let tooDeep = try #require(throws: FoldedError.self) { try parse("a 1\n\(deep);g 1\nnothing") }
  #expect(tooDeep.line == 2 && tooDeep.reason == .tooDeep)
  let long = String(repeating: "x", count: FoldedParser.lineLimit)
  let tooLong = try #require(throws: FoldedError.self) { try parse(long + " 1") }
  #expect(tooLong.line == 1 && tooLong.reason == .lineTooLong)
}

/// Whatever is done to folded text, it is read or refused, and what is read adds up.
@Test func mutatedTextIsReadOrRefused() throws {
  var random = SplitMix(state: 20_261)
  let seed = Array("app;main;run_[k] 3\r\napp;naïve f(int, long);[unknown];x_[i] 2.75\n# note\n\nweb server;-;read 18446744073709\n".utf8)
  let bytes: [UInt8] = [0, 9, 10, 13, 32, 35, 45, 46, 48, 57, 59, 91, 93, 95, 107, 127, 0x80, 0xC2, 0xE2, 0xF0, 0xFF]
  var (read, refused) = (0, 0)
  for _ in 0..<5_000 {
    var text = seed
    for _ in 0...random.below(6) {
      let position = random.below(text.count)
      switch random.below(4) {
      case 0: text[position] = bytes[random.below(bytes.count)]
      case 1: text.insert(bytes[random.below(bytes.count)], at: position)
      case 2: text.remove(at: position)
      default: text.append(contentsOf: text[position...].prefix(random.below(40)))
      }
    }
    do {
      let profile = try FoldedParser.parse(text)
      read += 1
      let tree = CallTree(profile)
      #expect(profile.total == profile.samples.reduce(0) { $0 + $1.value })
      #expect(tree.nodes[0].total == profile.total)
      #expect(tree.nodes[0].end == tree.nodes.count)
    } catch {
      refused += 1
      #expect((0...text.count { $0 == 10 } + 1).contains(error.line))
    }
  }
  #expect(read > 500 && refused > 500, "the mutations reach both ends: \(read) read, \(refused) refused")
}

/// A small generator with a fixed seed, so that a failure can be repeated.
struct SplitMix {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
