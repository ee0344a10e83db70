import Glibc
import Linux
import Profiles
import TestSupport
import Testing

@testable import Symbolication

/// Writes the format as its specification has it.
struct JITDumpWriter {
  var bytes: [UInt8] = []

  init(version: UInt64 = 1) {
    for (value, size) in [(0x4A69_5444, 4), (version, 4), (40, 4), (62, 4), (0, 4), (1, 4), (0, 8), (0, 8)] as [(UInt64, Int)] {
      number(value, size)
    }
  }

  mutating func number(_ value: UInt64, _ size: Int) {
    for index in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }

  private mutating func record(_ kind: UInt64, _ fill: (inout JITDumpWriter) -> Void) {
    let start = bytes.count
    number(kind, 4)
    number(0, 4)
    number(1234, 8)
    fill(&self)
    let length = bytes.count - start
    for index in 0..<4 { bytes[start + 4 + index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
  }

  mutating func load(_ name: String, at address: UInt64, size: UInt64) {
    record(0) { out in
      for value in [0x2_0000_0001, address, address, size, 7] { out.number(value, 8) }
      out.bytes += Array(name.utf8) + [0] + [UInt8](repeating: 0x90, count: Int(size))
    }
  }

  mutating func move(from old: UInt64, to new: UInt64, size: UInt64) {
    record(1) { out in for value in [0x2_0000_0001, new, old, new, size, 7] { out.number(value, 8) } }
  }

  mutating func lines(at address: UInt64, _ lines: [(address: UInt64, line: UInt64, file: String?)]) {
    record(2) { out in
      out.number(address, 8)
      out.number(UInt64(lines.count), 8)
      for line in lines {
        out.number(line.address, 8)
        out.number(line.line, 4)
        out.number(0, 4)
        out.bytes += (line.file.map { Array($0.utf8) } ?? [0xff]) + [0]
      }
    }
  }
}

@Suite struct JITDumpTests {
  @Test func codeAndLinesAreRead() throws {
    var writer = JITDumpWriter()
    writer.lines(at: 0x1000, [(0x1000, 11, "/src/app.js"), (0x1008, 12, nil)])
    writer.load("first", at: 0x1000, size: 16)
    writer.load("second", at: 0x2000, size: 8)
    writer.move(from: 0x2000, to: 0x3000, size: 8)
    writer.load("newer", at: 0x1008, size: 4)
    let map = try #require(JITDump.parse(writer.bytes))
    #expect(map.name(of: 0x1007) == "first")
    #expect(map.name(of: 0x1008) == "newer" && map.name(of: 0x100c) == "first")
    #expect(map.name(of: 0x2007) == "second" && map.name(of: 0x3000) == "second" && map.name(of: 0x3008) == nil)
    #expect(map.line(of: 0x1003)?.file == "/src/app.js" && map.line(of: 0x1003)?.line == 11)
    #expect(map.line(of: 0x2001) == nil)
  }

  @Test func cutAndForeignFilesAreBounded() {
    var writer = JITDumpWriter()
    writer.load("first", at: 0x1000, size: 16)
    writer.load("second", at: 0x2000, size: 16)
    for length in 0..<writer.bytes.count {
      let map = JITDump.parse(Array(writer.bytes[..<length]))
      #expect(map?.name(of: 0x2000) == nil)
    }
    #expect(JITDump.parse(JITDumpWriter(version: 2).bytes) == nil)
    #expect(JITDump.parse(Array("not a dump".utf8)) == nil)
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<2000 {
      let map = JITDump.parse(mutated(writer.bytes, using: &generator))
      _ = map?.name(of: 0x1001)
    }
  }

  @Test(arguments: [("jit-12.dump", true), ("jit-.dump", false), ("jit-x.dump", false), ("ajit-1.dump", false), ("jit-1.dumps", false)])
  func filesAreKnownByTheirNames(_ name: String, _ expected: Bool) { #expect(JITDump.isMeant(by: name) == expected) }

  /// A process that makes code and records it; the names stay when it has ended and its file is gone.
  @Test func codeOfALivingProcess() throws {
    let folder = try TemporaryFolder()
    let program = try compile(
      """
      #include <fcntl.h>
      #include <stdio.h>
      #include <string.h>
      #include <sys/mman.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        char byte, dump[4096];
        char *code = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int file = open(arguments[1], O_RDWR);
        mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
        printf("%p\\n", (void *)code);
        fflush(stdout);
        read(0, &byte, 1);
        return 0;
      }
      """, in: folder)
    let dump = try folder.file("jit-77.dump", JITDumpWriter().bytes)
    let running = try Running([program, dump], input: true)
    let start = try #require(UInt64(try running.wait(for: "0x").dropFirst(2), radix: 16))
    var symbolizer = Symbolizer()
    symbolizer.processes.learn(ProcessID(UInt32(running.pid)))
    var writer = JITDumpWriter()
    writer.lines(at: start, [(start, 5, "/src/loop.js")])
    writer.load("hot_loop", at: start, size: 64)
    _ = try folder.file("jit-77.dump.new", writer.bytes)
    // The same file, longer.
    try mustRun(["sh", "-c", "cat \(dump).new > \(dump) && rm \(dump)"])
    _ = running.finishAfterInput()
    let answer = symbolizer.symbolize(VirtualAddress(start + 7), .programCounter, in: ProcessID(UInt32(running.pid)))
    guard case .frames(let frames) = answer else {
      Issue.record("no name: \(answer)")
      return
    }
    #expect(frames == [Frame(function: "hot_loop", module: "[jit]", file: "/src/loop.js", line: 5)])
  }
}
