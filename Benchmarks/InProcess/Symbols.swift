import Linux
import Symbolication
import SystemPackage

/// How fast addresses and names become readable once their file is known.
enum SymbolsBenchmark {
  /// Names the addresses of standard input (hexadecimal, one on each line) several times with one symbolizer. Prints how many each pass
  /// named in a second, `first` and `warm` (the median of the others), and a number of frames, which shows that they were made.
  static func addresses(of file: String) throws {
    var addresses: [UInt64] = []
    while let line = readLine() {
      guard let address = UInt64(line.dropFirst(2), radix: 16) else { throw NoAddress(line: line) }
      addresses.append(address)
    }
    let symbolizer = try FileSymbolizer(FilePath(file), keepsAnswers: true)
    var frames = 0
    func pass() -> Double {
      let start = Clock.monotonic
      for address in addresses {
        if case .frames(let found) = symbolizer.symbolize(address) { frames += found.count }
      }
      return Double(addresses.count) * 1e9 / Double(Clock.monotonic - start)
    }
    print("first \(pass())")
    print("warm \((0..<21).map { _ in pass() }.sorted()[10])")
    print("frames \(frames / 22)")
  }

  /// Demangles each name of standard input, seven times. Prints the median of the passes' means in nanoseconds, and how many became
  /// readable.
  static func names() {
    var names: [String] = []
    while let line = readLine() { names.append(line) }
    var readable = 0
    let means = (0..<7).map { _ in
      readable = 0
      let start = Clock.monotonic
      for name in names where Demangler.demangle(name) != nil { readable += 1 }
      return Double(Clock.monotonic - start) / Double(max(names.count, 1))
    }
    print("mean \(means.sorted()[3])")
    print("readable \(readable)")
  }

  struct NoAddress: Error {
    var line: String
  }
}
