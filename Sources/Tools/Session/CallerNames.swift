internal import CProbes
internal import Formats
internal import Linux
internal import Profiles
internal import Symbolication

/// Names the functions of user stacks while events come, for tools that print each at once.
struct CallerNames {
  private var symbolizer = Symbolizer(openFiles: 64)
  private let records: ProcessRecordReader?

  /// Call it before the first event, so that no program's start is missed.
  init() {
    guard ProcessNamespace.isInitial else {
      records = nil
      return
    }
    do { records = try ProcessRecordReader() } catch {
      complain("swtrace: \(error); callers in programs that run for a moment only will lack names")
      records = nil
    }
  }

  /// - Parameter addresses: innermost first.
  mutating func names(_ addresses: [UInt64], of process: UInt32, at time: UInt64) -> [Text] {
    guard ProcessNamespace.isInitial else { return addresses.map { Text("0x\(String($0, radix: 16))") } }
    let process = ProcessID(process)
    if let records, time > records.completeUntil {
      records.drain { symbolizer.processes.note($0) }
      // Events of several processors come nearly in their order.
      if time > 1_000_000_000 { symbolizer.processes.forgetIdle(before: time - 1_000_000_000, areNamed: true) }
    }
    let program = symbolizer.processes.program(of: process, at: time)
    return addresses.enumerated().flatMap { index, address -> [Text] in
      let address = VirtualAddress(address)
      switch symbolizer.symbolize(address, index == 0 ? .programCounter : .returnAddress, in: process, program: program) {
      case .frames(let frames): return frames.map { Text($0.function) }
      case .unknown: return [Text(symbolizer.placeholder(address, in: process, program: program).function)]
      }
    }
  }
}
