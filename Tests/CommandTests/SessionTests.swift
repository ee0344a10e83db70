import Foundation
import TestSupport
import Testing

/// How runs begin and end, whatever the tool and the kernel.
@Suite(.requiresBPF, .serialized) struct SessionTests {
  /// Starts a tool that sees this test's own opens, and waits for the first.
  private func started(_ arguments: [String] = [], format: String = "json") throws -> Running {
    let running = try Swtrace.start(["opensnoop", "--format", format, "--pid", "\(getpid())"] + arguments)
    let opener = Opener(path: "/proc/self/limits")
    defer { opener.stop() }
    _ = try running.wait(for: "/proc/self/limits")
    return running
  }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP]) func signalsEndWithTheSummary(_ signal: Int32) throws {
    let running = try started()
    running.signal(signal)
    let finished = running.finish()
    #expect(finished.status == 0)
    _ = try summary(of: try finished.json())
  }

  /// No event has a thread's id for its process: such a run would print nothing.
  @Test func aThreadIsNoProcess() throws {
    let program = "import sys, threading; t = threading.Thread(target=sys.stdin.read); t.start(); print(t.native_id, flush=True)"
    let threaded = try Running(["python3", "-c", program], input: true)
    let thread = try #require(threaded.readLine())
    for list in [thread, "\(threaded.pid),\(thread)"] {
      let finished = try Swtrace.run(["opensnoop", "-d", "1ms", "-p", list])
      #expect(finished.status == 1)
      #expect(
        finished.errorText.contains(
          "\(thread) is a thread of process \(threaded.pid) ('python3'); use --pid \(threaded.pid) or --tid \(thread)"))
    }
    let both = try Swtrace.run(["opensnoop", "-d", "1ms", "-p", "\(threaded.pid)", "-t", thread])
    #expect(both.status == 0)
    threaded.closeInput()
    #expect(threaded.finish().status == 0)
  }

  @Test func positionalIntervalAndCount() throws {
    for tool in ["runqlat", "cpudist", "biolatency"] {
      let records = try Swtrace.run([tool, "100ms", "3", "--format", "json"]).json()
      #expect(records.count { $0["type"] as? String == "histogram" } == 3)
      #expect(try #require(records.last?["duration_ns"] as? Int) >= 300_000_000)
    }
  }

  /// Said on a terminal only, by tools of every kind, and wiped away before the output.
  @Test func progressIsShownOnATerminal() throws {
    let folder = try TemporaryFolder()
    for (number, tool) in ["runqlat", "opensnoop --comm kthreadd", "funccount c:qsort", "profile"].enumerated() {
      let terminal = folder.file("\(number)")
      // A shell that waits for the tool would die of the same Ctrl-C.
      let running = try Running(["script", "-qefc", "exec \(Swtrace.path) \(tool) -o /dev/null", terminal], input: true)
      while !running.hasEnded, (try? String(contentsOfFile: terminal, encoding: .utf8))?.contains("s; Ctrl-C ends") != true {
        usleep(10_000)
      }
      // Ctrl-C
      running.write("\u{3}")
      let finished = running.finish()
      #expect(finished.status == 0, "\(tool): \(finished.outputText)")
      #expect(finished.outputText.contains("s; Ctrl-C ends"), "\(tool): \(finished.outputText)")
      #expect(finished.outputText.contains("\r\u{1b}[K"))
    }
    #expect(!(try Swtrace.run(["runqlat", "--duration", "1500ms"])).errorText.contains("Ctrl-C ends"))
  }

  @Test func aClosedReaderEndsQuietly() throws {
    let running = try started()
    running.closeOutput()
    let opener = Opener(path: "/proc/self/limits")
    defer { opener.stop() }
    let finished = running.finish()
    #expect(finished.status == 0)
    #expect(finished.errorText == "")
  }

  /// The pipe is full and nobody reads: the end of the run must not wait for that.
  @Test func aReaderThatSleepsHoldsNobodyUp() throws {
    let command = ["--", "sh", "-c", "while :; do : </dev/null; done"]
    let asked = try Swtrace.start(["opensnoop", "--format", "json"] + command)
    try asked.waitUntilOutputIsFull()
    asked.signal(SIGTERM)
    let cut = asked.finish(isReading: false)
    #expect(cut.status == 1)
    #expect(cut.errorText.contains("nobody reads standard output; the output is cut"), "\(cut.errorText)")
    // At the end of its time a run waits for the reader, who may be a person.
    let timed = try Swtrace.start(["opensnoop", "--format", "json", "--duration", "3s"] + command)
    try timed.waitUntilOutputIsFull()
    let whole = timed.finish()
    #expect(whole.status == 0)
    _ = try summary(of: whole.json())
  }

  @Test func aCommandThatDoesNotEndIsKilled() throws {
    let running = try Swtrace.start(
      ["opensnoop", "--format", "json", "--propagate-exit", "--", "bash", "-c", "trap '' TERM; : </dev/null; while :; do sleep 1; done"])
    _ = try running.wait(for: "/dev/null")
    running.signal(SIGTERM)
    let finished = running.finish()
    #expect(finished.status == 137)
    #expect(finished.errorText.contains("bash did not end when asked to (SIGTERM), and was killed"))
  }

  /// A file that is opened must not become the standard output of anything.
  @Test func missingStandardDescriptorsAreNoFiles() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("out.json")
    let finished = try run([
      "bash", "-c", "\(Swtrace.path) opensnoop --format json -o \(path) -- cat /etc/hostname <&- >&-; \(Swtrace.path) list >&-",
    ])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("cannot write standard output: Bad file descriptor"))
    let written = try run(["cat", path])
    #expect(written.outputText.contains("\"path\":\"/etc/hostname\""))
    _ = try summary(of: written.json())
  }

  @Test func numbersOfAnotherNamespaceAreRefused() throws {
    for arguments in [["--pid", "1"], ["--", "true"]] {
      let finished = try run(["unshare", "--pid", "--fork", "--mount-proc", Swtrace.path, "opensnoop"] + arguments)
      #expect(finished.status == 1)
      #expect(finished.errorText.contains("swtrace runs in a pid namespace of its own"), "\(finished.errorText)")
    }
  }

  /// More files than a process may have open by default.
  @Test func manyMappedFilesKeepTheirNames() throws {
    let folder = try TemporaryFolder()
    let path = try compile(
      """
      #include <fcntl.h>
      #include <stdio.h>
      #include <sys/mman.h>
      #include <time.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        char name[4096];
        for (int i = 0; i < 1103; i++) {
          snprintf(name, sizeof(name), "%s/file%d", arguments[1], i);
          int file = open(name, O_RDWR | O_CREAT, 0600);
          if (file < 0 || write(file, "x", 1) != 1 || mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED) return 1;
          close(file);
        }
        struct timespec time = { 0, 15000000 };
        nanosleep(&time, 0);
        return 0;
      }
      """, in: folder)
    let finished = try run([
      "bash", "-c", "ulimit -Sn 256; \(Swtrace.path) offcputime -m 0 -o \(folder.file("out.folded")) -- \(path) \(folder.path)",
    ])
    #expect(finished.status == 0, "\(finished.errorText)")
    #expect(try run(["cat", folder.file("out.folded")]).outputText.contains(";hrtimer_nanosleep"))
  }

  @Test func aFullDiskIsReported() throws {
    let running = try Swtrace.start(["opensnoop", "--", "cat", "/dev/null"], outputPath: "/dev/full")
    let finished = running.finish()
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("cannot write standard output: No space left on device"))
  }

  @Test func filesAreCompleteOrAbsent() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/opens.csv"
    let finished = try Swtrace.run(["opensnoop", "-o", path, "--", "cat", "/etc/hostname"])
    #expect(finished.status == 0)
    let hostname = try run(["cat", "/etc/hostname"])
    // The command's own output; the tool's went into the file.
    #expect(finished.output == hostname.output)
    let written = try run(["cat", path]).lines
    #expect(written.first == "time_unix_ns,uid,pid,tid,comm,fd,errno,flags,mode,path")
    #expect(written.count { $0.hasSuffix(",/etc/hostname") } == 1)

    // A full file system: nothing appears under the name, and no remains beside it.
    let script = """
      mount -t tmpfs -o size=4k none \(folder.path) && \(Swtrace.path) opensnoop -o \(folder.path)/full.csv -- \
      sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do cat /etc/hostname /etc/hostname /etc/hostname; done' >/dev/null; code=$?; ls -A \(folder.path); exit $code
      """
    let full = try run(["unshare", "--mount", "bash", "-c", script])
    #expect(full.status == 1)
    #expect(full.errorText.contains("cannot write \(folder.path)/full.csv: No space left on device; nothing was written"))
    #expect(full.outputText == "")
  }

  @Test func aKilledRunLeavesNothingBehind() throws {
    // A file system in memory has files without names.
    let folder = "/dev/shm/swtrace-test-\(getpid())"
    #expect(mkdir(folder, 0o700) == 0)
    defer { rmdir(folder) }
    let running = try Running(
      [Swtrace.path, "opensnoop", "-o", "\(folder)/opens.csv", "--", "sh", "-c", "echo ready; read line"], input: true)
    _ = try running.wait(for: "ready")
    running.signal(SIGKILL)
    running.closeInput()
    #expect(running.finish().status == 128 + SIGKILL)
    #expect(try run(["ls", "-A", folder]).outputText == "")
  }

  /// Through /proc/self/fd a file without a name gets one.
  @Test func filesHaveATemporaryNameWhereTheyCannotBeWithout() throws {
    let folder = try TemporaryFolder()
    let input = try folder.file("in.folded", "a;b 3\n")
    let finished = try run([
      "unshare", "--mount", "bash", "-c",
      "mount -t tmpfs none /proc/$$/fd && exec \(Swtrace.path) convert \(input) -o \(folder.path)/out.folded",
    ])
    #expect(finished.status == 0, "\(finished.errorText)")
    #expect(try run(["ls", "-A", folder.path]).lines == ["in.folded", "out.folded"])
    #expect(try run(["cat", "\(folder.path)/out.folded"]).outputText == "a;b 3\n")
  }

  @Test func aReplacedFileKeepsItsOwnerAndPermissions() throws {
    let folder = try TemporaryFolder()
    let input = try folder.file("in.folded", "a;b 3\n")
    let output = try folder.file("out.folded", "old")
    let link = "\(folder.path)/link.folded"
    symlink(output, link)
    #expect(chown(output, 12_345, 23_456) == 0)
    #expect(chmod(output, 0o640) == 0)
    #expect(try Swtrace.run(["convert", input, "-o", link]).status == 0)
    #expect(try run(["stat", "-c", "%u %g %a", output]).outputText == "12345 23456 640\n")
    #expect(try run(["cat", output]).outputText == "a;b 3\n")
    #expect(try run(["readlink", link]).outputText == "\(output)\n")
    #expect(try run(["ls", "-A", folder.path]).lines == ["in.folded", "link.folded", "out.folded"])
  }

  /// Pipes, links that lead to nothing yet, and our own descriptors are written to as such.
  @Test func outputsThatAreNoFilesOfTheirOwn() throws {
    let folder = try TemporaryFolder()
    let path = folder.path
    let script = """
      cd \(path); mkfifo pipe; cat pipe >copy & \(Swtrace.path) profile -F 199 --folded -o pipe -- true; wait
      ln -s target.csv link.csv; \(Swtrace.path) opensnoop -o link.csv -- cat /etc/hostname >/dev/null; readlink link.csv
      echo before >log; \(Swtrace.path) opensnoop -o /dev/stdout --format csv -- true >>log
      """
    let finished = try run(["timeout", "60", "bash", "-c", script])
    #expect(finished.status == 0, "\(finished.errorText)")
    #expect(finished.lines == ["target.csv"])
    #expect(try run(["cat", "\(path)/target.csv"]).outputText.contains("/etc/hostname"))
    let log = try run(["cat", "\(path)/log"]).lines
    #expect(log.first == "before" && log.count > 2)
    #expect(try run(["stat", "-c", "%F", "\(path)/pipe"]).lines == ["fifo"])
  }

  @Test func theCommandsExitCodeIsPassedOn() throws {
    #expect(try Swtrace.run(["opensnoop", "--propagate-exit", "--", "sh", "-c", "exit 7"]).status == 7)
    #expect(try Swtrace.run(["opensnoop", "--propagate-exit", "--", "sh", "-c", "kill -9 $$"]).status == 137)
    #expect(try Swtrace.run(["opensnoop", "--", "sh", "-c", "exit 7"]).status == 0)
  }

  @Test func aCommandThatCannotRunIsNamed() throws {
    let finished = try Swtrace.run(["opensnoop", "--", "no-such-program"])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("cannot run no-such-program: No such file or directory"))
  }

  /// Children and grandchildren are followed; others are not seen.
  @Test func childrenAreFollowed() throws {
    let finished = try Swtrace.run(
      [
        "opensnoop", "--format", "json", "--", "bash", "-c",
        "for i in 1 2 3 4 5 6 7; do (bash -c 'cat /etc/hostname >/dev/null') & done; wait",
      ])
    let records = try finished.json()
    let counts = try summary(of: records)
    #expect(counts.lost.filter { $0.value > 0 } == [:])
    #expect(records.count { $0["path"] as? String == "/etc/hostname" && $0["comm"] as? String == "cat" } == 7)
  }

  @Test func durationEndsTheRun() throws {
    let finished = try Swtrace.run(["opensnoop", "--format", "json", "--duration", "50ms", "--pid", "\(getpid())"])
    #expect(finished.status == 0)
    let records = try finished.json()
    #expect((records.last?["duration_ns"] as? Int ?? 0) >= 50_000_000)
    _ = try summary(of: records)
  }

  @Test func missingTypeInformationIsNamed() throws {
    let finished = try run([
      "unshare", "--mount", "bash", "-c",
      "mount -t tmpfs none /sys/kernel/btf && mount -t tmpfs none /boot && exec \(Swtrace.path) opensnoop",
    ])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("this kernel has no type information"), "\(finished.errorText)")
    #expect(finished.errorText.contains("--btf FILE"))

    let given = try run([
      "unshare", "--mount", "bash", "-c",
      """
      cat /sys/kernel/btf/vmlinux >/dev/shm/btf && mount -t tmpfs none /sys/kernel/btf && \
      \(Swtrace.path) opensnoop --btf /dev/shm/btf --format json -- cat /etc/hostname /dev/null; rm /dev/shm/btf
      """,
    ])
    #expect(given.outputText.contains("\"path\":\"/etc/hostname\""), "\(given.errorText)")
  }

  @Test func twoAtOnceDoNotDisturbEachOther() throws {
    let first = try started()
    let second = try started()
    let opener = Opener(path: "/proc/self/mounts")
    _ = try first.wait(for: "/proc/self/mounts")
    _ = try second.wait(for: "/proc/self/mounts")
    opener.stop()
    for running in [first, second] {
      running.signal(SIGINT)
      let finished = running.finish()
      #expect(finished.status == 0)
      _ = try summary(of: try finished.json())
    }
  }

  @Test func doctorTriesEveryTool() throws {
    let table = try Swtrace.run(["doctor"])
    #expect(table.status == 0)
    let records = try Swtrace.run(["doctor", "--format", "json"]).json()
    #expect(records.first?["type"] as? String == "system")
    let release = try run(["uname", "-r"]).lines.first
    #expect(records.first?["kernel"] as? String == release)
    for record in records.dropFirst() {
      #expect(record["type"] as? String == "tool")
      #expect(["complete", "reduced", "none"].contains(record["status"] as? String))
      #expect(table.lines.contains { $0.hasPrefix("\(record["tool"] ?? "") ") })
      if record["status"] as? String == "none" { #expect((record["reasons"] as? [String])?.isEmpty == false) }
    }
  }
}

/// Opens a file a hundred times a second until told to stop.
private final class Opener: @unchecked Sendable {
  private var thread = pthread_t()
  private let path: String
  private let stopped = Flag()

  private final class Flag: @unchecked Sendable {
    private var value = false
    private var lock = pthread_mutex_t()
    init() { pthread_mutex_init(&lock, nil) }
    var isSet: Bool {
      pthread_mutex_lock(&lock)
      defer { pthread_mutex_unlock(&lock) }
      return value
    }
    func set() {
      pthread_mutex_lock(&lock)
      value = true
      pthread_mutex_unlock(&lock)
    }
  }

  init(path: String) {
    self.path = path
    let context = Unmanaged.passRetained(self)
    pthread_create(
      &thread, nil,
      { argument in
        let opener = Unmanaged<Opener>.fromOpaque(argument!).takeRetainedValue()
        while !opener.stopped.isSet {
          close(open(opener.path, O_RDONLY | O_CLOEXEC))
          // Paced, so that a slow machine is not kept busy with reading events; nothing depends on how long it takes.
          poll(nil, 0, 10)
        }
        return nil
      }, context.toOpaque())
  }

  func stop() {
    stopped.set()
    pthread_join(thread, nil)
  }
}
