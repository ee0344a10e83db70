internal import CProbes
internal import Formats
internal import Linux
package import Profiles
package import Symbolication

/// Counts equal stacks while events come, and names them when all have come.
package struct StackAggregator {
  /// A stack as it was seen: addresses, innermost first, the kernel's before the user's.
  private struct Raw: Hashable {
    var process: UInt32
    var thread: UInt32
    var command: Text
    var kernelFrames: Int
    var addresses: [UInt64]
  }

  /// A wait whose user stack has not come yet.
  private struct Owed {
    var raw: Raw
    var value: UInt64
    var time: UInt64
  }

  package private(set) var symbolizer = Symbolizer()
  /// Events that were taken in.
  package private(set) var count: UInt64 = 0
  /// Events whose stack was one too many.
  package private(set) var overflow: UInt64 = 0
  private var values: [Raw: UInt64] = [:]
  private var owed: [UInt32: [Owed]] = [:]
  private let byThread: Bool

  /// About 1 KB each: more would be memory that nobody expects a tool to take.
  private static let limit = 1 << 18

  /// - Parameter byThread: whether threads of a process are kept apart.
  package init(byThread: Bool = false) { self.byThread = byThread }

  /// Takes in one record.
  package mutating func add(_ record: RawSpan) {
    let event = record.header(swtrace_stack_event.self)
    let kernel = Int(max(event.kernel_frames, 0))
    let user = Int(max(event.user_frames, 0))
    let body = record.extracting(droppingFirst: MemoryLayout<swtrace_stack_event>.size)
    guard body.byteCount >= (kernel + user) * 8 else { return }
    var addresses: [UInt64] = []
    addresses.reserveCapacity(kernel + user)
    for index in 0..<kernel + user { addresses.append(body.unsafeLoadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }

    switch event.kind {
    case SWTRACE_STACK_USER_PART.rawValue:
      for wait in owed.removeValue(forKey: event.tid) ?? [] {
        var raw = wait.raw
        raw.addresses += addresses
        add(raw, wait.value)
      }
      return
    default:
      count += 1
      if event.pid != 0 { symbolizer.learn(ProcessID(event.pid)) }
      let raw = Raw(
        process: event.pid, thread: byThread ? event.tid : 0, command: Text(comm: event.comm), kernelFrames: kernel, addresses: addresses)
      if event.kind == SWTRACE_STACK_USER_FOLLOWS.rawValue {
        owed[event.tid, default: []].append(Owed(raw: raw, value: event.value, time: event.time_ns))
      } else {
        add(raw, event.value)
      }
    }
  }

  private mutating func add(_ raw: Raw, _ value: UInt64) {
    if values[raw] == nil, values.count >= Self.limit {
      overflow += 1
      return
    }
    values[raw, default: 0] += value
  }

  /// Gives up on user stacks that never came.
  ///
  /// - Returns: how many waits are without theirs.
  package mutating func settle() -> Int {
    let rest = owed.values.flatMap(\.self)
    owed = [:]
    for wait in rest { add(wait.raw, wait.value) }
    return rest.count
  }

  /// All stacks with names.
  package mutating func profile(unit: Profile.Unit, divisor: UInt64 = 1) -> Profile {
    var profile = Profile(unit: unit)
    for (raw, value) in values {
      let process = Profile.Process(command: raw.command.bytes, pid: raw.process, tid: byThread ? raw.thread : nil)
      profile.add(value / divisor, stack: name(raw), process: process)
    }
    return profile
  }

  private mutating func name(_ raw: Raw) -> Stack {
    var frames: [Frame] = []
    var isInterrupted = false
    for (index, address) in raw.addresses[..<raw.kernelFrames].enumerated() {
      switch symbolizer.symbolize(KernelAddress(address), index == 0 ? .programCounter : .returnAddress) {
      case .frames(let found):
        frames += found
        // A wait in a page fault is not part of any system call: the user stack at the next call's end is another one.
        if found[0].function.hasPrefix("asm_exc_") { isInterrupted = true }
      case .unknown: frames.append(Frame(function: "[unknown]", module: "[kernel]", kind: .kernel))
      }
    }
    let isWait = raw.kernelFrames > 0 && isInterrupted && isFromWaits
    for (index, address) in raw.addresses[raw.kernelFrames...].enumerated() where !isWait {
      let process = ProcessID(raw.process)
      switch symbolizer.symbolize(VirtualAddress(address), index == 0 ? .programCounter : .returnAddress, in: process) {
      case .frames(let found): frames += found
      case .unknown: frames.append(symbolizer.placeholder(VirtualAddress(address), in: process))
      }
    }
    return Stack(frames.reversed())
  }

  /// Whether user stacks were walked later than kernel stacks.
  package var isFromWaits = false
}
