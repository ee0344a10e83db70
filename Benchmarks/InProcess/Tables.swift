import DebugInfo
import Linux
import SystemPackage

/// How fast the rules of a file are made.
enum TablesBenchmark {
  /// Makes the table of a file seven times. Prints the median in milliseconds, and how many rows it has.
  static func run(_ file: String) throws {
    var rows = 0
    let taken = try (0..<7).map { _ in
      let start = Clock.monotonic
      rows = try UnwindTable(ELFFile(path: FilePath(file))).count
      return Double(Clock.monotonic - start) / 1e6
    }
    print("milliseconds \(taken.sorted()[3])")
    print("rows \(rows)")
  }
}
