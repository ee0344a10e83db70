internal import Glibc

/// The kernel's clocks, in nanoseconds.
package enum Clock {
  /// CLOCK_MONOTONIC: what `bpf_ktime_get_ns` returns.
  package static var monotonic: UInt64 { read(CLOCK_MONOTONIC) }
  /// Since 1970, UTC.
  package static var realtime: UInt64 { read(CLOCK_REALTIME) }
  /// Processor time of all threads of this process.
  package static var process: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

  private static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// The local time of day of nanoseconds since 1970.
  package static func localTime(_ unix: Int64) -> (hour: Int, minute: Int, second: Int) {
    var seconds = time_t(unix / 1_000_000_000)
    var parts = unsafe tm()
    unsafe localtime_r(&seconds, &parts)
    return unsafe (Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec))
  }
}

/// Turns the kernel's monotonic times into wall-clock times; fixed at its creation, so that differences stay exact.
package struct WallClock: Sendable {
  /// What to add to CLOCK_MONOTONIC.
  private let offset: Int64
  /// When this clock was made, monotonic.
  package let start: UInt64

  package init() {
    start = Clock.monotonic
    offset = Int64(Clock.realtime) - Int64(start)
  }

  /// Nanoseconds since 1970.
  package func unix(_ monotonic: UInt64) -> Int64 { Int64(clamping: monotonic) + offset }
}
