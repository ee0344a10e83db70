import Glibc
import Linux
import Profiles
import Symbolication
import SystemPackage
import TestSupport
import Testing

/// Programs that are built here, and names that `nm` gives for the same addresses.
@Suite(.serialized) struct SymbolizerTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A program that prints the addresses of its functions and then waits for its input to end.
  private static let source = """
    #include <stdio.h>
    #include <unistd.h>
    __attribute__((noinline)) int first(int x) { return x + 1; }
    __attribute__((noinline)) static int second(int x) { return first(x) * 2; }
    int main() {
      printf("%p %p %p %p\\n", (void *)first, (void *)second, (void *)main, (void *)printf);
      fflush(stdout);
      char byte;
      return second(0) + read(0, &byte, 1) > 100;
    }
    """

  private struct Program {
    var running: Running
    var addresses: [UInt64]
    var id: ProcessID { ProcessID(UInt32(running.pid)) }
  }

  private func start(_ path: String, _ arguments: [String] = []) throws -> Program {
    let running = try Running([path] + arguments, input: true)
    let line = try running.wait(for: "0x")
    return Program(running: running, addresses: line.split(separator: " ").compactMap { UInt64($0.dropFirst(2), radix: 16) })
  }

  private func name(_ answer: Symbolized) -> String {
    switch answer {
    case .frames(let frames): frames.map(\.function).joined(separator: "<")
    case .unknown(let reason): "? \(reason)"
    }
  }

  /// The last ones are not loaded where their headers count from: their addresses begin elsewhere, or not at the offsets in the file.
  @Test(arguments: [
    ["-O1"], ["-O1", "-no-pie"], ["-O1", "-static"], ["-O1", "-static-pie"], ["-O1", "-no-pie", "-Wl,-Ttext-segment=0x10000000"],
    ["-O1", "-pie", "-Wl,-Ttext-segment=0x3000000"], ["-O1", "-Wl,-z,max-page-size=0x200000"],
    ["-O1", "-fuse-ld=lld", "-Wl,-z,noseparate-code"], ["-O1", "-no-pie", "-fuse-ld=lld", "-Wl,--image-base=0x7000000"],
  ])
  func functionsOfLivingProgramsHaveTheirNames(_ flags: [String]) throws {
    let program = try start(try compile(Self.source, in: folder, flags: flags))
    defer { _ = program.running.finishAfterInput() }
    var symbolizer = Symbolizer()
    for (address, expected) in zip(program.addresses, ["first", "second", "main"]) {
      #expect(name(symbolizer.symbolize(VirtualAddress(address), .programCounter, in: program.id)) == expected)
      // A return address just after a function's last byte belongs to the function before.
      #expect(name(symbolizer.symbolize(VirtualAddress(address + 1), .returnAddress, in: program.id)) == expected)
    }
    let printf = name(symbolizer.symbolize(VirtualAddress(program.addresses[3]), .programCounter, in: program.id))
    #expect(["printf", "_IO_printf"].contains(printf) || flags.contains("-no-pie"), "\(printf)")
    #expect(symbolizer.report.named >= 6)
  }

  /// A prelinked library counts from another address than its debug file, which is older.
  @Test func prelinkedLibrariesHaveTheLinesOfTheirDebugFiles() throws {
    let source = try folder.file(
      "library.c",
      """
      static inline __attribute__((always_inline)) int inner(int x) { __asm__ volatile("nop" : "+r"(x)); return x; }
      static __attribute__((noinline)) int middle(int x) { return inner(x) + x; }
      int outer(int x) {
        return middle(x) + 1;
      }
      """)
    let library = folder.file("library.so")
    func link(_ path: String, at base: String) throws {
      try mustRun([
        "cc", "-shared", "-fPIC", "-O1", "-g", "-Wl,--build-id=0x0123456789", "-Wl,-Ttext-segment=\(base)", "-o", path, source,
      ])
    }
    try link(folder.file("first.so"), at: "0")
    try link(library, at: "0x5000000")
    let functions = try Fixture.oracle(folder.file("first.so"))
    let middle = try #require(functions.first { $0.name == "middle" })
    let outer = try #require(functions.first { $0.name == "outer" })
    try mustRun(["objcopy", "--only-keep-debug", folder.file("first.so"), folder.file("debug")])
    try mustRun(["sh", "-c", "cd \(folder.path) && strip library.so && objcopy --add-gnu-debuglink=debug library.so"])

    func describe(_ answer: Symbolized) -> [String] {
      guard case .frames(let frames) = answer else { return ["\(answer)"] }
      return frames.map { "\($0.function):\($0.line)" }
    }
    let first = try FileSymbolizer(FilePath(folder.file("first.so")))
    let prelinked = try FileSymbolizer(FilePath(library))
    var seen: Set<[String]> = []
    for address in middle.address..<(middle.address + middle.size) {
      let answer = describe(prelinked.symbolize(address + 0x5000000))
      #expect(answer == describe(first.symbolize(address)))
      seen.insert(answer)
    }
    #expect(seen.isSuperset(of: [["middle:2"], ["inner:1", "middle:2"]]))
    #expect(describe(prelinked.symbolize(middle.address)) == ["unknown(Symbolication.Symbolized.Reason.outsideSymbols)"])

    let loader = """
      #include <dlfcn.h>
      #include <stdio.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        char byte;
        void *library = dlopen(arguments[1], RTLD_NOW);
        printf("%p\\n", library ? dlsym(library, "outer") : 0);
        fflush(stdout);
        return read(0, &byte, 1);
      }
      """
    let program = try start(try compile(loader, in: folder, flags: ["-O1", "-ldl"]), [library])
    defer { _ = program.running.finishAfterInput() }
    var symbolizer = Symbolizer()
    #expect(
      describe(symbolizer.symbolize(VirtualAddress(program.addresses[0]), .programCounter, in: program.id))
        == describe(first.symbolize(outer.address)))
  }

  /// What compilers of other languages call their functions.
  @Test func namesOfOtherLanguagesAreReadable() throws {
    let names = [
      ("main.(*Server).handle", "main.(*Server).handle"), ("main.Map[go.shape.int]", "main.Map[go.shape.int]"),
      ("gopkg.in/yaml%2ev3.(*Decoder).Decode.func1", "gopkg.in/yaml.v3.(*Decoder).Decode.func1"), ("runtime.goexit.abi0", "runtime.goexit"),
      ("runtime·memmove", "runtime·memmove"), ("main.partition", "main.partition"), ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
      ("_ZN7mycrate3bar17h0123456789abcdefE", "mycrate::bar"), ("_ZN4shop5StockIiE3addEi.isra.0", "shop::Stock<int>::add(int)"),
      ("$s1a4MainV4mainyyYaKFZTQ0_", "static a.Main.main()"),
    ]
    let functions = names.indices.map { "int f\($0)(int x) __asm__(\"\(names[$0].0)\"); int f\($0)(int x) { return x + \($0); }" }
    let source = """
      #include <stdio.h>
      #include <unistd.h>
      \(functions.joined(separator: "\n"))
      int main() {
        char byte;
        printf("\(names.map { _ in "%p" }.joined(separator: " "))\\n", \(names.indices.map { "(void *)f\($0)" }.joined(separator: ", ")));
        fflush(stdout);
        return read(0, &byte, 1);
      }
      """
    let program = try start(try compile(source, in: folder, compiler: "clang"))
    defer { _ = program.running.finishAfterInput() }
    var symbolizer = Symbolizer()
    for (address, (mangled, readable)) in zip(program.addresses, names) {
      guard case .frames(let frames) = symbolizer.symbolize(VirtualAddress(address), .programCounter, in: program.id) else {
        Issue.record("\(mangled) has no name")
        continue
      }
      #expect(frames.map(\.function) == [readable])
      #expect(frames.map(\.mangled) == [mangled == readable ? nil : mangled])
    }
    #expect(program.addresses.count == names.count)
  }

  @Test func aStrippedProgramHasItsSeparateDebugFile() throws {
    let path = try compile(Self.source, in: folder)
    #expect(try run(["objcopy", "--only-keep-debug", path, "\(folder.path)/separate"]).status == 0)
    #expect(try run(["strip", path]).status == 0)
    var bare = Symbolizer()
    let before = try start(path)
    #expect(name(bare.symbolize(VirtualAddress(before.addresses[1]), .programCounter, in: before.id)).hasPrefix("?"))
    _ = before.running.finishAfterInput()
    #expect(try run(["objcopy", "--add-gnu-debuglink=\(folder.path)/separate", path]).status == 0)
    let after = try start(path)
    var symbolizer = Symbolizer()
    #expect(name(symbolizer.symbolize(VirtualAddress(after.addresses[1]), .programCounter, in: after.id)) == "second")
    _ = after.running.finishAfterInput()
  }

  @Test func deadProcessesAndDeletedFilesKeepTheirNames() throws {
    let path = try compile(Self.source, in: folder)
    let program = try start(path)
    unlink(path)
    var symbolizer = Symbolizer()
    symbolizer.processes.learn(program.id)
    _ = program.running.finishAfterInput()
    #expect(name(symbolizer.symbolize(VirtualAddress(program.addresses[0]), .programCounter, in: program.id)) == "first")
    #expect(name(symbolizer.symbolize(VirtualAddress(0x10), .programCounter, in: program.id)) == "? unmapped")
    #expect(name(symbolizer.symbolize(VirtualAddress(0x10), .programCounter, in: ProcessID(4_194_303))) == "? processGone")
    #expect(symbolizer.report.unknown == [.unmapped: 1, .processGone: 1])
  }

  /// Processes end all the time: whatever was read before stays, and what was not is said to be gone.
  @Test func processesThatVanishWhileBeingRead() throws {
    var symbolizer = Symbolizer()
    var answers: Set<String> = []
    for round in 0..<53 {
      let program = try start(try compileOnce())
      if round % 2 == 0 { symbolizer.processes.learn(program.id) }
      program.running.signal(SIGKILL)
      // Sometimes still there, sometimes a zombie, sometimes gone.
      if round % 3 == 0 { _ = program.running.finish() }
      let answer = name(symbolizer.symbolize(VirtualAddress(program.addresses[0]), .programCounter, in: program.id))
      if round % 2 == 0 { #expect(answer == "first") }
      answers.insert(answer)
      if round % 3 != 0 { _ = program.running.finish() }
    }
    #expect(
      answers.isSubset(of: ["first", "? processGone", "? unmapped", "? fileGone"]) && answers.contains("? processGone"), "\(answers)")
  }

  private func compileOnce() throws -> String {
    let path = "\(folder.path)/workload"
    return access(path, X_OK) == 0 ? path : try compile(Self.source, in: folder)
  }

  /// A program that puts its code into memory without a file, as some do for large pages.
  @Test(arguments: [[], ["-no-pie"]]) func movedCodeKeepsItsNames(_ flags: [String]) throws {
    let source = """
      #include <stdio.h>
      #include <string.h>
      #include <sys/mman.h>
      #include <unistd.h>
      __attribute__((noinline, aligned(8192))) int moved(int x) { return x * 3; }
      __attribute__((noinline, aligned(8192))) int behind(int x) { return x - 1; }
      int main() {
        static char copy[4096];
        char *page = (char *)moved, byte;
        memcpy(copy, page, sizeof(copy));
        if (mmap(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page) return 1;
        memcpy(page, copy, sizeof(copy));
        printf("%p %p\\n", (void *)moved, (void *)behind);
        fflush(stdout);
        return moved(1) + behind(2) + read(0, &byte, 1) > 100;
      }
      """
    let program = try start(try compile(source, in: folder, flags: ["-O1"] + flags))
    defer { _ = program.running.finishAfterInput() }
    var symbolizer = Symbolizer()
    #expect(name(symbolizer.symbolize(VirtualAddress(program.addresses[0] + 1), .programCounter, in: program.id)) == "moved")
    #expect(name(symbolizer.symbolize(VirtualAddress(program.addresses[1]), .programCounter, in: program.id)) == "behind")
    // Told of in order, the copy does not hide what it is a copy of.
    let maps = try #require(ProcessMaps(of: program.id))
    let code = try #require(maps[VirtualAddress(program.addresses[1])])
    var told = Symbolizer()
    let time = Clock.monotonic
    var whole = code
    whole.start = VirtualAddress(program.addresses[0])
    whole.offset = FileOffset(code.offset.rawValue - (code.start.rawValue - program.addresses[0]))
    told.processes.note(ProcessRecord(time: time, process: program.id, .executed))
    told.processes.note(ProcessRecord(time: time + 1, process: program.id, .mapped(whole)))
    told.processes.note(
      ProcessRecord(time: time + 2, process: program.id, .mapped(try #require(maps[VirtualAddress(program.addresses[0])]))))
    let number = told.processes.program(of: program.id, at: time + 3)
    #expect(name(told.symbolize(VirtualAddress(program.addresses[0]), .programCounter, in: program.id, program: number)) == "moved")
  }

  /// Numbers of processes come again: two may seem to be each other's parents, and a line of them may be long.
  @Test func ancestorsThatAreGoneEndTheSearch() {
    func gone(_ number: UInt32) -> ProcessID { ProcessID(4_194_304 + number) }
    var circle = Symbolizer()
    circle.processes.note(ProcessRecord(time: 1, process: gone(1), .forked(parent: gone(2))))
    circle.processes.note(ProcessRecord(time: 2, process: gone(2), .forked(parent: gone(1))))
    #expect(name(circle.symbolize(VirtualAddress(0x1000), .programCounter, in: gone(1))) == "? processGone")
    #expect(name(circle.symbolize(VirtualAddress(0x1000), .programCounter, in: gone(2))) == "? processGone")
    var line = Symbolizer()
    for number in 1..<UInt32(100_003) {
      line.processes.note(ProcessRecord(time: UInt64(number), process: gone(number), .forked(parent: gone(number - 1))))
    }
    #expect(name(line.symbolize(VirtualAddress(0x1000), .programCounter, in: gone(100_002))) == "? processGone")
  }

  /// Libraries that take turns in one place: an event has the names of what was there at its time, though it comes after all of that.
  @Test func whatReplacesCodeHasNamesOfItsOwn() throws {
    let start: UInt64 = 1 << 20
    func library(_ name: String) throws -> (mapping: Mapping, address: UInt64) {
      let flags = ["-O1", "-shared", "-fPIC", "-DNAME=\(name)"]
      let path = try compile("int NAME(int x) { return x * 3; }", in: folder, name: "\(name).so", flags: flags)
      let symbols = try mustRun(["nm", path]).split(separator: "\n").map { $0.split(separator: " ") }
      let address = try #require(symbols.first { $0.last == Substring(name) }.flatMap { UInt64($0[0], radix: 16) })
      let file = try #require(try File.identity(of: File.open(FilePath(path))))
      let mapping = Mapping(
        start: VirtualAddress(start), end: VirtualAddress(start + 0x10000), isExecutable: true, offset: FileOffset(0),
        device: file.mappedDevice, inode: file.inode, path: path)
      return (mapping, start + address)
    }
    let (one, two) = (try library("one"), try library("two"))
    var symbolizer = Symbolizer()
    // Beyond the largest number that Linux gives a process.
    let process = ProcessID(1 << 23)
    symbolizer.processes.note(ProcessRecord(time: 1, process: process, .executed))
    symbolizer.processes.note(ProcessRecord(time: 2, process: process, .mapped(one.mapping)))
    var programs = [symbolizer.processes.program(of: process, at: 3)]
    symbolizer.processes.note(ProcessRecord(time: 4, process: process, .mapped(two.mapping)))
    symbolizer.processes.note(ProcessRecord(time: 6, process: process, .mapped(one.mapping)))
    symbolizer.processes.note(ProcessRecord(time: 7, process: process, .mapped(one.mapping)))
    programs += [5, 8].map { symbolizer.processes.program(of: process, at: $0) }
    symbolizer.processes.forgetIdle(before: 9)
    let names = zip(programs, [one, two, one]).map { program, library in
      name(symbolizer.symbolize(VirtualAddress(library.address), .programCounter, in: process, program: program))
    }
    #expect(names == ["one", "two", "one"])
    // What is mapped again is nothing new.
    #expect(programs == [1, 2, 3])
  }

  @Test func theVDSOHasNames() throws {
    let program = try start(try compile(Self.source, in: folder))
    defer { _ = program.running.finishAfterInput() }
    let maps = try #require(ProcessMaps(of: program.id))
    let vdso = try #require(maps.mappings.first { $0.path == "[vdso]" })
    var symbolizer = Symbolizer()
    var names: Set<String> = []
    for address in stride(from: vdso.start.rawValue, to: vdso.end.rawValue, by: 16) {
      if case .frames(let frames) = symbolizer.symbolize(VirtualAddress(address), .programCounter, in: program.id) {
        names.formUnion(frames.map(\.function))
      }
    }
    #expect(names.contains("clock_gettime"), "\(names)")
  }
}

extension Running {
  /// Ends a program that waits for its input to end.
  func finishAfterInput() -> Finished {
    closeInput()
    return finish()
  }
}

/// What an event has been given a number for stays, whatever is lost later.
@Test func programsWithEventsOutliveLostRecords() {
  var symbolizer = Symbolizer()
  // Beyond the largest number that Linux gives a process.
  let process = ProcessID(1 << 23)
  symbolizer.processes.note(ProcessRecord(time: 1, process: process, .forked(parent: ProcessID(1 << 23 | 1))))
  symbolizer.processes.note(ProcessRecord(time: 2, process: process, .executed))
  let program = symbolizer.processes.program(of: process, at: 3)
  #expect(program == 1)
  symbolizer.processes.note(ProcessRecord(time: 4, process: ProcessID(0), .lost(1)))
  symbolizer.processes.note(ProcessRecord(time: 5, process: process, .exited))
  symbolizer.processes.forgetIdle(before: 6)
  guard case .unknown(.processGone) = symbolizer.symbolize(VirtualAddress(0x1000), .programCounter, in: process, program: program) else {
    Issue.record("a process without code has no names")
    return
  }
}
