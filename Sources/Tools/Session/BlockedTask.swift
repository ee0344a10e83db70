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
  var userStack: [UInt64]

  /// All whose waits a probe knows. It may have ended while they were read; see `stillWaits`.
  static func all(of probe: borrowing LoadedProbe) throws(BPFError) -> [BlockedTask] {
    var tasks: [BlockedTask] = []
    let written = try probe.iterate("report_blocked")
    var rest = written.span.bytes
    while rest.byteCount >= MemoryLayout<swtrace_stack_event>.size {
      let event = rest.header(swtrace_stack_event.self)
      rest = rest.extracting(droppingFirst: MemoryLayout<swtrace_stack_event>.size)
      let addresses = (0..<event.frames).map { rest.unsafeLoadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
      rest = rest.extracting(droppingFirst: event.frames * 8)
      let registers = addresses[Int(event.parts.kernel)...]
      tasks.append(
        BlockedTask(
          event: event, kernelStack: Array(addresses.prefix(Int(event.parts.kernel))),
          userStack: registers.count == 2
            ? userStack(of: event.tid, instruction: registers[registers.startIndex], frame: registers[registers.startIndex + 1]) : []))
    }
    return tasks
  }

  /// Whether it is the same wait; asked when everything is detached, so that nothing can end it any more.
  func isStillOn(_ probe: borrowing LoadedProbe) throws(BPFError) -> Bool {
    let starts: ProbeMap<UInt32, SIMD2<UInt64>> = try probe.map("starts")
    return starts[event.tid]?.x == event.time_ns
  }

  /// Follows the frame pointers as the kernel does for the task that runs.
  private static func userStack(of thread: UInt32, instruction: UInt64, frame: UInt64) -> [UInt64] {
    var stack = [instruction]
    let memory = ProcessNamespace.isInitial ? open("/proc/\(thread)/mem", O_RDONLY | O_CLOEXEC) : -1
    guard memory >= 0 else { return stack }
    defer { close(memory) }
    var frame = frame
    // The caller's frame pointer and the address to return to.
    var pair = SIMD2<UInt64>()
    while stack.count < SWTRACE_STACK_DEPTH, frame != 0 {
      let got = withUnsafeMutableBytes(of: &pair) { pread(memory, $0.baseAddress, $0.count, off_t(bitPattern: UInt(frame))) }
      guard got == MemoryLayout<SIMD2<UInt64>>.size else { break }
      stack.append(pair.y)
      frame = pair.x
    }
    return stack
  }
}
