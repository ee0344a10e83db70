import Foundation
import Synchronization
import TestSupport
import Testing

/// The same events, at the same time, as Debian's libbpf-tools and bpftrace print them.
@Suite(.requiresBPF, .serialized) struct DifferentialTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Reads what a tool prints all the time, so that it never has to wait for its reader.
  private final class Reader: Sendable {
    private let state = Mutex<(lines: [String], isOver: Bool)>(([], false))

    init(of tool: Running) {
      Thread.detachNewThread { [self] in
        while let line = tool.readLine() { state.withLock { $0.lines.append(line) } }
        state.withLock { $0.isOver = true }
      }
    }

    /// Waits for a line that contains a text, or for the end.
    func wait(for text: String) {
      var looked = 0
      while true {
        let (lines, isOver) = state.withLock { ($0.lines[looked...], $0.isOver) }
        if isOver || lines.contains(where: { $0.contains(text) }) { return }
        looked = lines.endIndex
        usleep(1000)
      }
    }

    /// All lines, at the end.
    func finish() -> [String] {
      while !state.withLock(\.isOver) { usleep(1000) }
      return state.withLock(\.lines)
    }
  }

  /// What two tools print from a first event that both have seen to a last one, between which a workload runs.
  ///
  /// - Parameter mark: a shell command that makes an event of the name MARK.
  private func lines(
    ours: [String], theirs: [String], mark: String, while work: () throws -> Void
  ) throws -> (ours: [[Substring]], theirs: [[Substring]]) {
    let tools = [try Swtrace.start(ours), try Running(["stdbuf", "-oL"] + theirs)]
    let readers = tools.map { Reader(of: $0) }
    func waitForAll(_ name: String) throws {
      let marker = try Running(["sh", "-c", "while :; do \(mark.replacing("MARK", with: name)); sleep 0.01; done"])
      for reader in readers { reader.wait(for: name) }
      marker.signal(SIGKILL)
      _ = marker.finish()
    }
    try waitForAll("the-first-mark")
    try work()
    try waitForAll("the-last-mark")
    for tool in tools { tool.signal(SIGINT) }
    let fields = readers.map { $0.finish().map { $0.split(separator: " ") } }
    for tool in tools { _ = tool.finish() }
    return (fields[0], fields[1])
  }

  /// The other tools have a buffer for each processor, and print one after the other.
  private func sorted(_ rows: [[Substring]]) -> [String] { rows.map { $0.joined(separator: " ") }.sorted() }

  @Test func opensnoopAgrees() throws {
    let program = try compile(
      """
      #include <fcntl.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        if (chdir(arguments[1])) return 1;
        for (int i = 0; i < 101; i++) close(open("made", O_RDWR | O_CREAT, 0600));
        for (int i = 0; i < 53; i++) open("missing", O_RDONLY);
        for (int i = 0; i < 31; i++) openat(3000, "nowhere", O_RDONLY);
        for (int i = 0; i < 7; i++) creat("/proc/refused", 0600);
        return 0;
      }
      """, in: folder, name: "differ")
    let place = folder.path
    let found = try lines(ours: ["opensnoop"], theirs: ["/usr/sbin/opensnoop"], mark: "cat \(place)/MARK") {
      _ = try run([program, place])
    }
    let ours = found.ours.filter { $0.count > 1 && $0[1] == "differ" }
    let theirs = found.theirs.filter { $0.count > 1 && $0[1] == "differ" }
    // The other tool does not know creat.
    #expect(ours.count { $0.last == "/proc/refused" } == 7)
    #expect(theirs.count >= 101 + 53 + 31)
    #expect(sorted(ours.filter { $0.last != "/proc/refused" }) == sorted(theirs))
  }

  /// The other tool does not see execveat; ours is the same plus those.
  @Test func execsnoopAgreesAndSeesMore() throws {
    let program = try compile(
      """
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <sys/syscall.h>
      #include <sys/wait.h>
      #include <unistd.h>
      extern char **environ;
      int main(void) {
        for (int i = 0; i < 37; i++) {
          if (!fork()) {
            /* On the stack: the other tool loses arguments in memory that has not been used yet. */
            char a[] = "a", b[] = "b", path[] = "/bin/true", *two[] = { path, a, b, 0 };
            if (i < 17) execve(path, two, environ);
            char *arguments[] = { "differ-execveat", "c", 0 };
            syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, environ, 0);
            _exit(1);
          }
          wait(0);
        }
        return 0;
      }
      """, in: folder)
    let found = try lines(ours: ["execsnoop"], theirs: ["/usr/sbin/execsnoop"], mark: "/bin/true MARK") { _ = try run([program]) }
    func execves(_ lines: [[Substring]]) -> [[Substring]] { lines.filter { $0.first == "true" && $0.last == "b" } }
    #expect(execves(found.ours).count == 17)
    #expect(sorted(execves(found.ours)) == sorted(execves(found.theirs)))
    #expect(found.ours.count { $0.first == "true" && $0.last == "c" } == 20)
    #expect(found.theirs.count { $0.first == "true" && $0.last == "c" } == 0)
  }

  @Test func exitsnoopAgrees() throws {
    let script = "for i in 1 2 3 4 5 6 7; do (exit $i); done; for i in 9 15 9 15 9 15; do (sh -c \"kill -$i \\$PPID\"; :); done; exit 11"
    let found = try lines(ours: ["exitsnoop"], theirs: ["/usr/sbin/exitsnoop"], mark: "sh -c 'printf MARK > /proc/$$/comm'") {
      _ = try run(["sh", "-c", "printf differ > /proc/$$/comm; \(script)"])
    }
    /// All columns but the age, which each takes at another moment, and the names of signals, for which each has its own.
    func rows(_ lines: [[Substring]]) -> [String] {
      lines.filter { $0.first == "differ" }.map { line in
        (line.prefix(4) + line.dropFirst(5).filter { !$0.hasPrefix("(") }).joined(separator: " ")
      }
    }
    #expect(rows(found.ours).count == 8 + 6)
    #expect(rows(found.ours).sorted() == rows(found.theirs).sorted())
  }

  /// Every call of a program, counted inside and beside bpftrace.
  @Test func syscountAgreesWithBpftrace() throws {
    let program = try compile(
      """
      #include <fcntl.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      int main(void) {
        for (int i = 0; i < 997; i++) syscall(SYS_getppid);
        for (int i = 0; i < 211; i++) close(-1);
        for (int i = 0; i < 53; i++) close(open("/dev/null", O_RDONLY));
        return 0;
      }
      """, in: folder, name: "differ")
    let output = "\(folder.path)/theirs"
    let script = #"tracepoint:raw_syscalls:sys_exit /comm == "differ"/ { @[args->id] = count(); }"#
    let counts = "\(folder.path)/ours.json"
    _ = try Swtrace.run(
      ["syscount", "--comm", "differ", "-o", counts, "--", "bpftrace", "-q", "-f", "json", "-o", output, "-e", script, "-c", program])
    let records = try String(contentsOfFile: counts, encoding: .utf8).split(separator: "\n").compactMap {
      try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
    }
    #expect(try summary(of: records).lost.filter { $0.value > 0 } == [:])
    let ours = Dictionary(
      uniqueKeysWithValues: records.dropLast().compactMap { row in
        (row["syscall_number"] as? Int).flatMap { number in (row["count"] as? Int).map { ("\(number)", $0) } }
      })
    var theirs: [String: Int] = [:]
    for line in try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n") {
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      if let map = (object?["data"] as? [String: Any])?["@"] as? [String: Int] { theirs = map }
    }
    #expect(records.first { $0["syscall"] as? String == "getppid" }?["count"] as? Int == 997)
    #expect(ours == theirs)
  }
}
