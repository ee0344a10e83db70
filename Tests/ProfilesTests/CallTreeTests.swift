import Profiles
import Testing

func frame(_ name: String) -> Frame { Frame(function: name) }
func process(_ command: String) -> Profile.Process { Profile.Process(command: Array(command.utf8)) }

/// One line a node, indented by depth: name, own value, total.
func outline(_ tree: CallTree) -> String {
  tree.nodes.map { node in
    String(repeating: "  ", count: node.depth) + "\(tree.names[node.name].text) \(node.selfValue)/\(node.total)"
  }.joined(separator: "\n")
}

@Test func equalStacksHaveEqualIDs() {
  var table = StackTable()
  let long = table.intern(Stack([frame("main"), frame("run"), frame("work")]))
  let short = table.intern(Stack([frame("main"), frame("run")]))
  #expect(table.intern(Stack([frame("main"), frame("run"), frame("work")])) == long)
  #expect(table.count == 4)
  #expect(table.top(of: long)?.caller == short)
  #expect(table[long].frames.map(\.function) == ["main", "run", "work"])
  #expect(table.intern(Stack()) == .empty)
  #expect(table.top(of: .empty) == nil)
  #expect(table[Stack.ID.empty] == Stack())
}

@Test func equalSamplesMerge() {
  var profile = Profile(unit: .nanoseconds)
  let stack = Stack([frame("main")])
  profile.add(3, stack: stack, process: Profile.Process(command: [97], pid: 1))
  profile.add(4, stack: stack, process: Profile.Process(command: [97], pid: 1))
  profile.add(5, stack: stack, process: Profile.Process(command: [97], pid: 2))
  profile.add(0, stack: Stack(), process: Profile.Process(command: [98]))
  #expect(profile.samples.map(\.value) == [7, 5])
  #expect(profile.processes.map(\.pid) == [1, 2])
  #expect(profile.total == 12)
  profile.add(.max, stack: stack, process: Profile.Process(command: [97], pid: 1))
  #expect(profile.total == .max)
  #expect(profile.samples[0].value == .max)
}

@Test func treeMergesFromTheRootInTheOrderOfNames() {
  var profile = Profile()
  profile.add(1, stack: Stack([frame("main"), frame("z")]), process: process("app"))
  profile.add(2, stack: Stack([frame("main"), frame("a")]), process: process("app"))
  profile.add(4, stack: Stack([frame("main")]), process: process("app"))
  profile.add(8, stack: Stack([frame("main"), frame("a"), frame("b")]), process: process("app"))
  profile.add(16, stack: Stack(), process: process("Idle"))
  let tree = CallTree(profile)
  #expect(
    outline(tree) == """
      all 0/31
        Idle 16/16
        app 0/15
          main 4/15
            a 2/10
              b 8/8
            z 1/1
      """)
  #expect(tree.nodes.map(\.parent) == [0, 0, 0, 2, 3, 4, 3])
  #expect(tree.nodes.map(\.end) == [7, 2, 7, 7, 6, 6, 7])
  #expect(tree.depth == 4)
}

@Test func treeIsTheSameInAnyOrderOfSamples() {
  let stacks = (0..<200).map { seed in (0..<(seed % 7)).map { frame("f\((seed * 31 + $0 * 17) % 23)") } }
  let trees = [stacks, stacks.reversed(), stacks.sorted { $0.count < $1.count }].map { order in
    var profile = Profile()
    for stack in order { profile.add(1, stack: Stack(stack), process: process("p\(stack.count % 3)")) }
    return outline(CallTree(profile))
  }
  #expect(trees[0] == trees[1] && trees[1] == trees[2])
}

@Test func sourceLinesDoNotSplitTheTree() {
  var profile = Profile()
  for line in [10, 11] as [UInt32] {
    profile.add(1, stack: Stack([Frame(function: "main", file: "main.c", line: line)]), process: process("app"))
  }
  profile.add(1, stack: Stack([Frame(function: "main", module: "libother.so")]), process: process("app"))
  #expect(outline(CallTree(profile)) == "all 0/3\n  app 0/3\n    main 2/2\n    main 1/1")
}

