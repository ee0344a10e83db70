import CUnwind
import Foundation
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Rules within async functions, of a program that is run one instruction at a time.
@Suite struct AsyncRowsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Every shape of async function; one after the other, so that one thread at a time is in it.
  static let program = """
    @inline(never) func leaf(_ n: Int) -> Int { var x = n; for i in 0..<3 { x = x &* 31 &+ i }; return x }
    @inline(never) func middle(_ n: Int) -> Int { leaf(n) &+ leaf(n &+ 1) }
    @inline(never) func levelC(_ n: Int) async -> Int { await Task.yield(); return middle(n) }
    @inline(never) func levelB(_ n: Int) async throws -> Int {
      if n < 0 { throw CancellationError() }
      let a = await levelC(n)
      return a &+ middle(a)
    }
    @inline(never) func levelA(_ n: Int) async -> Int {
      do { return try await levelB(n) &+ (try await levelB(-n)) } catch { return middle(n) }
    }
    actor Counter {
      var total = 0
      @inline(never) func add(_ n: Int) async -> Int { total &+= middle(n); let x = await levelC(total); total &+= x; return total }
    }
    @inline(never) func pressure(_ a: Int, _ b: Int, _ c: Int, _ d: Int, _ e: Int, _ f: Int, _ g: Int, _ h: Int) async -> Int {
      let p = middle(a) &+ b, q = middle(b) &+ c, r = middle(c) &+ d, s = middle(d) &+ e
      let t = middle(e) &+ f, u = middle(f) &+ g, v = middle(g) &+ h, w = middle(h) &+ a
      let x = middle(p) ^ middle(q) ^ middle(r) ^ middle(s) ^ middle(t) ^ middle(u) ^ middle(v) ^ middle(w)
      let y = await levelC(x)
      return p &+ q &+ r &+ s &+ t &+ u &+ v &+ w &+ x &+ y &+ a &+ b &+ c &+ d &+ e &+ f &+ g &+ h
    }
    @inline(never) func generic<T>(_ value: T, _ body: (T) async throws -> Int) async rethrows -> Int {
      let copy = value
      let n = try await body(value)
      return try await body(copy) &+ n
    }
    @inline(never) func wait(_ n: Int) async -> Int { await withCheckedContinuation { $0.resume(returning: leaf(n)) } }
    protocol Shape { func area(_ n: Int) async -> Int }
    struct Square: Shape { var side: Int; @inline(never) func area(_ n: Int) async -> Int { await levelC(side &* n) } }
    @inline(never) func measure(_ shape: any Shape, _ n: Int) async -> Int { await shape.area(n) }
    @main struct Program {
      static func main() async {
        let counter = Counter()
        var x = 0
        for i in 0..<2 {
          x &+= await levelA(i)
          x &+= await counter.add(i)
          x &+= await pressure(i, 2, 3, 4, 5, 6, 7, 8)
          x &+= await generic((i, "text")) { await levelC($0.0) }
          x &+= await wait(i)
          x &+= await measure(Square(side: x), i)
        }
        print(x)
      }
    }
    """

  /// Runs the functions of a program one instruction at a time, and prints what is true at each.
  ///
  /// At a function's first instruction the CFA is rsp + 8, however it was reached, and stays so until it is left. What is between those
  /// functions runs freely, up to a breakpoint at an entry or at a return address.
  private static let stepper = """
    #define _GNU_SOURCE
    #include <errno.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/ptrace.h>
    #include <sys/user.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static uint64_t low, high, bias;
    static unsigned char *is_entry, *armed, *original, *seen;
    static struct thread { pid_t tid; int count, is_stepping; uint64_t rearm; struct { uint64_t cfa, rbp, context, parent, back; } frames[512]; } threads[64];
    static struct thread *find(pid_t tid) {
      for (int i = 0; i < 64; i++) {
        if (threads[i].tid == tid) return &threads[i];
        if (!threads[i].tid) { threads[i].tid = tid; return &threads[i]; }
      }
      abort();
    }
    static uint64_t peek(pid_t tid, uint64_t at) { errno = 0; return ptrace(PTRACE_PEEKTEXT, tid, at, 0); }
    static void put(pid_t tid, uint64_t at, unsigned char byte) {
      uint64_t word = peek(tid, at);
      ptrace(PTRACE_POKETEXT, tid, at, (word & ~255ull) | byte);
    }
    static void arm(pid_t tid, uint64_t at) {
      if (armed[at - low]) return;
      original[at - low] = peek(tid, at);
      armed[at - low] = 1;
      put(tid, at, 0xcc);
    }
    static void report(struct thread *t, struct user_regs_struct *r) {
      uint64_t rsp = r->rsp;
      while (t->count && t->frames[t->count - 1].cfa <= rsp) t->count--;
      if (is_entry[r->rip - low]) {
        while (t->count && t->frames[t->count - 1].cfa <= rsp + 8) t->count--;
        if (t->count == 512) abort();
        t->frames[t->count].cfa = rsp + 8;
        t->frames[t->count].rbp = r->rbp;
        t->frames[t->count].context = r->r14;
        t->frames[t->count].back = peek(t->tid, rsp);
        t->frames[t->count++].parent = peek(t->tid, r->r14);
      }
      if (!t->count || seen[r->rip - low] == 4) return;
      seen[r->rip - low]++;
      uint64_t cfa = t->frames[t->count - 1].cfa, words[32];
      for (int i = 0; i < 32; i++) words[i] = peek(t->tid, cfa - 8 * (i + 1));
      printf("%lx %lx %lx %lx %lx %lx %lx %lx %lx", r->rip - bias, (long)r->rsp, (long)r->rbp, (long)r->r14, cfa,
             t->frames[t->count - 1].rbp, t->frames[t->count - 1].context, t->frames[t->count - 1].parent,
             t->frames[t->count - 1].back);
      for (int i = 0; i < 32; i++) printf(" %lx", words[i]);
      printf("\\n");
    }
    int main(int argc, char **argv) {
      /* stepper LOW HIGH ENTRY COMMAND < entries of functions */
      uint64_t entry = strtoull(argv[3], 0, 16), at;
      low = strtoull(argv[1], 0, 16);
      high = strtoull(argv[2], 0, 16);
      is_entry = calloc(high - low, 1); armed = calloc(high - low, 1); original = calloc(high - low, 1); seen = calloc(high - low, 1);
      while (scanf("%lx", &at) == 1) is_entry[at - low] = 1;
      pid_t child = fork();
      if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        dup2(2, 1);
        execv(argv[4], argv + 4);
        _exit(127);
      }
      int status;
      waitpid(child, &status, 0);
      ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
      char path[64];
      snprintf(path, sizeof path, "/proc/%d/auxv", child);
      FILE *file = fopen(path, "r");
      uint64_t pair[2];
      while (fread(pair, 16, 1, file) == 1) if (pair[0] == 9) bias = pair[1] - entry;
      fclose(file);
      low += bias; high += bias;
      for (at = low; at < high; at++) if (is_entry[at - low]) arm(child, at);
      ptrace(PTRACE_CONT, child, 0, 0);
      pid_t tid;
      while ((tid = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) { if (tid == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 1; continue; }
        struct thread *t = find(tid);
        int signal = WSTOPSIG(status);
        if (signal != SIGTRAP || status >> 16) {
          if (signal == SIGTRAP || signal == SIGSTOP) signal = 0;
          ptrace(t->is_stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, tid, 0, signal);
          continue;
        }
        if (t->rearm) put(tid, t->rearm, 0xcc), t->rearm = 0;
        struct user_regs_struct r;
        ptrace(PTRACE_GETREGS, tid, 0, &r);
        siginfo_t info;
        ptrace(PTRACE_GETSIGINFO, tid, 0, &info);
        if (info.si_code == SI_KERNEL && r.rip > low && r.rip <= high && armed[r.rip - 1 - low]) {
          r.rip--;
          ptrace(PTRACE_SETREGS, tid, 0, &r);
        }
        if (r.rip >= low && r.rip < high) {
          report(t, &r);
          if (armed[r.rip - low]) put(tid, r.rip, original[r.rip - low]), t->rearm = r.rip;
          t->is_stepping = 1;
        } else {
          uint64_t back = peek(tid, r.rsp);
          if (t->is_stepping && back >= low && back < high) arm(tid, back);
          t->is_stepping = 0;
        }
        ptrace(t->is_stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, tid, 0, 0);
      }
    }
    """

  /// At one instruction.
  struct Truth {
    var pc, rsp, rbp, r14, cfa, entryRBP, context, parent, back: UInt64
    /// Downward from the CFA.
    var words: [UInt64]

    init?(_ line: String) {
      let numbers = line.split(separator: " ").compactMap { UInt64($0, radix: 16) }
      guard numbers.count == 41 else { return nil }
      (pc, rsp, rbp, r14) = (numbers[0], numbers[1], numbers[2], numbers[3])
      (cfa, entryRBP, context, parent) = (numbers[4], numbers[5], numbers[6], numbers[7])
      back = numbers[8]
      words = Array(numbers[9...])
    }

    /// What is so far from the CFA.
    func word(_ offset: Int16) -> UInt64? { (-256 ... -8).contains(offset) ? words[Int(-offset) / 8 - 1] : nil }
  }

  func build(_ flags: [String]) throws -> String {
    let (source, output) = (try folder.file("program.swift", Self.program), folder.file("program"))
    let finished = try run(["swiftc", "-parse-as-library", "-o", output, source] + flags)
    guard finished.status == 0 else { throw RunError(finished.errorText) }
    return output
  }

  /// Functions are marked some at a time, as their rows come.
  @Test func rowsAreTheSameHoweverManyAreMarkedAtOnce() throws {
    for path in [
      try build(["-O"]), "\(SwiftLibraries.folder)/libswift_Concurrency.so", "\(SwiftLibraries.folder)/libFoundationEssentials.so",
    ] {
      let file = try ELFFile(path: FilePath(path))
      let whole = try UnwindTable(file, rowsAtOnce: .max)
      #expect((0..<whole.count).contains { whole[$0].rule.flags & UInt8(SWTRACE_RULE_ASYNC.rawValue) != 0 })
      for rows in [0, 1000] {
        let table = try UnwindTable(file, rowsAtOnce: rows)
        try #require(table.count == whole.count)
        #expect((0..<whole.count).allSatisfy { table[$0].start == whole[$0].start && table[$0].rule.bits == whole[$0].rule.bits })
      }
    }
  }

  @Test(arguments: [["-O"], ["-O", "-g"], ["-Onone", "-g"], ["-O", "-Xcc", "-fno-omit-frame-pointer"]])
  func rulesAreTrueAtEveryInstruction(_ flags: [String]) throws {
    let path = try build(flags)
    let file = try ELFFile(path: FilePath(path))
    let table = try UnwindTable(file)
    let functions = try #require(SwiftFunctions(file, SegmentBytes(file), debug: nil)).functions
    let (low, high) = (try #require(functions.first).start, try #require(functions.last).end)
    let stepper = try compile(Self.stepper, in: folder, name: "stepper", compiler: "gcc", flags: ["-O1", "-w"])
    let entries = functions.map { String($0.start, radix: 16) }.joined(separator: "\n")
    let finished = try run(
      ["timeout", "-s", "KILL", "240", stepper, String(low, radix: 16), String(high, radix: 16), String(file.entry, radix: 16), path],
      input: Array(entries.utf8),
      environment: ["LIBDISPATCH_COOPERATIVE_POOL_STRICT": "1"])
    try #require(finished.status == 0, "\(finished.errorText)")
    let truths = finished.lines.compactMap { Truth($0) }
    var (isRight, count, asyncCount, contexts, lost, guessed) = (0, 0, 0, 0, 0, 0)
    var errors: [String] = []
    for truth in truths {
      let rule = table.rule(at: ELFAddress(truth.pc))
      // The program's beginning, in C, is not of interest.
      guard rule.kind != SWTRACE_CFA_STOP else { continue }
      count += 1
      if rule.isGuessed { guessed += 1 }
      let cfa = (rule.kind == SWTRACE_CFA_RBP ? truth.rbp : truth.rsp) &+ UInt64(bitPattern: Int64(rule.cfa_offset))
      // A tail call with more arguments puts the return address where it belongs for the function that it calls, just before.
      let isLeaving =
        rule.kind == SWTRACE_CFA_RSP && rule.cfa_offset == 8 && truth.word(Int16(truncatingIfNeeded: truth.rsp &- truth.cfa)) == truth.back
      let rbp = rule.rbp == UInt8(SWTRACE_RBP_SAME.rawValue) ? truth.rbp : truth.word(rule.rbp_offset)
      if [SWTRACE_CFA_RBP, SWTRACE_CFA_RSP].contains(rule.kind), cfa == truth.cfa || isLeaving, rbp == truth.entryRBP {
        isRight += 1
      } else {
        let (fromRSP, fromRBP) = (Int64(bitPattern: truth.cfa &- truth.rsp), Int64(bitPattern: truth.cfa &- truth.rbp))
        errors.append(
          "0x\(String(truth.pc, radix: 16)): \(rule.text), not rsp+\(fromRSP) or rbp+\(fromRBP)\(rbp == truth.entryRBP ? "" : "; rbp")")
      }
      guard rule.isAsync else { continue }
      asyncCount += 1
      guard rule.r14_offset != SWTRACE_CONTEXT_LOST else {
        lost += 1
        continue
      }
      let context = rule.r14_offset == 0 ? truth.r14 : (truth.word(rule.r14_offset) ?? 0) &+ UInt64(bitPattern: Int64(rule.add))
      if context == truth.context || context == truth.parent { contexts += 1 }
    }
    #expect(count > 2000 && asyncCount > 1000)
    #expect(isRight == count, "\(errors.prefix(10))")
    // Between the place where a function puts another context into r14 and its last jump there is none of its own.
    #expect(Double(contexts + lost) > 0.97 * Double(asyncCount), "\(contexts) and \(lost) lost of \(asyncCount)")
    #expect(Double(lost) < 0.06 * Double(asyncCount), "\(lost) lost of \(asyncCount)")
  }
}
