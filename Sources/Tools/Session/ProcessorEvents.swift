internal import BPF
internal import Linux
internal import SystemPackage

extension LoadedProbe {
  /// Attaches a program to a perf event of each of these processors.
  ///
  /// - Parameters:
  ///   - doing: what fails where it fails: "sample".
  ///   - open: opens the event of a processor.
  /// - Returns: what the user should know: the processors that went offline meanwhile.
  func attach(
    _ program: String, processors: [Int], _ links: inout Links, doing: String, open: (Int) throws(SystemError) -> CInt
  ) throws(BPFError) -> [String] {
    var skipped: [Int] = []
    for processor in processors {
      let descriptor: CInt
      do { descriptor = try open(processor) } catch {
        // ENODEV: taken offline between the list and now.
        guard error.errno.rawValue == 19 else { throw BPFError(doing, "processor \(processor)", errno: error.errno) }
        skipped.append(processor)
        continue
      }
      links.add(try attach(program, perfEvent: descriptor))
    }
    return skipped.isEmpty ? [] : ["without processors \(skipped.map(String.init).joined(separator: ", ")): offline"]
  }
}
