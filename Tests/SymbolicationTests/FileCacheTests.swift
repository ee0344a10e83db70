import CLinux
import DebugInfo
import Glibc
import Linux
import Profiles
import SystemPackage
import TestSupport
import Testing

@testable import Symbolication

/// What an endless run keeps of files, and what it gives up.
@Suite(.serialized) struct FileCacheTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let source = """
    #include <stdio.h>
    #include <unistd.h>
    __attribute__((noinline)) int FUNCTION(int x) { return x + STEP; }
    int main() {
      char byte;
      printf("%p\\n", (void *)FUNCTION);
      fflush(stdout);
      return FUNCTION(0) + read(0, &byte, 1) > 100;
    }
    """

  private struct Program {
    var running: Running
    var address: UInt64
    var id: ProcessID { ProcessID(UInt32(running.pid)) }
  }

  private func build(_ function: String) throws -> String {
    // Names are no part of a build ID.
    let step = function.utf8.reduce(0) { $0 + Int($1) }
    let flags = ["-O1", "-static", "-DFUNCTION=\(function)", "-DSTEP=\(step)", "-Wl,--build-id=sha1"]
    return try compile(Self.source, in: folder, name: function, flags: flags)
  }

  private func start(_ arguments: [String]) throws -> Program {
    let running = try Running(arguments, input: true)
    return Program(running: running, address: try #require(UInt64(try running.wait(for: "0x").dropFirst(2), radix: 16)))
  }

  /// Runs a copy of a program in a mount namespace and on a file system of its own.
  private func startInContainer(_ path: String) throws -> Program {
    let place = folder.path
    let script =
      "mkdir -p \(place)/inside && mount -t tmpfs none \(place)/inside && cp -p \(path) \(place)/inside/copy && exec \(place)/inside/copy"
    return try start(["unshare", "--mount", "sh", "-c", script])
  }

  private func end(_ program: Program, _ symbolizer: inout Symbolizer) {
    _ = program.running.finishAfterInput()
    let time = Clock.monotonic
    symbolizer.processes.note(ProcessRecord(time: time, process: program.id, .exited))
    symbolizer.processes.forgetIdle(before: time + 1)
    symbolizer.processes.forgetNamed(before: time + 1, keeping: [])
    symbolizer.settle()
  }

  private func name(_ program: Program, _ symbolizer: inout Symbolizer) -> String {
    switch symbolizer.lookUp(VirtualAddress(program.address), .programCounter, in: program.id) {
    case .frames(let frames): frames.map(\.function).joined(separator: "<")
    case .unknown(let reason): "? \(reason)"
    }
  }

  /// Where what a process has open leads to: the file system of its program, and its mount namespace.
  private struct Place {
    var device: dev_t
    var namespace: ino_t

    init(of process: ProcessID) throws {
      var status = stat()
      try #require(stat("/proc/\(process)/exe", &status) == 0)
      device = status.st_dev
      try #require(stat("/proc/\(process)/ns/mnt", &status) == 0)
      namespace = status.st_ino
    }

    /// How many descriptors of this process lead there.
    var descriptors: Int {
      Directory.names("/proc/self/fd").count { name in
        var status = stat()
        guard let number = Int32(name), fstat(number, &status) == 0 else { return false }
        return status.st_dev == device
          || (File.target(of: FilePath("/proc/self/fd/\(name)")) == "mnt:[\(namespace)]" && status.st_ino == namespace)
      }
    }
  }

  @Test func aContainerThatEndedLeavesNoDescriptor() throws {
    let program = try startInContainer(try build("lonely"))
    let place = try Place(of: program.id)
    var symbolizer = Symbolizer(openFiles: 64, isEndless: true)
    symbolizer.processes.learn(program.id)
    #expect(name(program, &symbolizer) == "lonely")
    // The namespace, the file, and the file once more, because it is not mapped.
    #expect(place.descriptors == 3)
    end(program, &symbolizer)
    // The index stays for a while, for the next that runs the program.
    #expect(place.descriptors == 2)
    symbolizer.processes.files.dropUnused(now: Clock.monotonic + FileCache.lifetime + 1)
    #expect(place.descriptors == 0)
  }

  /// Equal programs share one index: when the first that was read is gone, the others are read by their own files.
  @Test func anEqualProgramDoesNotKeepAContainer() throws {
    let path = try build("shared")
    let (first, second) = (try startInContainer(path), try startInContainer(path))
    let (one, two) = (try Place(of: first.id), try Place(of: second.id))
    #expect(one.device != two.device && one.namespace != two.namespace)
    var symbolizer = Symbolizer(openFiles: 64, isEndless: true)
    for program in [first, second] {
      symbolizer.processes.learn(program.id)
      #expect(name(program, &symbolizer) == "shared")
    }
    #expect(one.descriptors == 3 && two.descriptors == 2)
    end(first, &symbolizer)
    symbolizer.processes.files.trim(to: 0)
    #expect(one.descriptors == 0 && two.descriptors == 2)
    #expect(name(second, &symbolizer) == "shared")
    #expect(one.descriptors == 0 && two.descriptors == 3)
    end(second, &symbolizer)
    symbolizer.processes.files.trim(to: 0)
    #expect(two.descriptors == 0)
  }

  /// Without a trim, too: what others have mapped is read anew.
  @Test func anIndexThatWasReadElsewhereIsGivenUp() throws {
    let path = try build("again")
    let (first, second) = (try startInContainer(path), try startInContainer(path))
    let one = try Place(of: first.id)
    var symbolizer = Symbolizer(openFiles: 64, isEndless: true)
    for program in [first, second] { symbolizer.processes.learn(program.id) }
    #expect(name(first, &symbolizer) == "again" && name(second, &symbolizer) == "again")
    end(first, &symbolizer)
    symbolizer.processes.files.dropUnused(now: Clock.monotonic)
    #expect(name(second, &symbolizer) == "again")
    symbolizer.processes.files.dropUnused(now: Clock.monotonic + FileCache.lifetime + 1)
    #expect(one.descriptors == 0)
    #expect(name(second, &symbolizer) == "again")
    _ = second.running.finishAfterInput()
  }

  /// One file in two containers, under a path that swtrace has not: it goes on by the way of the second.
  @Test func aFileOfTwoContainersKeepsNoneOfThem() throws {
    let path = try build("common")
    try mustRun(["mkdir", "-p", "\(folder.path)/data", "\(folder.path)/seen"])
    try mustRun(["cp", path, "\(folder.path)/data/tool"])
    let script = "mount --bind \(folder.path)/data \(folder.path)/seen && exec \(folder.path)/seen/tool"
    func start() throws -> Program { try self.start(["unshare", "--mount", "sh", "-c", script]) }
    func namespaces(_ place: Place) -> Int {
      Directory.names("/proc/self/fd").count { File.target(of: FilePath("/proc/self/fd/\($0)")) == "mnt:[\(place.namespace)]" }
    }
    var symbolizer = Symbolizer(openFiles: 64, isEndless: true)
    let first = try start()
    let one = try Place(of: first.id)
    symbolizer.processes.learn(first.id)
    #expect(name(first, &symbolizer) == "common" && namespaces(one) == 1)
    let second = try start()
    symbolizer.processes.learn(second.id)
    end(first, &symbolizer)
    #expect(namespaces(one) == 0)
    #expect(name(second, &symbolizer) == "common")
    // One that begins after that is another way to the file.
    let third = try start()
    symbolizer.processes.learn(third.id)
    end(second, &symbolizer)
    #expect(name(third, &symbolizer) == "common")
    #expect(symbolizer.processes.files.openCount == 1)
    _ = third.running.finishAfterInput()
  }

  /// More programs than may be open: all have names, and what was closed is opened by its path.
  @Test func noMoreFilesAreOpenThanMayBe() throws {
    let programs = try (0..<7).map { number in
      let path = try build("number\(number)")
      return try start([path])
    }
    defer { for program in programs { _ = program.running.finishAfterInput() } }
    func open() -> Int {
      Directory.names("/proc/self/fd").count { (File.target(of: FilePath("/proc/self/fd/\($0)")) ?? "").hasPrefix("\(folder.path)/number") }
    }
    var symbolizer = Symbolizer(openFiles: 3, isEndless: true)
    for program in programs { symbolizer.processes.learn(program.id) }
    #expect(symbolizer.processes.files.openCount == 3 && open() == 3)
    for round in 0..<3 {
      for (number, program) in programs.enumerated() {
        #expect(name(program, &symbolizer) == "number\(number)")
        #expect(symbolizer.processes.files.openCount <= 3 && open() <= 3)
        if round == 1 { symbolizer.settle() }
      }
    }
    // Another file in its place is not taken for it.
    try mustRun(["sh", "-c", "cd \(folder.path) && rm number0 && cp number1 number0"])
    #expect(name(programs[0], &symbolizer) == "? fileGone")
    #expect(name(programs[1], &symbolizer) == "number1")
  }

  /// Those go first that were not used for the longest time, and equal files count once.
  @Test func indexesLeaveByTheirLastUse() throws {
    let programs = try ["first", "second", "third"].map { try start([try build($0)]) }
    defer { for program in programs { _ = program.running.finishAfterInput() } }
    var symbolizer = Symbolizer(openFiles: 64, isEndless: true)
    func sizes(_ symbolizer: Symbolizer) -> [Int] {
      programs.map { program in
        let object = symbolizer.processes.code(of: program.id).first { $0.object.isFile }?.object
        guard case .ready(let symbols)? = object?.state else { return 0 }
        return symbols.memoryUse
      }
    }
    for program in programs {
      symbolizer.processes.learn(program.id)
      _ = name(program, &symbolizer)
    }
    #expect(name(programs[0], &symbolizer) == "first")
    let all = sizes(symbolizer)
    #expect(all.allSatisfy { $0 > 0 })
    symbolizer.settle([], limit: all.reduce(0, +))
    #expect(sizes(symbolizer) == all)
    symbolizer.settle([], limit: all[0] + all[2])
    #expect(sizes(symbolizer) == [all[0], 0, all[2]])
    #expect(name(programs[1], &symbolizer) == "second")
    #expect(sizes(symbolizer) == all)
    symbolizer.settle([], limit: all[1])
    #expect(sizes(symbolizer) == [0, all[1], 0])
    symbolizer.settle([], limit: all[1] - 1)
    #expect(sizes(symbolizer) == [0, 0, 0])
    let names = programs.map { name($0, &symbolizer) }
    #expect(names == ["first", "second", "third"])
  }
}

