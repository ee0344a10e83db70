internal import BPF
package import CProbes
internal import Glibc
internal import Linux

/// A task that was blocked when the trace ended, with the stack that it waits in.
package struct BlockedTask {
  /// Its time is when the wait began.
  package var event: swtrace_stack_event
  /// Innermost first.
  var kernelStack: [UInt64]
  /// By frame pointers, innermost first; empty where it is walked by rules.
  var userStack: [UInt64] = []
  /// A `swtrace_stack_rest` with its bytes, to be walked by rules; or empty.
  var rest: [UInt8] = []

  /// All whose waits a probe knows. It may have ended while they were read; see `stillWaits`.
  ///
  /// - Parameter byRules: whether user stacks will be walked by rules.
  static func all(of probe: borrowing LoadedProbe, byRules: Bool) throws(BPFError) -> [BlockedTask] {
    var tasks: [BlockedTask] = []
    let written = try probe.iterate("report_blocked")
    var rest = written.span.bytes
    while rest.byteCount >= MemoryLayout<swtrace_stack_event>.size {
      let event = rest.header(swtrace_stack_event.self)
      rest = rest.extracting(droppingFirst: MemoryLayout<swtrace_stack_event>.size)
      let addresses = (0..<event.frames).map { rest.unsafeLoadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
      rest = rest.extracting(droppingFirst: event.frames * 8)
      let registers = Array(addresses.dropFirst(Int(event.parts.kernel)))
      var task = BlockedTask(event: event, kernelStack: Array(addresses.prefix(Int(event.parts.kernel))))
      if registers.count == SWTRACE_BLOCKED_REGISTERS {
        let header = swtrace_stack_rest(
          ip: registers[0], sp: registers[2], bp: registers[1], r14: registers[3], memory: 0, is_leaf: 1, count: 0)
        let memory = ProcessNamespace.isInitial ? ResidentMemory(of: event.tid) : nil
        if byRules { task.rest = copy(header, memory) } else { task.userStack = userStack(header, memory) }
      }
      tasks.append(task)
    }
    return tasks
  }

  /// Whether it is the same wait; asked when everything is detached, so that nothing can end it any more.
  func isStillOn(_ probe: borrowing LoadedProbe) throws(BPFError) -> Bool {
    try Starts(probe)[event.tid]?.time == event.time_ns
  }

  /// The registers and what of the stack can be read, up to the size that the probes copy.
  private static func copy(_ registers: swtrace_stack_rest, _ memory: borrowing ResidentMemory?) -> [UInt8] {
    var header = registers
    let limit = Int(SWTRACE_REST_PAGES) * 4096
    let stack = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
      // Beyond the end of the stack there may be nothing: up to the ends of pages.
      while count < limit {
        let from = header.sp &+ UInt64(count)
        let length = min(4096 - Int(from & 4095), limit - count)
        guard memory?.read(from, into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress! + count, count: length)) == true else {
          break
        }
        count += length
      }
    }
    header.count = UInt32(stack.count)
    return withUnsafeBytes(of: header) { Array($0) } + stack
  }

  /// Follows the frame pointers as the kernel does for the task that runs.
  private static func userStack(_ registers: swtrace_stack_rest, _ memory: borrowing ResidentMemory?) -> [UInt64] {
    var stack = [registers.ip]
    var frame = registers.bp
    // The caller's frame pointer and the address to return to.
    var pair = SIMD2<UInt64>()
    while stack.count < SWTRACE_STACK_DEPTH, frame != 0 {
      guard withUnsafeMutableBytes(of: &pair, { memory?.read(frame, into: $0) }) == true else { break }
      stack.append(pair.y)
      frame = pair.x
    }
    return stack
  }
}
