import Foundation
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Linux

@Suite(.requiresBPF, .serialized) struct ProcessorWatchLiveTests {
  /// In a virtual machine of its own a processor is switched off and on. Elsewhere other tests run on it: only its event is stopped, which
  /// looks the same.
  private func switchOffAndOn(_ processor: Int, _ event: CInt) throws {
    guard ProcessInfo.processInfo.environment["SWTRACE_KERNELS"] != nil else {
      // PERF_EVENT_IOC_DISABLE
      return #expect(ioctl(event, 0x2401) == 0)
    }
    for state in ["0", "1"] {
      try state.write(toFile: "/sys/devices/system/cpu/cpu\(processor)/online", atomically: false, encoding: .utf8)
    }
  }

  @Test func whoWasOffForAMomentIsNoticed() throws {
    let events = Mutex<[Int: CInt]>([:])
    var watch = ProcessorWatch { (processor) throws(SystemError) in
      let event = try PerfEvent.idle(processor: processor)
      events.withLock { $0[processor] = event }
      return event
    }
    #expect(watch.online == Processors.online && watch.generation == 1)
    for _ in 0..<101 { #expect(watch.look() == [] && watch.generation == 1) }
    let last = try #require(watch.online.last)
    for round in 2...7 {
      try switchOffAndOn(last, try #require(events.withLock { $0[last] }))
      #expect(watch.online == Processors.online)
      #expect(watch.look() == [last] && watch.generation == round && watch.online.contains(last))
      #expect(watch.look() == [] && watch.generation == round)
    }
  }

  /// Of what cannot be watched nothing is known, but for the list of processors.
  @Test func withoutEventsTheListCounts() {
    var watch = ProcessorWatch { (_) throws(SystemError) in throw SystemError("watch", "a processor", errno: .permissionDenied) }
    for _ in 0..<3 { #expect(watch.look() == [] && watch.generation == 1 && watch.online == Processors.online) }
  }
}
