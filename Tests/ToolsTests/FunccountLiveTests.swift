import Glibc
import Linux
import TestSupport
import Testing

/// A program whose functions are called prime numbers of times, with two static probes of its own.
private let calledFunctions = """
  #define _GNU_SOURCE
  #include <setjmp.h>
  #include <stdlib.h>
  #include <sys/syscall.h>
  #include <unistd.h>
  #define N __attribute__((noinline))
  /* A static probe without <sys/sdt.h>: a note that names the place of a nop (and a semaphore). */
  #define PROBE(name, semaphore) __asm__ volatile("990: nop\\n" \\
    ".pushsection .note.stapsdt,\\"\\",\\"note\\"\\n .balign 4\\n .4byte 992f-991f,994f-993f,3\\n" \\
    "991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n993: .8byte 990b,_.stapsdt.base," semaphore "\\n" \\
    " .asciz \\"shop\\"\\n .asciz \\"" name "\\"\\n .asciz \\"\\"\\n994: .balign 4\\n .popsection\\n" \\
    ".ifndef _.stapsdt.base\\n .pushsection .stapsdt.base,\\"aG\\",\\"progbits\\",.stapsdt.base,comdat\\n" \\
    ".weak _.stapsdt.base\\n .hidden _.stapsdt.base\\n_.stapsdt.base: .space 1\\n .popsection\\n .endif\\n")
  __asm__(".pushsection .probes,\\"aw\\",\\"progbits\\"\\n.balign 2\\n.globl shop_paid_semaphore\\n"
          "shop_paid_semaphore: .short 0\\n.popsection\\n");
  extern volatile unsigned short shop_paid_semaphore;
  volatile int sink;
  static jmp_buf back;
  N void shop_one(void) { sink++; }
  N void shop_two(void) { sink++; }
  N void shop_three(void) { sink++; PROBE("entered", "0"); }
  N void shop_four(void) { if (shop_paid_semaphore) PROBE("paid", "shop_paid_semaphore"); sink++; }
  N int nested(int depth) { sink++; return depth ? nested(depth - 1) + sink : sink; }
  N void leaves(void) { sink++; longjmp(back, 1); }
  N void outer(int leave) { sink++; if (leave) leaves(); sink++; }
  int main(void) {
    for (int i = 0; i < 101; i++) shop_one();
    for (int i = 0; i < 53; i++) shop_two();
    for (int i = 0; i < 31; i++) shop_three();
    for (int i = 0; i < 43; i++) shop_four();
    for (int i = 0; i < 7; i++) nested(12);
    for (int i = 0; i < 31; i++) if (!setjmp(back)) outer(i % 2);
    for (int i = 0; i < 211; i++) syscall(SYS_getpgid, 0);
    for (int i = 0; i < 17; i++) syscall(SYS_getsid, 0);
    for (int i = 0; i < 61; i++) { void *volatile memory = malloc(i + 1); free(memory); }
    return 0;
  }
  """

/// The program, compiled once for all tests: in a virtual machine that takes longer than most of them.
enum CalledProgram {
  private static let folder = Result { try TemporaryFolder() }
  private static let dynamic = Result { try build("called", []) }
  private static let fixed = Result { try build("fixed", ["-static"]) }

  static func path() throws -> String { try dynamic.get() }
  static func staticPath() throws -> String { try fixed.get() }

  private static func build(_ name: String, _ flags: [String]) throws -> String {
    // Globals are never released: the folder is removed when the tests end.
    if name == "called" { atexit { if let path = try? CalledProgram.folder.get().path { _ = try? run(["rm", "-rf", path]) } } }
    return try compile(calledFunctions, in: folder.get(), name: name, flags: ["-O1", "-fno-optimize-sibling-calls"] + flags)
  }
}

/// The numbers of a counting tool by name, its summary checked, and the programs that ran.
struct Counted {
  var counts: [String: Int] = [:]
  var summary: (seen: Int, filtered: Int, delivered: Int, lost: [String: Int])
  var programs: String

  init(_ arguments: [String]) throws {
    let finished = try Swtrace.run(["funccount", "--format", "json", "--stats"] + arguments)
    guard finished.status == 0 else { throw RunError(finished.errorText) }
    let records = try finished.json()
    summary = try TestSupport.summary(of: records)
    for record in records.dropLast() {
      guard record["type"] as? String == "count", let name = record["function"] as? String, let count = record["count"] as? Int
      else { throw RunError("no count: \(record)") }
      counts[name, default: 0] += count
    }
    programs = finished.errorText.split(separator: "\n").first { $0.contains(": programs: ") }.map(String.init) ?? ""
    guard counts.values.reduce(0, +) == summary.delivered else { throw RunError("\(counts) do not add up to \(summary)") }
    guard summary.lost.values.allSatisfy({ $0 == 0 }) else { throw RunError("lost: \(summary)") }
  }
}