@Test func recursionCountsOnceInTheTotal() {
  var profile = Profile()
  profile.add(5, stack: Stack([frame("main"), frame("walk"), frame("walk"), frame("walk")]), process: process("app"))
  profile.add(2, stack: Stack([frame("main"), frame("walk"), frame("read"), frame("walk")]), process: process("app"))
  profile.add(1, stack: Stack([frame("read"), Frame(function: "[unknown]", kind: .marker)]), process: process("app"))
  let top = profile.topFunctions(10)
  #expect(top.map(\.frame.function) == ["walk", "main", "read"])
  #expect(top.map(\.selfValue) == [7, 0, 0])
  #expect(top.map(\.total) == [7, 7, 3])
  #expect(profile.topFunctions(1).count == 1)
  #expect(profile.topFunctions(-1).isEmpty)
  #expect(Profile().topFunctions(3).isEmpty)
}

@Test(arguments: [
  ("plain name", "plain name"),
  ("naïve 日本 🔥", "naïve 日本 🔥"),
  ("a\u{1B}[31m\n\u{7F}", "a\\x1B[31m\\x0A\\x7F"),
  ("c1\u{9B}2J", "c1\\xC2\\x9B2J"),
])
func namesBecomeReadable(_ name: String, _ expected: String) {
  #expect(readableName(Array(name.utf8)) == expected)
}

@Test(
  arguments: [
    ([0xFF, 0x61], "\\xFFa"),
    ([0xE6, 0x97], "\\xE6\\x97"),
    ([0xE6, 0x61, 0xA5], "\\xE6a\\xA5"),
    ([0xC0, 0x80], "\\xC0\\x80"),
    ([0xED, 0xA0, 0x80], "\\xED\\xA0\\x80"),
    ([0xF4, 0x90, 0x80, 0x80], "\\xF4\\x90\\x80\\x80"),
    ([0xC2], "\\xC2"),
    ([], ""),
  ] as [([UInt8], String)])
func brokenUTF8BecomesReadable(_ bytes: [UInt8], _ expected: String) {
  #expect(readableName(bytes) == expected)
}

/// A frame of a Swift program.
private func swift(_ name: String, _ mangled: String, line: UInt32 = 0, isInlined: Bool = false) -> Frame {
  Frame(function: name, module: "app", isInlined: isInlined, line: line, mangled: mangled)
}

@Test func formsOfAFunctionAreOneFrame() {
  let main = swift("static a.Main.main()", "$s1a4MainV4mainyyYaKFZTQ0_")
  let thunk = swift("a.T.f()", "$s1a1TVAA1PA2aDP1fyyFTW")
  let function = swift("a.T.f()", "$s1a1TV1fyyF", line: 7, isInlined: true)
  // What was called, with the line where it is.
  #expect(thunk.mergingForm(function) == swift("a.T.f()", "$s1a1TV1fyyF", line: 7))
  // A function that calls itself, one in another file, and names that are no form of each other.
  #expect(main.mergingForm(thunk) == nil)
  #expect(function.mergingForm(function) == nil)
  // One that calls itself through its witness stays as often as it is called.
  #expect(function.mergingForm(thunk) == nil)
  let other = Frame(function: "a.T.f()", module: "libother.so", mangled: "$s1a1TV1fyyFTA")
  #expect(function.mergingForm(other) == nil)
  let rust = [Frame(function: "a::f", mangled: "_RINvC1a1fhE"), Frame(function: "a::f", mangled: "_RINvC1a1ftE")]
  #expect(rust[0].mergingForm(rust[1]) == nil)
}

@Test func formsOfAFunctionAreOneNode() {
  var profile = Profile(unit: .samples)
  let process = Profile.Process(command: [97], pid: 1)
  profile.add(3, stack: Stack([swift("a.f()", "$s1a1fyyYaF", line: 1)]), process: process)
  profile.add(4, stack: Stack([swift("a.f()", "$s1a1fyyYaFTY0_", line: 2)]), process: process)
  #expect(outline(CallTree(profile)) == "all 0/7\n  a 0/7\n    a.f() 7/7")
}
