import DebugInfo
import Foundation
import SystemPackage
import TestSupport
import Testing

/// Inlined calls and lines, beside what llvm-symbolizer of the Swift toolchain answers for the same addresses.
@Suite(.serialized) struct SourceCallTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Templates, lambdas, local types and recursion, inlined into one another.
  private static let source = """
    #include <algorithm>
    #include <cstdio>
    #include <map>
    #include <numeric>
    #include <string>
    #include <vector>
    namespace shop {
    template <typename Value> struct Stock {
      std::map<std::string, std::vector<Value>> items;
      void add(const std::string &name, Value value) { items[name].push_back(value); }
      template <typename Visit> void each(Visit visit) const {
        for (const auto &item : items) for (const auto &value : item.second) visit(item.first, value);
      }
    };
    struct Order { int price; int count; bool operator<(const Order &other) const { return price * count < other.price * other.count; } };
    static int depth(int level) { return level < 2 ? 1 : depth(level - 1) + depth(level - 2); }
    }
    int main(int count, char **arguments) {
      shop::Stock<shop::Order> stock;
      for (int i = 0; i < 1000 * count; i++) stock.add("item" + std::to_string(i % 17), { i * 7 % 101, i });
      long total = 0;
      struct Summer { long sum = 0; void take(const shop::Order &order) { sum += std::max(order.price, 3) * order.count; } } summer;
      stock.each([&](const std::string &name, const shop::Order &order) { summer.take(order); total += name.size(); });
      for (auto &item : stock.items) std::sort(item.second.begin(), item.second.end());
      auto sum = std::accumulate(stock.items.begin(), stock.items.end(), 0L, [](long sum, const auto &item) { return sum + item.second.front().price; });
      std::printf("%ld %ld %ld %d\\n", total, summer.sum, sum, shop::depth(count + 5));
    }
    """

  private struct Answer: Equatable {
    var names: [String]
    var lines: [Int]
    var files: [String]
  }

  /// What llvm-symbolizer says, in the order of the addresses.
  private func symbolizer(_ path: String, _ addresses: [UInt64]) throws -> [Answer] {
    let input = addresses.map { "0x\(String($0, radix: 16))" }.joined(separator: "\n") + "\n"
    let file = try folder.file("addresses", input)
    let output = try run(["sh", "-c", "llvm-symbolizer --no-demangle --output-style=JSON --obj=\(path) < \(file)"]).outputText
    return try output.split(separator: "\n").map { line in
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      let symbols = object?["Symbol"] as? [[String: Any]] ?? []
      return Answer(
        names: symbols.map { $0["FunctionName"] as? String ?? "" }, lines: symbols.map { $0["Line"] as? Int ?? -1 },
        files: symbols.map { $0["FileName"] as? String ?? "" })
    }
  }

  /// The addresses of the functions of a program.
  private func functions(_ path: String) throws -> [Range<UInt64>] {
    try run(["nm", "-S", "--defined-only", path]).lines.compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count == 4, "tTwW".contains(fields[2]), let start = UInt64(fields[0], radix: 16), let size = UInt64(fields[1], radix: 16)
      else { return nil }
      return start..<start + size
    }
  }

  @Test(
    arguments: [
      ("g++", ["-O2", "-gdwarf-5"]), ("g++", ["-O2", "-gdwarf-4"]), ("g++", ["-O3", "-g", "-no-pie"]),
      ("g++", ["-O2", "-g", "-gsplit-dwarf"]),
      ("clang++", ["-O2", "-g"]), ("clang++", ["-O2", "-gdwarf-4"]), ("g++", ["-O1", "-g", "-flto"]), ("g++", ["-O2", "-g", "-gz"]),
    ] as [(String, [String])])
  func callsAgreeWithLLVM(_ compiler: String, _ flags: [String]) throws {
    let file = try folder.file("shop.cpp", Self.source)
    let path = "\(folder.path)/shop"
    let made = try run([compiler, "-std=c++17"] + flags + ["-o", path, file])
    try #require(made.status == 0, "\(made.errorText)")
    let addresses = try functions(path).flatMap { Array(stride(from: $0.lowerBound, to: $0.upperBound, by: 2)) }
    let expected = try symbolizer(path, addresses)
    try #require(expected.count == addresses.count && addresses.count > 500)
    try compare(path, addresses, expected)
  }

  /// The same answers wherever the debug information has gone.
  @Test(
    arguments: [
      ("g++", ["-gdwarf-5", "-gsplit-dwarf"], .package), ("g++", ["-gdwarf-4", "-gsplit-dwarf"], .package),
      ("clang++", ["-gdwarf-5", "-gsplit-dwarf"], .package), ("g++", ["-gdwarf-4", "-gsplit-dwarf"], .moved),
      ("clang++", ["-gdwarf-5", "-gsplit-dwarf"], .moved), ("g++", ["-gdwarf-4"], .shared), ("g++", ["-gdwarf-5"], .shared),
      ("g++", ["-gdwarf-5"], .separate), ("g++", ["-gdwarf-5", "-gz"], .strangers),
    ] as [(String, [String], Place)])
  func callsAreTheSameElsewhere(_ compiler: String, _ flags: [String], _ place: Place) throws {
    let file = try folder.file("shop.cpp", Self.source)
    let path = folder.file("shop")
    // A second, small unit: tools that share and package units want more than one.
    let other = try folder.file("other.cpp", "#include <string>\nint length(const std::string &text) { return text.length(); }\n")
    let script = [compiler, "-std=c++17", "-O2"] + flags + ["-o", path, file, other]
    try mustRun(["sh", "-c", "cd \(folder.path) && \(script.joined(separator: " "))"])
    let addresses = try functions(path).flatMap { Array(stride(from: $0.lowerBound, to: $0.upperBound, by: 3)) }
    let expected = try symbolizer(path, addresses)
    switch place {
    case .package:
      // Binutils' tool does not know DWARF 5.
      try mustRun([
        "sh", "-c", "cd \(folder.path) && \(flags.contains("-gdwarf-5") ? "llvm-dwp -e shop -o shop.dwp" : "dwp -e shop") && rm *.dwo",
      ])
    case .moved:
      try mustRun(["sh", "-c", "cd \(folder.path) && mkdir there && mv shop *.dwo there"])
      return try compare("\(folder.path)/there/shop", addresses, expected)
    case .shared:
      // The shared part goes into a third file.
      try mustRun([
        "sh", "-c", "cd \(folder.path) && cp shop twin && dwz -m common shop twin && readelf -S shop | grep -q gnu_debugaltlink",
      ])
    case .strangers:
      // Not mapped: whoever it belongs to could make it shorter.
      try mustRun(["chown", "65534", path])
    case .separate:
      try mustRun([
        "sh", "-c",
        "cd \(folder.path) && objcopy --only-keep-debug shop shop.debug && strip shop && objcopy --add-gnu-debuglink=shop.debug shop",
      ])
    }
    try compare(path, addresses, expected)
  }

  enum Place: Sendable { case package, moved, shared, separate, strangers }

  private func compare(_ path: String, _ addresses: [UInt64], _ expected: [Answer]) throws {
    let symbols = try ObjectSymbols(
      ELFFile(path: FilePath(path)), searching: DebugFileSearch(path: FilePath(path), folders: []))
    var (frames, inlined) = (0, 0)
    var differences: [String] = []
    for (number, (address, expected)) in zip(addresses, expected).enumerated() {
      // What has been given up is read again.
      if number % (addresses.count / 3) == 1 { symbols.release() }
      let calls = symbols.calls(at: ELFAddress(address))
      // What has no debug information, such as the start-up code.
      guard expected.lines.contains(where: { $0 > 0 }) else { continue }
      let names = calls.dropLast().map { $0.name ?? "" } + [symbols.function(at: ELFAddress(address))?.name ?? calls.last?.name ?? ""]
      let answer = Answer(names: names, lines: calls.map { Int($0.line) }, files: calls.map { $0.file ?? "" })
      frames += expected.names.count
      inlined += expected.names.count - 1
      if answer != expected { differences.append("\(String(address, radix: 16)): \(answer), not \(expected)") }
    }
    #expect(inlined > 500)
    #expect(differences.count * 1000 <= frames * 5, "\(differences.count) of \(frames): \(differences.prefix(5).joined(separator: "\n"))")
  }
}