/// The program that observes user functions on this kernel: one link for many needs 6.6, a number for each link 5.15.
func expectedUserProgram(_ prefix: String) -> String {
  let numbers = KernelFeatures.release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
  guard numbers.count == 2 else { return "?" }
  let version = (numbers[0], numbers[1])
  return version >= (6, 6) ? "\(prefix)_uprobe_multi" : version >= (5, 15) ? "\(prefix)_uprobe" : "\(prefix)_uprobe_copy"
}

func expectedKprobeProgram(_ prefix: String, many: Bool) -> String {
  let numbers = KernelFeatures.release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
  guard numbers.count == 2 else { return "?" }
  let version = (numbers[0], numbers[1])
  // Debian's 6.1 has no function probes (CONFIG_FPROBE).
  if many, version >= (6, 12) { return "\(prefix)_kprobe_multi" }
  return version >= (5, 15) ? "\(prefix)_kprobe" : "\(prefix)_kprobe_copy"
}

@Suite(.requiresBPF, .serialized) struct FunccountLiveTests {
  private let program: String

  init() throws { program = try CalledProgram.path() }

  @Test func userFunctionsOfAPattern() throws {
    let counted = try Counted(["\(program):shop_*", "--", program])
    #expect(counted.counts == ["shop_one": 101, "shop_two": 53, "shop_three": 31, "shop_four": 43])
    #expect(counted.programs.contains(" \(expectedUserProgram("hit")),"))
  }

  @Test func userFunctionsOfAnExpression() throws {
    let counted = try Counted(["-r", "\(program):^(shop_t|nest)", "--", program])
    #expect(counted.counts == ["shop_two": 53, "shop_three": 31, "nested": 7 * 13])
  }

  @Test func aStaticProgramsFunctions() throws {
    let fixed = try CalledProgram.staticPath()
    #expect(try Counted(["\(fixed):shop_one,\(fixed):leaves", "--", fixed]).counts == ["shop_one": 101, "leaves": 15])
  }

  /// The library is found by its short name; other callers in the process are the C library itself.
  @Test func aLibrarysFunction() throws {
    let counts = try Counted(["c:free", "--", program]).counts
    #expect((61...70).contains(try #require(counts["free"])))
  }

  /// The second probe is behind a semaphore: without a counter that the kernel raises, it is never reached.
  @Test func staticProbes() throws {
    let counted = try Counted(["u:\(program):shop:*", "--", program])
    #expect(counted.counts == ["shop:entered": 31, "shop:paid": 43])
    #expect(try Counted(["u:\(program):entered", "--", program]).counts == ["shop:entered": 31])
  }

  /// The kernel refuses a link for one instruction that it cannot probe; the others still share links, which end together.
  @Test func oneRefusedFunctionDoesNotSpoilAPattern() throws {
    guard kernelVersion >= (6, 6) else { return }
    let finished = try Swtrace.run(["funccount", "c:pthread_*", "--stats", "--", "true"])
    #expect(finished.status == 0)
    #expect(finished.errorText.contains("programs: hit_uprobe_multi"), "\(finished.errorText)")
  }

  @Test func tracepoints() throws {
    let counted = try Counted(["t:syscalls:sys_enter_getpgid,t:syscalls:sys_*_getsid", "--", program])
    #expect(counted.counts == ["syscalls:sys_enter_getpgid": 211, "syscalls:sys_enter_getsid": 17, "syscalls:sys_exit_getsid": 17])
    // The kernel calls some functions otherwise than their system calls.
    let renamed = try Counted(["t:syscalls:sys_*_newuname", "--", "sh", "-c", "uname > /dev/null"])
    #expect(renamed.counts["syscalls:sys_enter_newuname"] ?? 0 > 0)
    #expect(renamed.counts["syscalls:sys_enter_newuname"] == renamed.counts["syscalls:sys_exit_newuname"])
    let run = try Counted(["t:sched:sched_process_ex*", "--", "/bin/sh", "-c", "for i in 1 2 3 4 5; do \(program); done; exit 0"])
    #expect(run.counts["sched:sched_process_exec"] == 6)
    #expect(run.counts["sched:sched_process_exit"] == 6)
    #expect(run.programs.contains(" hit_raw,"))
  }

  /// Hits of tasks that are not of interest are seen and filtered.
  @Test func otherUsersAreFiltered() throws {
    let counted = try Counted(["--uid", "12345", "\(program):shop_one", "--", program])
    #expect(counted.counts.isEmpty)
    #expect(counted.summary.seen == 101 && counted.summary.filtered == 101)
  }

