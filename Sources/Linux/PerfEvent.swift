internal import CLinux
internal import Glibc
internal import SystemPackage

/// Software events of processors (perf_event_open(2)).
package enum PerfEvent {
  /// Opens a clock that ticks on one processor, for all tasks. The caller owns the descriptor.
  ///
  /// - Parameter period: nanoseconds; a frequency would be approached only.
  /// - Throws: `noSuchDevice` for a processor that is not online.
  package static func clock(processor: Int, period: UInt64) throws(SystemError) -> CInt {
    try check(open(PERF_COUNT_SW_CPU_CLOCK, processor: processor, period: period), "sample", "processor \(processor)")
  }

  /// Opens the kernel's count of the page faults that tasks have on one processor. The caller owns the descriptor.
  ///
  /// The event occurs with each fault, in the task that has it.
  ///
  /// - Throws: `noSuchDevice` for a processor that is not online.
  package static func pageFaults(processor: Int, areMajor: Bool) throws(SystemError) -> CInt {
    try check(
      open(areMajor ? PERF_COUNT_SW_PAGE_FAULTS_MAJ : PERF_COUNT_SW_PAGE_FAULTS_MIN, processor: processor, period: 1),
      "count page faults of", "processor \(processor)")
  }

  private static func open(_ event: perf_sw_ids, processor: Int, period: UInt64) -> CInt {
    var attributes = perf_event_attr()
    attributes.size = UInt32(MemoryLayout<perf_event_attr>.size)
    attributes.type = UInt32(PERF_TYPE_SOFTWARE.rawValue)
    attributes.config = UInt64(event.rawValue)
    attributes.sample_period = period
    return unsafe swtrace_perf_event_open(&attributes, -1, Int32(processor), -1, UInt(PERF_FLAG_FD_CLOEXEC))
  }
}

/// The machine's processors.
package enum Processors {
  /// The threads of the machine (/proc/loadavg: running/all).
  package static var threads: Int {
    let fields = ProcFile.read("/proc/loadavg")?.split(separator: " ") ?? []
    return fields.count > 3 ? fields[3].split(separator: "/").last.flatMap { Int($0) } ?? 0 : 0
  }

  /// The numbers of those that are online (/sys/devices/system/cpu/online).
  package static var online: [Int] {
    guard let text = ProcFile.read("/sys/devices/system/cpu/online") else { return [0] }
    return list(text)
  }

  /// A list such as `0-3,8,10-11`.
  package static func list(_ text: String) -> [Int] {
    text.split(whereSeparator: { $0 == "," || $0 == "\n" }).flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last, last - first < 1 << 16 else { return [] }
      return Array(first...last)
    }
  }
}
