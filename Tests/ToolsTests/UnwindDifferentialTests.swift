import Foundation
import TestSupport
import Testing

/// Whole stacks against those of perf, which copies the stack with each sample and unwinds it later, with code of its own.
@Suite(.serialized, .requiresBPF) struct UnwindDifferentialTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  private static let source = """
    #include <alloca.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #define OWN __attribute__((noinline)) static
    volatile long sink;
    OWN void leaf(int n) { for (int i = 0; i < 1500000; i++) sink += i * n; }
    OWN int recursive(int n) { if (!n) { leaf(1); return 1; } return recursive(n - 1) + 1; }
    OWN int variable(int n) { char *room = alloca(n * 16 + 64); memset(room, n, 64); leaf(n); return room[3]; }
    OWN int aligned(int n) { char wide[n + 64] __attribute__((aligned(64))); memset(wide, n, sizeof(wide)); leaf(n); return wide[3]; }
    OWN int large(int n) { char page[9000]; memset(page, n, sizeof(page)); if (n) sink += large(n - 1); else leaf(2); return page[n]; }
    OWN int compare(const void *a, const void *b) { leaf(3); return *(int *)a - *(int *)b; }
    OWN int sorting(void) { int v[2] = { 3, 1 }; qsort(v, 2, sizeof(*v), compare); return v[0]; }
    OWN void handler(int number) { leaf(number); }
    OWN int signalled(void) { raise(SIGUSR1); return sink; }
    OWN int many(int a, int b, int c, int d, int e, int f, int g, int h) { leaf(a + h); return a * b + c * d + e * f + g * h; }
    OWN int through(int (*function)(int), int n) { return function(n) + 1; }
    OWN void *work(void *argument) {
      for (;;) {
        sink += recursive(30) + variable(5) + aligned(7) + large(4) + sorting() + signalled() + many(1, 2, 3, 4, 5, 6, 7, 8);
        sink += through(variable, 9);
      }
      return argument;
    }
    int main(void) {
      pthread_t other;
      signal(SIGUSR1, handler);
      pthread_create(&other, 0, work, 0);
      puts("ready");
      fflush(stdout);
      work(&other);
    }
    """
  /// The names, as `plain` says them, that the stacks of the two threads begin with.
  private static let roots = ["start", "clone3"]
  /// Of a second; two or three are enough on a machine that has time.
  private static let rounds = 60
  /// What `work` calls.
  private static let chainCount = 8

  private typealias Chains = [[String]: Int]

  /// Two threads with eight chains of calls each, and next to nothing else: both tools see the same ones, equally often.
  @Test func wholeChainsAreThoseOfPerf() throws {
    let flags = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline", "-fno-ipa-cp"]
    let program = try programs.c("shapes", Self.source, flags)
    let (own, perfs) = try programs.during([program]) { running in
      var (own, perfs): (Chains, Chains) = ([:], [:])
      for _ in 0..<Self.rounds where hasTooFew(own) {
        let sampled = try programs.stacks(["-p", "\(running.pid)", "-d", "1", "--no-inline"])
        sampled.expectComplete()
        for (frames, count) in sampled.stacks { own[frames.dropFirst().map(plain), default: 0] += count }
      }
      for _ in 0..<Self.rounds where hasTooFew(perfs) { perfs.merge(try record(running.pid)) { $0 + $1 } }
      return (own, perfs)
    }

    #expect(!hasTooFew(own) && !hasTooFew(perfs), "\(own) \(perfs)")
    let whole = perfs.filter { Self.roots.contains($0.key.first ?? "") }
    #expect(total(of: whole) * 1000 >= total(of: perfs) * 990, "\(total(of: whole)) of \(total(of: perfs))")
    expect(own, areIn: whole)
    expect(whole, areIn: own)

    for root in Self.roots {
      // How the threads share the processors is the scheduler's affair.
      let (own, whole) = (own.filter { $0.key.first == root }, whole.filter { $0.key.first == root })
      let frequent = whole.filter { $0.value * 50 >= total(of: whole) }
      #expect(frequent.count == Self.chainCount, "\(frequent)")
      for chain in frequent.keys {
        let shares = [own, whole].map { Double($0[chain] ?? 0) / Double(total(of: $0)) }
        // Of each share's difference, five standard deviations and a hundredth.
        let deviation = (shares[1] * (1 - shares[1]) * (1 / Double(total(of: own)) + 1 / Double(total(of: whole)))).squareRoot()
        #expect(abs(shares[0] - shares[1]) <= 5 * deviation + 0.01, "\(shares) of \(chain)")
      }
    }
  }

  private func hasTooFew(_ chains: Chains) -> Bool {
    Self.roots.contains { root in total(of: chains.filter { $0.key.first == root }) < 500 }
  }

  private func total(of chains: Chains) -> Int { chains.values.reduce(0, +) }

  /// 995 of 1000 samples have a chain that others have too.
  private func expect(_ some: Chains, areIn others: Chains, sourceLocation: SourceLocation = #_sourceLocation) {
    let strange = some.filter { others[$0.key] == nil }
    #expect(total(of: strange) * 1000 <= total(of: some) * 5, "\(strange) of \(total(of: some))", sourceLocation: sourceLocation)
  }

  /// The chains that perf finds in copies of 64 KiB of the stack during a second.
  private func record(_ process: pid_t) throws -> Chains {
    let data = programs.folder.file("perf.data")
    try mustRun([
      "perf", "record", "-q", "-o", data, "-e", "cpu-clock", "-F", "497", "--call-graph", "dwarf,65528", "-p", "\(process)", "--", "sleep",
      "1",
    ])
    let text = try mustRun(["perf", "script", "-i", data, "--no-inline", "-F", "ip,sym"])
    var chains: Chains = [:]
    var chain: [String] = []
    // An empty line ends each sample.
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.split { $0 == " " || $0 == "\t" }
      if words.count >= 2 {
        // The kernel's part of the stack is not compared.
        if words[0].count < 16 || !words[0].hasPrefix("ffff") { chain.append(plain(words[1...].joined(separator: " "))) }
      } else if !chain.isEmpty {
        chains[chain.reversed(), default: 0] += 1
        chain = []
      }
    }
    return chains
  }

  /// A name without what the tools do differently: of several names of a function they choose others, and perf keeps the compiler's suffixes.
  private func plain(_ name: String) -> String {
    if name.contains("+0x") { return "[unknown]" }
    let bare = name.prefix { $0 != "@" && $0 != "." }
    return String((bare.hasPrefix("__GI_") ? bare.dropFirst(5) : bare).drop { $0 == "_" })
  }
}