  /// Another process that calls the same function while one process is traced changes nothing.
  @Test func aProcessOfInterest() throws {
    let waiting = try Running(["/bin/sh", "-c", "read line; exec \(program)"], input: true)
    let tracer = try Swtrace.start(["funccount", "-i", "10ms", "-p", "\(waiting.pid)", "\(program):shop_one"])
    // The first interval is printed when everything is attached.
    _ = try tracer.wait(for: "FUNC")
    #expect(try run([program]).status == 0)
    waiting.write("go\n")
    waiting.closeInput()
    #expect(waiting.finish().status == 0)
    let line = try tracer.wait(for: "shop_one")
    tracer.signal(SIGINT)
    let rest = tracer.finish().lines.filter { $0.hasPrefix("shop_one") }
    #expect(([line] + rest).compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) == 101)
  }

  @Test func intervalsAddUp() throws {
    let finished = try Swtrace.run([
      "funccount", "--format", "json", "-i", "1ms", "\(program):shop_one", "--", "/bin/sh", "-c",
      "for i in 1 2 3 4 5 6 7; do \(program); done; exit 0",
    ])
    let records = try finished.json()
    #expect(try summary(of: records).delivered == 707)
    #expect(records.dropLast().reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == 707)
  }

  @Test func tableHasBCCsColumns() throws {
    let finished = try Swtrace.run(["funccount", "\(program):shop_t*", "--", program])
    #expect(
      finished.lines == [
        "FUNC                                    COUNT", "shop_three                                 31",
        "shop_two                                   53",
      ])
  }

  @Test func kernelFunctions() throws {
    guard KernelFeatures.hasKprobes else { return try refusesKernelFunctions("funccount") }
    let few = try Counted(["__x64_sys_getpgid,__x64_sys_getsid", "--", program])
    #expect(few.counts == ["__x64_sys_getpgid": 211, "__x64_sys_getsid": 17])
    #expect(few.programs.contains(" hit_fentry,"))
    let kprobes = try Counted(["-k", "__x64_sys_getpgid", "--", program])
    #expect(kprobes.counts == ["__x64_sys_getpgid": 211])
    #expect(kprobes.programs.contains(" \(expectedKprobeProgram("hit", many: false)),"))
    let many = try Counted(["__x64_sys_get*", "--", program])
    #expect(many.counts["__x64_sys_getpgid"] == 211)
    #expect(many.counts["__x64_sys_getsid"] == 17)
    #expect(many.programs.contains(" \(expectedKprobeProgram("hit", many: true)),"))
  }

  @Test(arguments: [
    ("vfs_raed", "this kernel has no function 'vfs_raed'; did you mean vfs_read"),
    ("t:sched:sched_swich", "this kernel has no tracepoint 'sched:sched_swich'; did you mean sched_switch?"),
    ("t:shced:sched_switch", "this kernel has no tracepoint category 'shced'; did you mean sched?"),
    ("c:maloc", "has no function 'maloc'; did you mean malloc"),
    ("u:c:nothing:here", "static probe"),
    ("u:stdc++:libstdcxx:thro", "has no static probe 'libstdcxx:thro'; did you mean libstdcxx:throw"),
    ("no-such-library:x", "there is no library or program 'no-such-library'"),
    ("/usr/bin/no-such:x", "there is no file '/usr/bin/no-such'"),
    ("/etc/passwd:x", "cannot read /etc/passwd: not an ELF file"),
    ("t:sched", "'t:sched' is no target; write t:CATEGORY:NAME"),
    ("c:*", "functions, more than 1000, so none was attached; narrow it, or raise the limit with --max-probes "),
  ])
  func unknownNamesAreExplained(_ target: String, _ words: String) throws {
    let finished = try Swtrace.run(["funccount", target, "--", "/bin/true"])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains(words))
    #expect(finished.output.isEmpty)
  }

  @Test func anUnknownFunctionOfAProgramIsSuggested() throws {
    let finished = try Swtrace.run(["funccount", "\(program):shop_onne", "--", program])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("has no function 'shop_onne'; did you mean shop_one"))
  }
}

/// On a kernel without kprobes and fentry the reason is in words.
func refusesKernelFunctions(_ tool: String) throws {
  for target in ["vfs_read", "vfs_*", "__x64_sys_get*"] {
    let finished = try Swtrace.run([tool, target, "--", "/bin/true"])
    #expect(finished.status == 1)
    #expect(finished.errorText.contains("this kernel has no kprobes (CONFIG_KPROBES=n)"))
  }
}
