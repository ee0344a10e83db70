package import CLinux
internal import Foundation
internal import Glibc

/// How a program ended and what it said.
package struct Finished: Sendable {
  /// The exit code, or 128 and the signal.
  package var status: Int32
  package var output: [UInt8]
  package var errors: [UInt8]

  package var outputText: String { String(decoding: output, as: UTF8.self) }
  package var errorText: String { String(decoding: errors, as: UTF8.self) }
  package var lines: [String] { outputText.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init) }

  /// The objects of a JSON-lines output; fails on a line that is not JSON.
  package func json() throws -> [[String: Any]] {
    try lines.map { line in
      guard let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
        throw RunError("not a JSON object: \(line)")
      }
      return object
    }
  }
}

package struct RunError: Error, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}

/// A program that runs, with pipes to its standard output and, if wanted, input.
package final class Running: @unchecked Sendable {
  package let pid: pid_t
  private let outputEnd: Int32
  private let errorFile: Int32
  private var pending: [UInt8] = []
  private var inputEnd: Int32

  package init(_ arguments: [String], input: Bool = false, environment: [String: String] = [:], outputPath: String? = nil) throws {
    var output: [Int32] = [-1, -1]
    guard swtrace_pipe(&output) == 0 else { throw RunError("no pipe") }
    var inputEnds: [Int32] = [-1, -1]
    if input { guard swtrace_pipe(&inputEnds) == 0 else { throw RunError("no pipe") } }
    var name = Array("/tmp/swtrace-test.XXXXXX".utf8CString)
    errorFile = mkstemp(&name)
    unlink(name)
    _ = fcntl(errorFile, F_SETFD, FD_CLOEXEC)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if input {
      posix_spawn_file_actions_adddup2(&actions, inputEnds[0], 0)
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    if let outputPath {
      posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY, 0)
    } else {
      posix_spawn_file_actions_adddup2(&actions, output[1], 1)
    }
    posix_spawn_file_actions_adddup2(&actions, errorFile, 2)
    // Those of the tests mean nothing to programs, and the agent refuses what it does not know.
    var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("SWTRACE_") }
    variables["SWIFT_BACKTRACE"] = "enable=no"
    variables.merge(environment) { $1 }
    let strings = arguments.map { strdup($0) } + [nil]
    let settings = variables.map { strdup("\($0)=\($1)") } + [nil]
    defer { for string in strings + settings { free(string) } }
    // The threads that tests run in block most signals, which children would inherit.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var child: pid_t = 0
    let status = posix_spawnp(&child, arguments[0], &actions, &attributes, strings, settings)
    close(output[1])
    if input { close(inputEnds[0]) }
    guard status == 0 else {
      close(output[0])
      throw RunError("cannot start \(arguments[0]): \(String(cString: strerror(status)))")
    }
    pid = child
    outputEnd = output[0]
    inputEnd = inputEnds[1]
  }

  deinit {
    close(outputEnd)
    close(errorFile)
    if inputEnd >= 0 { close(inputEnd) }
  }

  /// The next line of output without its end; nil at the end. Waits for it.
  package func readLine() -> String? {
    while true {
      if let end = pending.firstIndex(of: 0x0a) {
        let line = String(decoding: pending[..<end], as: UTF8.self)
        pending.removeFirst(end + 1)
        return line
      }
      guard readMore() else { return nil }
    }
  }

  /// Waits for a line that contains a text.
  package func wait(for text: String) throws -> String {
    while let line = readLine() { if line.contains(text) { return line } }
    throw RunError("the output ended without '\(text)'")
  }

  package func write(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(inputEnd, $0.baseAddress, $0.count) }
  }

  package func closeInput() {
    close(inputEnd)
    inputEnd = -1
  }

  /// Closes the reading end of the output, as `head` does when it has enough.
  package func closeOutput() {
    var null = open("/dev/null", O_RDONLY | O_CLOEXEC)
    dup2(null, outputEnd)
    close(null)
    null = -1
  }

  package func signal(_ number: Int32) { kill(pid, number) }

  /// Waits until the pipe of the output has no room for another write of a page.
  package func waitUntilOutputIsFull() throws {
    var count: Int32 = 0
    while ioctl(outputEnd, UInt(FIONREAD), &count) == 0 {
      if count > 65536 - 4096 { return }
      if hasEnded { throw RunError("it ended before its output was full") }
      poll(nil, 0, 5)
    }
    throw RunError("the output is no pipe")
  }

  /// Whether it has ended; its status is still there for `finish`.
  package var hasEnded: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_signo == SIGCHLD
  }

  /// Waits for the end.
  ///
  /// - Parameter isReading: whether the rest is read before; else what is left in the pipe is read after.
  package func finish(isReading: Bool = true) -> Finished {
    if isReading { while readMore() {} }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    if !isReading { while readMore() {} }
    var errors: [UInt8] = []
    lseek(errorFile, 0, SEEK_SET)
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(errorFile, &chunk, chunk.count)
      guard count > 0 else { break }
      errors += chunk[..<count]
    }
    let code = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    return Finished(status: code, output: pending, errors: errors)
  }

  private func readMore() -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65536)
    let count = read(outputEnd, &chunk, chunk.count)
    guard count > 0 else { return false }
    pending += chunk[..<count]
    return true
  }
}

/// Runs a program to its end.
package func run(_ arguments: [String], input: [UInt8]? = nil, environment: [String: String] = [:]) throws -> Finished {
  let running = try Running(arguments, input: input != nil, environment: environment)
  if let input {
    running.write(String(decoding: input, as: UTF8.self))
    running.closeInput()
  }
  return running.finish()
}

