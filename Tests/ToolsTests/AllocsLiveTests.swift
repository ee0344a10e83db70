import Foundation
import TestSupport
import Testing

/// allocs: numbers and bytes of allocations that a program makes, by all functions that the C library has for it.
@Suite(.requiresBPF, .serialized) struct AllocsLiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Allocates in known functions, with pauses, so that a ring that is read by the clock has room for every stack.
  private func workload(_ libraries: Libraries = .system) throws -> String {
    try compile(
      """
      #define _GNU_SOURCE
      #include <malloc.h>
      #include <stdint.h>
      #include <stdlib.h>
      #include <string.h>
      #include <unistd.h>
      void *volatile sink;
      static void rest(int i) { if (i % 8 == 0) usleep(2000); }
      __attribute__((noinline)) void plain(int count) { for (int i = 0; i < count; i++) { rest(i); sink = malloc(97); free(sink); } }
      __attribute__((noinline)) void zeroed(int count) { for (int i = 0; i < count; i++) { rest(i); sink = calloc(3, 89); free(sink); } }
      __attribute__((noinline)) void grown(int count) {
        sink = 0;
        for (int i = 0; i < count; i++) { rest(i); sink = realloc(sink, 1013 * (i + 1)); }
        free(sink);
      }
      __attribute__((noinline)) void aligned(int count) {
        for (int i = 0; i < count; i++) {
          void *made = 0;
          rest(i);
          if (!posix_memalign(&made, 64, 71)) free(made);
          /* No more than the alignment of all: the library may call malloc. */
          if (!posix_memalign(&made, 8, 31)) free(made);
          sink = aligned_alloc(16, 48); free(sink);
          sink = memalign(256, 41); free(sink);
        }
      }
      __attribute__((noinline)) void ofLibrary(int count) { for (int i = 0; i < count; i++) { rest(i); sink = strdup("twelve bytes"); free(sink); } }
      /* What cannot be had. */
      __attribute__((noinline)) void failing(int count) {
        volatile size_t much = SIZE_MAX / 2;
        for (int i = 0; i < count; i++) { sink = malloc(much); sink = calloc(much, 4); sink = calloc((size_t)1 << 46, (1 << 20) + 1); }
      }
      __attribute__((noinline)) void large(int count) { for (int i = 0; i < count; i++) { rest(i); sink = malloc(1000003); free(sink); } }
      /* At its first instruction a function has no frame yet, which hides who calls it: the caller's caller is shown. */
      #define AROUND(name) __attribute__((noinline)) void around_##name(const char *count) { name(atoi(count)); sink = 0; }
      AROUND(plain) AROUND(zeroed) AROUND(grown) AROUND(aligned) AROUND(ofLibrary) AROUND(failing) AROUND(large)
      int main(int count, char **arguments) {
        around_plain(arguments[1]);
        around_zeroed(arguments[2]);
        around_grown(arguments[3]);
        around_aligned(arguments[4]);
        around_ofLibrary(arguments[5]);
        around_failing(arguments[6]);
        around_large(arguments[7]);
        return 0;
      }
      """, in: folder, name: "allocator", compiler: libraries == .system ? "clang" : "musl-gcc",
      flags: ["-O1", "-fno-builtin", "-fno-optimize-sibling-calls", "-fno-omit-frame-pointer"]
        + (libraries == .staticMusl ? ["-static"] : []))
  }

  private enum Libraries { case system, musl, staticMusl }

  private struct Found {
    var stacks: [[String: Any]]
    var counts: (seen: Int, filtered: Int, delivered: Int, lost: [String: Int])
    var messages: String

    /// Of stacks with a function, or of all.
    func sum(_ member: String, in function: String? = nil) -> Int {
      stacks.filter { stack in
        function == nil || (stack["frames"] as? [[String: Any]] ?? []).contains { $0["function"] as? String == function }
      }.reduce(0) { $0 + ($1[member] as? Int ?? 0) }
    }
  }

  private func trace(
    _ options: [String], _ workload: [Int], by runner: [String] = [], with libraries: Libraries = .system
  ) throws -> Found {
    let finished = try Swtrace.run(
      ["allocs", "--comm", "allocator", "--format", "json"] + options + ["--"] + runner + [try self.workload(libraries)]
        + workload.map(String.init))
    #expect(finished.status == 0, "\(finished.errorText)")
    let records = try finished.json()
    let found = Found(
      stacks: records.filter { $0["type"] as? String == "stack" }, counts: try summary(of: records), messages: finished.errorText)
    #expect(found.counts.lost.filter { $0.value > 0 } == [:], "\(finished.errorText)")
    #expect(found.stacks.allSatisfy { $0["unit"] as? String == "bytes" && $0["comm"] as? String == "allocator" })
    #expect(found.sum("count") == found.counts.delivered)
    return found
  }

  /// With an interval of one byte each allocation is there once, with its own size, whatever function of the library it went through.
  @Test func everyAllocationCountsOnce() throws {
    let found = try trace(["--interval", "1", "--unwind", "fp"], [211, 103, 53, 31, 47, 17, 7])
    let grown = (1...53).reduce(0) { $0 + 1013 * $1 }
    // Where the library uses the frame pointer for something else, because it aligns or calls malloc itself, there is no caller.
    var total = (31 * 4 + 47, 31 * (71 + 31 + 48 + 41) + 47 * 13)
    for (function, count, bytes) in [
      ("plain", 211, 211 * 97), ("zeroed", 103, 103 * 3 * 89), ("grown", 53, grown), ("failing", 0, 0), ("large", 7, 7 * 1_000_003),
    ] {
      #expect(found.sum("count", in: "around_" + function) == count, "\(function)")
      #expect(found.sum("value", in: "around_" + function) == bytes, "\(function)")
      total = (total.0 + count, total.1 + bytes)
    }
    #expect(found.sum("count") == total.0 && found.sum("value") == total.1)
    // Those that fail were seen, too.
    #expect(found.counts.filtered >= 3 * 17)
  }

  /// By musl's own functions, of which some call others than glibc's do. Nobody needs to have the library mapped before: it is what starts
  /// the command.
  @Test func everyAllocationOfMuslCountsOnce() throws {
    let found = try trace(["--interval", "1", "--unwind", "fp"], [211, 103, 53, 31, 47, 17, 7], with: .musl)
    let grown = (1...53).reduce(0) { $0 + 1013 * $1 }
    for (function, count, bytes) in [
      ("plain", 211, 211 * 97), ("zeroed", 103, 103 * 3 * 89), ("grown", 53, grown), ("aligned", 31 * 4, 31 * (71 + 31 + 48 + 41)),
      ("failing", 0, 0), ("large", 7, 7 * 1_000_003),
    ] {
      #expect(found.sum("count", in: "around_" + function) == count, "\(function)")
      #expect(found.sum("value", in: "around_" + function) == bytes, "\(function)")
    }
    // The library's own calls have no caller: it uses the frame pointer for something else.
    #expect(found.sum("count") == 211 + 103 + 53 + 31 * 4 + 47 + 7)
    #expect(found.sum("value") == 211 * 97 + 103 * 3 * 89 + grown + 31 * (71 + 31 + 48 + 41) + 47 * 13 + 7 * 1_000_003)
  }

  /// It has malloc linked in: nothing is seen, and that is said.
  @Test func aStaticProgramIsToldOf() throws {
    let found = try trace(["--interval", "1"], [211, 0, 0, 0, 0, 0, 0], with: .staticMusl)
    #expect(found.counts.delivered == 0)
    #expect(
      found.messages.contains(
        "\(folder.path)/allocator has its allocator linked in: its own allocations are not seen, only those of programs that it starts\n"),
      "\(found.messages)")
  }

  /// Functions of a program that lies on an overlay have their names, those of the layer below and those of a file that was changed.
  @Test(arguments: ["", "touch FOLDER/merged/allocator && "]) func functionsOnAnOverlayHaveNames(_ change: String) throws {
    for name in ["lower", "merged"] {
      try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
    }
    // A file system that can hold the upper layer, whatever the temporary folder is on.
    let command =
      "mount -t tmpfs none FOLDER/lower && mkdir FOLDER/lower/lower FOLDER/lower/upper FOLDER/lower/work && "
      + "cp FOLDER/allocator FOLDER/lower/lower && mount -t overlay overlay "
      + "-o lowerdir=FOLDER/lower/lower,upperdir=FOLDER/lower/upper,workdir=FOLDER/lower/work FOLDER/merged && \(change)"
      + "shift && exec FOLDER/merged/allocator \"$@\""
    let found = try trace(
      ["--interval", "1", "--unwind", "fp"], [211, 103, 0, 0, 0, 0, 7],
      by: ["unshare", "-m", "sh", "-c", command.replacingOccurrences(of: "FOLDER", with: folder.path), "sh"])
    #expect(found.sum("count") == 211 + 103 + 7)
    for (function, count) in [("plain", 211), ("zeroed", 103), ("large", 7)] {
      #expect(found.sum("count", in: "around_" + function) == count, "\(function)")
    }
  }

  /// A library that comes when the trace has begun is attached to: of a process that lives on, its later allocations are seen.
  @Test func aLibraryThatComesLaterIsFound() throws {
    let program = try compile(
      """
      #define _GNU_SOURCE
      #include <dlfcn.h>
      #include <stdlib.h>
      #include <unistd.h>
      void *volatile sink;
      /* Whether there is a breakpoint where the function begins. */
      static int is_watched(const char *function) {
        const volatile unsigned char *code = dlsym(RTLD_DEFAULT, function);
      #if defined(__x86_64__)
        return code[0] == 0xcc;
      #else
        return code[0] == 0xa0 && code[1] == 0 && code[2] == 0x20 && code[3] == 0xd4;
      #endif
      }
      /* The last one that is attached to is there when all are. */
      int main(void) {
        alarm(120);
        while (!is_watched("aligned_alloc")) usleep(1000);
        for (int i = 0; i < 211; i++) { if (i % 8 == 0) usleep(2000); sink = malloc(97); free(sink); }
        return 0;
      }
      """, in: folder, name: "comes-later", compiler: "musl-gcc", flags: ["-O1", "-fno-builtin"])
    let finished = try Swtrace.run([
      "allocs", "--comm", "comes-later", "--interval", "1", "--format", "json", "--propagate-exit", "--", "sh", "-c", "exec \"$0\"",
      program,
    ])
    #expect(finished.status == 0, "\(finished.errorText)")
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.delivered == 211, "\(finished.errorText)")
    #expect(records.reduce(0) { $0 + ($1["type"] as? String == "stack" ? $1["value"] as? Int ?? 0 : 0) } == 211 * 97)
  }

  /// Each stands for the interval, and is taken by the part that it is of it: within six standard deviations. Larger ones are all taken.
  @Test func sampledBytesSumUpToAllOfThem() throws {
    let found = try trace(["--interval", "4096"], [20_011, 0, 0, 0, 0, 0, 7])
    let taken = found.sum("count") - 7
    #expect(found.sum("value") == taken * 4096 + 7 * 1_000_003)
    // A mean of 474 with a deviation of 21.5.
    #expect(abs(Double(taken) - 20_011 * 97 / 4096) < 6 * (20_011.0 * 97 / 4096).squareRoot(), "\(taken)")
    #expect(found.counts.filtered + found.counts.delivered >= 20_018)
    // By rules: malloc has no frame yet.
    #expect(found.sum("value", in: "plain") > 0)
  }

  /// Two files, each is seen. One file in two mounts, where it looks like two: each allocation counts once.
  @Test(arguments: [
    "", "mount -t overlay overlay -o lowerdir=FOLDER/lower:FOLDER/none FOLDER/merged && ",
  ]) func aLibraryCountsOnceHoweverItIsReached(_ mount: String) throws {
    let known = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"]
    let library = try #require(known.first { FileManager.default.fileExists(atPath: $0) })
    for name in ["lower", "none", "merged"] {
      try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
    }
    let copy = folder.file(mount.isEmpty ? "merged/libc.so.6" : "lower/libc.so.6")
    try FileManager.default.copyItem(atPath: URL(fileURLWithPath: library).resolvingSymlinksInPath().path, toPath: copy)
    let command = mount.replacingOccurrences(of: "FOLDER", with: folder.path) + "LD_LIBRARY_PATH=\(folder.path)/merged exec \"$@\""
    let runner = ["unshare", "-m", "sh", "-c", command, "sh"]
    // Both are there before the trace begins.
    let holders = try (0..<2).map { _ in try Running(runner + ["cat"], input: true) }
    defer {
      for holder in holders {
        holder.closeInput()
        _ = holder.finish()
      }
    }
    for holder in holders {
      while try !String(contentsOfFile: "/proc/\(holder.pid)/comm", encoding: .utf8).hasPrefix("cat")
        || !String(contentsOfFile: "/proc/\(holder.pid)/maps", encoding: .utf8).contains("libc.so.6")
      {
        try #require(!holder.hasEnded)
        sched_yield()
      }
    }
    let pids = "/proc/\(holders[0].pid)/root\(folder.path)/merged"
    let found = try trace(
      ["--interval", "1", "--unwind", "fp"], [211, 0, 0, 0, 0, 0, 0],
      by: ["env", "LD_LIBRARY_PATH=\(mount.isEmpty ? folder.path + "/merged" : pids)"])
    #expect(found.sum("count") == 211 && found.sum("value") == 211 * 97)
  }

  /// Files that anybody names as C libraries: what is none takes no place, of others the library of most processes comes first, and that
  /// there are too many is said once.
  @Test(arguments: [false, true]) func namesTakeNoPlaces(_ areLibraries: Bool) throws {
    let library = try compile(
      "void *malloc(unsigned long size) { return 0; }", in: folder, name: "library", compiler: "clang",
      flags: ["-shared", "-nostdlib", "-fPIC", "-fno-builtin"])
    let count = areLibraries ? 70 : 200
    for number in 0..<count {
      let path = folder.file("\(number)")
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      if areLibraries {
        try FileManager.default.copyItem(atPath: library, toPath: "\(path)/libc.so.6")
      } else {
        try Data("no library".utf8).write(to: URL(fileURLWithPath: "\(path)/libc.so.6"))
      }
      // Too large for gaps between others: it is mapped below them, and found before them.
      #expect(truncate("\(path)/libc.so.6", 64 << 20) == 0)
    }
    let holder = try Running(
      [
        "python3", "-c",
        """
        import mmap, os, sys
        mapped, done = os.pipe()
        for number in range(int(sys.argv[2])):
            if os.fork() == 0:
                file = os.open(f"{sys.argv[1]}/{number}/libc.so.6", os.O_RDONLY)
                kept = mmap.mmap(file, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
                os.write(done, b"x")
                os.read(0, 1)
                os._exit(0)
        for number in range(int(sys.argv[2])):
            os.read(mapped, 1)
        print("ready", flush=True)
        os.read(0, 1)
        """, folder.path, "\(count)",
      ], input: true)
    defer {
      holder.closeInput()
      _ = holder.finish()
    }
    #expect(holder.readLine() == "ready")
    let maps = try String(contentsOfFile: "/proc/\(holder.pid)/task/\(holder.pid)/children", encoding: .utf8).split(separator: " ").map {
      try String(contentsOfFile: "/proc/\($0)/maps", encoding: .utf8)
    }
    #expect(maps.count == count)
    #expect(maps.allSatisfy { $0.split(separator: "\n").first { $0.hasSuffix("/libc.so.6") }?.contains(folder.path) == true })
    let found = try trace(["--interval", "1", "--unwind", "fp"], [211, 0, 0, 0, 0, 0, 0])
    #expect(found.sum("count") == 211 && found.sum("value") == 211 * 97)
    #expect(found.messages.components(separatedBy: "more than 64 files").count == (areLibraries ? 2 : 1), "\(found.messages)")
    #expect(!found.messages.contains(folder.path), "\(found.messages)")
  }

  @Test(arguments: [
    (["--interval", "0"], "the interval is 1 to 1073741824 bytes, not 0"), (["-K"], "allocations have no kernel stacks: leave out -K"),
  ]) func wrongUsageExitsWith64(_ arguments: [String], _ expected: String) throws {
    let finished = try Swtrace.run(["allocs"] + arguments)
    #expect(finished.status == 64 && finished.errorText.contains(expected), "\(finished.errorText)")
  }
}