/// Programs that a process has run.
@Suite struct TracedProcessTests {
  /// A process that begins another program for ever is not remembered with all of them, and its numbers go on.
  @Test func programsAreForgottenOnceTheyAreNamed() throws {
    let second: UInt64 = 1_000_000_000
    var symbolizer = Symbolizer(isEndless: true)
    // Beyond the largest number that Linux gives a process.
    let process = ProcessID(1 << 23)
    func mapping(_ start: UInt64) -> Mapping {
      Mapping(
        start: VirtualAddress(start), end: VirtualAddress(start + 4096), isExecutable: true, offset: FileOffset(0), device: 0, inode: 0,
        path: "")
    }
    var incarnations: Set<TracedProcesses.Incarnation> = []
    for number in 1...1000 as ClosedRange<UInt64> {
      symbolizer.processes.note(ProcessRecord(time: number * second, process: process, .executed))
      symbolizer.processes.note(ProcessRecord(time: number * second + 1, process: process, .mapped(mapping(number << 20))))
      #expect(symbolizer.processes.program(of: process, at: number * second + 2) == Int(number))
      incarnations.insert(try #require(symbolizer.processes.incarnation(of: process)))
    }
    #expect(incarnations.count == 1000)
    func known(_ symbolizer: Symbolizer) -> [Int] { (0...1000).filter { !symbolizer.processes.code(of: process, program: $0).isEmpty } }
    #expect(known(symbolizer) == Array(1...1000))
    // Events of the last second before may still be without names, in another window.
    symbolizer.processes.forgetNamed(before: 990 * second + second / 2, keeping: [process.rawValue])
    #expect(known(symbolizer) == Array(989...1000))
    #expect(symbolizer.processes.program(of: process, at: 995 * second + 2) == 995)
    #expect(symbolizer.processes.program(of: process, at: 3) == 989)
    #expect(symbolizer.processes.isLatest(1000, of: process) && !symbolizer.processes.isLatest(999, of: process))
    guard case .unknown(.processGone) = symbolizer.lookUp(VirtualAddress(5 << 20), .programCounter, in: process, program: 5),
      case .unknown(.anonymous) = symbolizer.lookUp(VirtualAddress(995 << 20), .programCounter, in: process, program: 995),
      case .unknown(.processGone) = symbolizer.lookUp(VirtualAddress(5 << 20), .programCounter, in: process, program: 1001)
    else {
      Issue.record("programs that are forgotten have no code, the others have theirs")
      return
    }
    symbolizer.processes.note(ProcessRecord(time: 2000 * second, process: process, .executed))
    #expect(symbolizer.processes.program(of: process, at: 2001 * second) == 1001)
  }
}