/// A folder that goes away with the test.
package final class TemporaryFolder: Sendable {
  package let path: String

  package init() throws {
    var name = Array("/tmp/swtrace-test.XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw RunError("no temporary folder") }
    path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file in it.
  package func file(_ name: String) -> String { "\(path)/\(name)" }

  /// The path of a file in it, with that content.
  package func file(_ name: String, _ content: String) throws -> String {
    try content.write(toFile: file(name), atomically: false, encoding: .utf8)
    return file(name)
  }

  /// The path of a file in it, with that content.
  package func file(_ name: String, _ content: [UInt8]) throws -> String {
    try Data(content).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }
}

/// The first two numbers of the running kernel's release.
package let kernelVersion: (Int, Int) = {
  let release = (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)) ?? ""
  let numbers = release.split { !$0.isNumber }.compactMap { Int($0) }
  return numbers.count > 1 ? (numbers[0], numbers[1]) : (0, 0)
}()

/// The program under test: the executable that was built with this bundle.
package enum Swtrace {
  ///
  /// `SWTRACE_UNDER_TEST` names another, such as the release binary, which is several times faster where the processor is emulated.
  package static let path: String = {
    if let named = ProcessInfo.processInfo.environment["SWTRACE_UNDER_TEST"] { return named }
    let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    // The bundle runs by itself, or in swiftpm's helper, whose arguments name it.
    let candidates = [bundle] + CommandLine.arguments
    for candidate in candidates {
      let folder = candidate.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      let path = "\(folder)/swtrace"
      if !folder.isEmpty, access(path, X_OK) == 0 { return path }
    }
    return ".build/debug/swtrace"
  }()

  /// Runs the program to its end, again where a probe was busy.
  package static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Finished {
    try repeatWhileBusy { try TestSupport.run([path] + arguments, environment: environment) }
  }

  /// Repeats a run of which an exact number is expected.
  ///
  /// Kernels from 6.19 on let another task preempt one that is inside a probe, and skip that probe for the other's events: such events are
  /// counted as missed, but an exact number cannot be expected of that run.
  package static func repeatWhileBusy(_ run: () throws -> Finished) rethrows -> Finished {
    for _ in 1..<9 {
      let finished = try run()
      guard kernelVersion >= (6, 19), finished.errorText.contains("probe busy") else { return finished }
    }
    return try run()
  }

  package static func start(_ arguments: [String], outputPath: String? = nil) throws -> Running {
    try Running([path] + arguments, outputPath: outputPath)
  }
}

/// Compiles a C program for a test.
///
/// - Parameter compiler: `clang`, the Swift toolchain's, where every function must have a frame pointer: gcc's leaf functions have none.
package func compile(
  _ source: String, in folder: TemporaryFolder, name: String = "workload", compiler: String = "cc", flags: [String] = ["-O1"]
) throws -> String {
  let file = try folder.file("\(name).c", source)
  let finished = try run([compiler] + flags + ["-o", "\(folder.path)/\(name)", file] + ["-lpthread"])
  guard finished.status == 0 else { throw RunError("cc: \(finished.errorText)") }
  return "\(folder.path)/\(name)"
}

/// C: a nanosleep that is part of its caller. Not the C library's, whose functions have no frame pointers.
package let sleepInline = """
  static inline __attribute__((always_inline)) long sleep_for(struct timespec *time) {
  #if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_nanosleep), "D"(time), "S"(0) : "rcx", "r11", "memory");
    return result;
  #else
    register long number __asm__("x8") = SYS_nanosleep;
    register long first __asm__("x0") = (long)time;
    register long second __asm__("x1") = 0;
    __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second) : "memory");
    return first;
  #endif
  }
  """

/// For workloads in C: `nap_until_left(nap)` calls a function that sleeps, again while the sleep was over before the thread had left its
/// processor, as happens where timers are late. So it leaves exactly once. It needs `sys/resource.h`.
package let napUntilLeft = """
  #ifndef RUSAGE_THREAD
  #define RUSAGE_THREAD 1
  #endif
  static inline __attribute__((always_inline)) long times_left(void) {
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    return use.ru_nvcsw;
  }
  #define nap_until_left(nap) do { long before = times_left(); do nap(); while (times_left() == before); } while (0)
  """

/// Runs a program that must end well; what it printed.
@discardableResult
package func mustRun(_ arguments: [String]) throws -> String {
  let finished = try run(arguments)
  guard finished.status == 0 else {
    throw RunError("\(arguments.joined(separator: " ")) ended with \(finished.status): \(finished.errorText)")
  }
  return finished.outputText
}

/// The last record of JSON output; checks that it is a summary and that nothing is unaccounted for.
package func summary(of records: [[String: Any]]) throws -> (seen: Int, filtered: Int, delivered: Int, lost: [String: Int]) {
  guard let last = records.last, last["type"] as? String == "summary", let seen = last["seen"] as? Int,
    let filtered = last["filtered"] as? Int, let delivered = last["delivered"] as? Int, let lost = last["lost"] as? [String: Int]
  else { throw RunError("no summary: \(records.last ?? [:])") }
  guard seen == filtered + delivered + lost.values.reduce(0, +) else { throw RunError("not exact: \(last)") }
  return (seen, filtered, delivered, lost)
}

/// For workloads in C: `is_in(call, tid)` tells whether a thread has left the processors in a system call. It needs `fcntl.h`, `stdio.h`,
/// `stdlib.h` and `unistd.h`.
package let waitsInSystemCall = """
  /* The kernel shows the system call of a task that is off the processors only. */
  static int is_in(int call, int tid) {
    char path[64], text[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
    int file = open(path, O_RDONLY);
    if (read(file, text, sizeof(text) - 1) <= 0) text[0] = 'x';
    close(file);
    char *end;
    return strtol(text, &end, 10) == call && end != text;
  }
  """
