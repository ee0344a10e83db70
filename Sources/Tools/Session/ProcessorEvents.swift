internal import BPF
internal import Linux
internal import SystemPackage

extension LoadedProbe {
  /// Attaches a program to a perf event of each of these processors.
  ///
  /// - Parameters:
  ///   - clock: the period of events that are clocks, in nanoseconds.
  ///   - doing: what fails where it fails: "sample".
  ///   - open: opens the event of a processor.
  /// - Returns: what the user should know: the processors that went offline meanwhile.
  func attach(
    _ program: String, processors: [Int], clock: UInt64? = nil, _ links: inout Links, doing: String,
    open: (Int) throws(SystemError) -> CInt
  ) throws(BPFError) -> [String] {
    var skipped: [Int] = []
    for processor in processors {
      let descriptor: CInt
      do { descriptor = try open(processor) } catch {
        // ENODEV: taken offline between the list and now.
        guard error.errno.rawValue == 19 else {
          throw BPFError(doing, "processor \(processor)", errno: error.errno, reason: error.cause)
        }
        skipped.append(processor)
        continue
      }
      let link = try attach(program, perfEvent: descriptor)
      if let clock { links.add(link, clock: descriptor, period: clock) } else { links.add(link) }
    }
    return skipped.isEmpty ? [] : ["without processors \(skipped.map(String.init).joined(separator: ", ")): offline"]
  }
}
