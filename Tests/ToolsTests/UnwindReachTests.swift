import TestSupport
import Testing

/// How many samples lead to the first function of their thread, in programs of many kinds.
///
/// Not in the virtual machines: a figure of half a percent takes a thousand samples, and the programs take compilers.
@Suite(.serialized, .requiresBPF) struct UnwindReachTests {
  private let programs: WorkingPrograms

  init() throws { programs = try WorkingPrograms() }

  private static let withoutFramePointers = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"]

  /// At least so many of a thousand samples or more are complete.
  private func expectReach(
    _ program: [String], thousandths: Int = 995, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> SampledStacks {
    let sampled = try programs.profile(program, atLeast: 1000)
    sampled.expectComplete(thousandths: thousandths, atLeast: 1000, sourceLocation: sourceLocation)
    return sampled
  }

  /// Recursion below a callback of the C library: stacks of more than 53 and 113 frames, each as it must be.
  @Test(arguments: [53, 113]) func codeWithoutFramePointers(_ frames: Int) throws {
    let program = try programs.c(
      "depth\(frames)",
      """
      #include <stdio.h>
      #include <stdlib.h>
      volatile long sink;
      __attribute__((noinline)) static void bottom(int n) { for (int i = 0; i < 400000; i++) sink += i * n; }
      __attribute__((noinline)) static int down(int n) { if (!n) { bottom(3); return 1; } return down(n - 1) + 1; }
      static int compare(const void *a, const void *b) { sink += down(DEPTH - 1); return *(int *)a - *(int *)b; }
      int main(void) {
        puts("ready");
        for (fflush(stdout);;) { int v[2] = { 3, 1 }; qsort(v, 2, sizeof(*v), compare); }
      }
      """, Self.withoutFramePointers + ["-DDEPTH=\(frames - 8)"])
    let sampled = try expectReach([program])
    let exact = sampled.count { stack in
      stack.count > frames && stack[1] == "_start" && stack.contains("main")
        && stack.suffix(frames - 6) == ["compare"] + [String](repeating: "down", count: frames - 8) + ["bottom"]
    }
    #expect(exact * 100 >= sampled.count() * 99, "\(exact) of \(sampled.count()): \(sampled.stacks.max { $0.count < $1.count }!)")
  }

  /// Forty frames that are larger than a page each, so that no copy of the stack would do.
  @Test func framesOfAPage() throws {
    let program = try programs.c(
      "pages",
      """
      #include <stdio.h>
      #include <string.h>
      volatile long sink;
      __attribute__((noinline)) static void bottom(void) { for (int i = 0; i < 100000; i++) sink += i; }
      __attribute__((noinline)) static int large(int n) {
        char page[4096];
        memset(page, n, sizeof(page));
        if (n) sink += large(n - 1); else bottom();
        return page[n];
      }
      int main(void) { puts("ready"); for (fflush(stdout);;) sink += large(39); }
      """, Self.withoutFramePointers)
    let sampled = try expectReach([program])
    let exact = sampled.count { $0.suffix(42) == ["main"] + [String](repeating: "large", count: 40) + ["bottom"] }
    #expect(exact * 2 >= sampled.count(), "\(exact) of \(sampled.count())")
  }

  /// A handler that takes most of the time, of a signal that the program sends itself.
  @Test func handlersOfSignals() throws {
    let program = try programs.c(
      "raising",
      """
      #include <signal.h>
      #include <stdio.h>
      volatile long sink;
      __attribute__((noinline)) static void inside(void) { for (int i = 0; i < 200000; i++) sink += i; }
      static void handler(int number) { inside(); sink++; }
      __attribute__((noinline)) static void sender(void) { raise(SIGUSR1); sink++; }
      int main(void) { signal(SIGUSR1, handler); puts("ready"); for (fflush(stdout);;) sender(); }
      """, Self.withoutFramePointers)
    let sampled = try expectReach([program])
    let handled = sampled.count { $0.contains("inside") }
    let whole = sampled.count { stack in
      let own = stack.filter { ["main", "sender", "handler", "inside"].contains($0) }
      return own == ["main", "sender", "handler", "inside"] && stack[1] == "_start"
    }
    #expect(handled * 2 >= sampled.count() && whole * 1000 >= handled * 995, "\(whole) of \(handled)")
  }

  /// Exceptions, streams, and the containers of the library.
  @Test func cPlusPlus() throws {
    let program = try programs.c(
      "library.cpp",
      """
      #include <cstdio>
      #include <map>
      #include <sstream>
      #include <stdexcept>
      #include <string>
      volatile long sink;
      __attribute__((noinline)) void thrower(int n) { if (n % 8 == 0) throw std::runtime_error("round"); sink = sink + n; }
      __attribute__((noinline)) void streams(int n) {
        std::ostringstream out;
        for (int i = 0; i < 20; i++) out << i * n << ' ' << 1.5 * i << std::endl;
        std::istringstream in(out.str());
        int number;
        double half;
        while (in >> number >> half) sink = sink + number;
      }
      __attribute__((noinline)) void catcher(int n) {
        std::map<std::string, int> names;
        for (int i = 0; i < 20; i++) names[std::to_string(i * n)] = i;
        try { thrower(n); } catch (const std::exception &error) { sink = sink + error.what()[0] + names.size(); }
      }
      int main() { puts("ready"); fflush(stdout); for (int n = 0;; n++) { catcher(n); streams(n); } }
      """, ["-O2", "-fomit-frame-pointer"])
    let sampled = try expectReach([program])
    #expect(sampled.count { stack in stack.contains { $0.hasPrefix("thrower") } } > 0)
    #expect(sampled.count { stack in stack.contains { $0.hasPrefix("streams") } } > 100)
  }

  /// As `swiftc -O` builds, and as `swift build -c release` does.
  @Test(arguments: [["-O"], ["-O", "-wmo", "-g"]]) func swift(_ flags: [String]) throws {
    let program = try programs.swift(
      "words",
      """
      final class Node { var left: Node?; var right: Node?; let word: Substring; init(_ word: Substring) { self.word = word } }
      @inline(never) func insert(_ word: Substring, _ node: Node?) -> Node {
        guard let node else { return Node(word) }
        if word < node.word { node.left = insert(word, node.left) } else { node.right = insert(word, node.right) }
        return node
      }
      @inline(never) func length(_ node: Node?) -> Int { node.map { $0.word.count + length($0.left) + length($0.right) } ?? 0 }
      @inline(never) func work(_ round: Int) -> Int {
        let text = (0..<200).map { "a\\($0 &* 7919 % 1000) b\\($0 % 13)" }.joined(separator: " ")
        var (root, counts): (Node?, [Substring: Int]) = (nil, [:])
        for word in text.split(separator: " ") {
          root = insert(word, root)
          counts[word, default: 0] += 1
        }
        return counts.values.sorted { $0 > $1 }[0] + length(root)
      }
      var sum = 0
      print("ready")
      fflush(stdout)
      for round in 0... { sum &+= work(round) }
      """, flags)
    let sampled = try expectReach([program])
    let named = sampled.count { $0.contains("words.work(_:)") }
    #expect(named * 10 >= sampled.count() * 9, "\(named) of \(sampled.count())")
  }

  /// Assembly that the authors of the library annotated: ciphers, hashes, and arithmetic on large numbers.
  ///
  /// Those for the curve keep the place of their frame in rax or at the end of an array: such frames are followed where they are innermost.
  @Test(arguments: zip(["-evp aes-256-gcm", "-evp sha256", "rsa2048", "ecdsap256"], [995, 995, 995, 995]))
  func cryptography(_ what: String, _ thousandths: Int) throws {
    let sampled = try expectReach(["sh", "-c", "echo ready; exec openssl speed -seconds 3600 \(what)"], thousandths: thousandths)
    // Those of its functions that have names do not tell the library.
    let inLibrary = sampled.count { stack in stack.contains { $0.hasPrefix("libcrypto.so") } }
    #expect(inLibrary * 2 >= sampled.count(), "\(inLibrary) of \(sampled.count())")
  }

  @Test func python() throws {
    let script = try programs.folder.file(
      "loop.py",
      """
      def leaf(n):
          return sum(i * i % 7 for i in range(n))
      def middle(n):
          return leaf(n) + len(sorted(str(i) for i in range(n)))
      print("ready", flush=True)
      while True:
          middle(500)
      """)
    let sampled = try expectReach(["python3", script])
    let evaluating = sampled.count { $0.contains("_PyEval_EvalFrameDefault") || $0.contains { $0.hasPrefix("libpython3") } }
    #expect(evaluating * 10 >= sampled.count() * 9, "\(evaluating) of \(sampled.count())")
  }

  /// A large program from its first instruction on, with tables that are made while it runs.
  @Test func compilers() throws {
    let file = try programs.folder.file(
      "large.cpp",
      """
      #include <functional>
      #include <iostream>
      #include <map>
      #include <regex>
      #include <unordered_map>
      int main(int count, char **values) {
        std::regex pattern(values[0]);
        std::map<std::string, std::unordered_map<int, std::string>> names;
        names["a"][2] = "x";
        std::cout << std::regex_match("a", pattern) << names.size();
      }
      """)
    let sampled = try programs.stacks(["--", "c++", "-O2", "-c", "-o", programs.folder.file("large.o"), file])
    sampled.expectComplete(thousandths: 970, atLeast: 1000)
    let compiler = sampled.count { $0[0] == "cc1plus" }
    #expect(compiler * 10 >= sampled.count() * 9, "\(compiler) of \(sampled.count())")
  }
}
