import Foundation
import Glibc
import Linux
import Profiles
import TestSupport
import Testing

@testable import Symbolication

@Suite struct PerfMapTests {
  private func map(_ text: String) -> CodeMap { PerfMap.parse(Array(text.utf8)) }

  @Test func linesAreRead() {
    let map = map(
      "1000 10 first\n0x2000 20 second name; with blanks\nnonsense\n3000 zz bad\n4000 10\n3000 0 empty\nffffffffffffffff 2 wraps\n5000 10 unfinished"
    )
    #expect(map.name(of: 0xfff) == nil)
    #expect(map.name(of: 0x1000) == "first")
    #expect(map.name(of: 0x100f) == "first")
    #expect(map.name(of: 0x1010) == nil)
    #expect(map.name(of: 0x2010) == "second name; with blanks")
    #expect(map.name(of: 0x3000) == nil)
    #expect(map.name(of: 0x5000) == nil)
    #expect(map.name(of: .max) == nil)
  }

  /// Beside a search through all lines, for ranges that overlap in every way.
  @Test func laterLinesWin() {
    var state: UInt64 = 11
    func random(_ limit: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % limit
    }
    for _ in 0..<200 {
      let extents = (0..<1 + random(40)).map { _ in (low: random(200), size: 1 + random(60)) }
      let map = map(extents.enumerated().map { "\(String($1.low, radix: 16)) \(String($1.size, radix: 16)) f\($0)\n" }.joined())
      for address in 0..<UInt64(270) {
        let expected = extents.lastIndex { $0.low <= address && address < $0.low + $0.size }
        #expect(map.name(of: address) == expected.map { "f\($0)" })
      }
    }
  }

  /// A process that makes code, and says so in its file.
  @Test func codeOfALivingProcess() throws {
    let folder = try TemporaryFolder()
    let program = try compile(
      """
      #define _GNU_SOURCE
      #include <stdio.h>
      #include <sys/mman.h>
      #include <sys/stat.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        char name[64], byte;
        char *code = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        sprintf(name, "/tmp/perf-%d.map", getpid());
        FILE *map = fopen(name, "w");
        fprintf(map, "%lx 40 compiled loop\\n%lx 40 _ZN3app4workEv\\n", (long)code, (long)code + 64);
        fclose(map);
        printf("%p\\n", (void *)code);
        fflush(stdout);
        read(0, &byte, 1);
        /* Not to be believed from here on. */
        unlink(name);
        if (count > 1) symlink(arguments[1], name);
        printf("changed\\n");
        fflush(stdout);
        read(0, &byte, 1);
        unlink(name);
        return 0;
      }
      """, in: folder)
    let other = try folder.file("other", "1000 ffffffffff stolen\n")
    let running = try Running([program, other], input: true)
    let start = try #require(UInt64(try running.wait(for: "0x").dropFirst(2), radix: 16))
    let process = ProcessID(UInt32(running.pid))
    func name(_ symbolizer: inout Symbolizer, _ address: UInt64) -> String {
      switch symbolizer.symbolize(VirtualAddress(address), .programCounter, in: process) {
      case .frames(let frames): frames.map { "\($0.function) \($0.module)" }.joined()
      case .unknown(let reason): "? \(reason)"
      }
    }
    var symbolizer = Symbolizer()
    #expect(name(&symbolizer, start) == "compiled loop [jit]")
    #expect(name(&symbolizer, start + 64) == "app::work() [jit]")
    #expect(name(&symbolizer, start + 4096) == "? anonymous")
    running.write("g")
    _ = try running.wait(for: "changed")
    // What it knows it keeps; another one does not follow the link to a file that the process may not own.
    #expect(name(&symbolizer, start + 1) == "compiled loop [jit]")
    var late = Symbolizer()
    #expect(name(&late, start) == "? anonymous")
    running.closeInput()
    _ = running.finish()
  }
}
