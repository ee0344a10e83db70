internal import CLinux
internal import Glibc
package import SystemPackage

/// Software events of processors (perf_event_open(2)).
package enum PerfEvent {
  /// Opens a clock that ticks on one processor, for all tasks. The caller owns the descriptor.
  ///
  /// - Parameters:
  ///   - period: nanoseconds; a frequency would be approached only.
  ///   - isIdle: whether it ticks while the processor is idle, too. The kernel stops a clock that has ticked too often since the last
  ///     tick of its own, of which an idle processor has none: it would miss what comes after the idleness.
  /// - Throws: `noSuchDevice` for a processor that is not online.
  package static func clock(processor: Int, period: UInt64, isIdle: Bool) throws(SystemError) -> CInt {
    try checkEvent(open(PERF_COUNT_SW_CPU_CLOCK, processor: processor, period: period, isIdle: isIdle), "sample", processor)
  }

  /// How long the kernel has stopped a clock, in nanoseconds, because it ticked more often than `kernel.perf_event_max_sample_rate` allows:
  /// an estimate (docs/loss.md).
  package static func stoppedTime(of clock: CInt) -> UInt64 {
    guard let values = values(of: clock) else { return 0 }
    return values.running - min(values.count, values.running)
  }

  /// Opens the kernel's count of the page faults that tasks have on one processor. The caller owns the descriptor.
  ///
  /// The event occurs with each fault, in the task that has it.
  ///
  /// - Throws: `noSuchDevice` for a processor that is not online.
  package static func pageFaults(processor: Int, areMajor: Bool) throws(SystemError) -> CInt {
    try checkEvent(
      open(areMajor ? PERF_COUNT_SW_PAGE_FAULTS_MAJ : PERF_COUNT_SW_PAGE_FAULTS_MIN, processor: processor, period: 1),
      "count page faults of", processor)
  }

  /// Throws the error of a call of perf_event_open(2), with the cause where it is `refusal`.
  static func checkEvent(_ result: CInt, _ operation: String, _ processor: Int) throws(SystemError) -> CInt {
    do { return try check(result, operation, "processor \(processor)") } catch {
      throw SystemError(error.operation, error.subject, errno: error.errno, cause: refusal(error.errno))
    }
  }

  /// Why the kernel refuses events of perf to who has CAP_PERFMON, and the remedy; nil where it is not that.
  ///
  /// Kernels of Debian and Ubuntu have a patch: where the setting is above 2, which elsewhere means no more than 2, perf_event_open(2)
  /// wants CAP_SYS_ADMIN, whatever the event is.
  package static func refusal(_ errno: Errno) -> String? {
    let setting = (ProcFile.read("/proc/sys/kernel/perf_event_paranoid") ?? "").filter { !$0.isWhitespace }
    guard errno == .permissionDenied, Privileges.current.has(.perfmon), !Privileges.current.has(.sysAdmin), let level = Int(setting),
      level > 2
    else { return nil }
    return "kernel.perf_event_paranoid is \(level), with which this kernel refuses events of perf to all but CAP_SYS_ADMIN; "
      + "sysctl kernel.perf_event_paranoid=2, and in /etc/sysctl.d to keep it"
  }

  /// Opens an event of one processor that never occurs. The caller owns the descriptor.
  ///
  /// - Throws: `noSuchDevice` for a processor that is not online.
  static func idle(processor: Int) throws(SystemError) -> CInt {
    try checkEvent(open(PERF_COUNT_SW_DUMMY, processor: processor, period: 0), "watch", processor)
  }

  /// For how long an event has been on its processor, in nanoseconds; nil where that cannot be read.
  static func enabledTime(of descriptor: CInt) -> UInt64? {
    values(of: descriptor)?.enabled
  }

  /// What an event has counted, and for how long it has been enabled and on its processor, in nanoseconds, in the order of `read_format`.
  private static func values(of descriptor: CInt) -> (count: UInt64, enabled: UInt64, running: UInt64)? {
    var values: (count: UInt64, enabled: UInt64, running: UInt64) = (0, 0, 0)
    let size = MemoryLayout.size(ofValue: values)
    return unsafe read(descriptor, &values, size) == size ? values : nil
  }

  private static func open(_ event: perf_sw_ids, processor: Int, period: UInt64, isIdle: Bool = true) -> CInt {
    var attributes = perf_event_attr()
    attributes.size = UInt32(MemoryLayout<perf_event_attr>.size)
    attributes.type = UInt32(PERF_TYPE_SOFTWARE.rawValue)
    attributes.config = UInt64(event.rawValue)
    attributes.sample_period = period
    attributes.read_format = UInt64(PERF_FORMAT_TOTAL_TIME_ENABLED.rawValue | PERF_FORMAT_TOTAL_TIME_RUNNING.rawValue)
    unsafe swtrace_set_without_idle(&attributes, isIdle ? 0 : 1)
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

  /// How many numbers there are up to the highest that a processor may ever have (/sys/devices/system/cpu/possible); nil where that cannot
  /// be read. Some in between may be nobody's.
  package static var numbers: Int? { ProcFile.read("/sys/devices/system/cpu/possible").flatMap { list($0).max() }.map { $0 + 1 } }

  /// A list such as `0-3,8,10-11`.
  package static func list(_ text: String) -> [Int] {
    text.split(whereSeparator: { $0 == "," || $0 == "\n" }).flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last, last - first < 1 << 16 else { return [] }
      return Array(first...last)
    }
  }
}
