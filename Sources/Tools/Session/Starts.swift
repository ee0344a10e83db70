internal import BPF
internal import CProbes
internal import Linux

/// What a probe has noted of threads for which something began (`starts.bpf.h`), as it stands. Borrowed: valid while the probe lives.
struct Starts {
  /// Whose, when in nanoseconds, the tool's note, and nothing.
  private let places: ProbeMap<UInt32, SIMD4<UInt64>>
  private let displaced: ProbeMap<UInt32, SIMD2<UInt64>>

  init(_ probe: borrowing LoadedProbe) throws(BPFError) {
    places = try probe.map("start_places")
    displaced = try probe.map("starts")
  }

  /// When it began, in nanoseconds, and the tool's note; nil for a thread that has no entry.
  subscript(_ thread: UInt32) -> (time: UInt64, note: UInt64)? {
    if let place = places[thread & UInt32(places.capacity - 1)], place.x == UInt64(thread) { return (place.y, place.z) }
    return displaced[thread].map { ($0.x, $0.y) }
  }

  /// Room for the threads there are and those that start, where each has an entry from the beginning.
  static func makeRoom(in probe: inout Probe) throws(BPFError) { try resize(&probe, to: max(16384, 2 * Processors.threads)) }

  /// For tools that note nothing, as they are set.
  static func leaveOut(of probe: inout Probe) throws(BPFError) { try resize(&probe, to: 1) }

  /// - Parameter places: where it is not as many as threads, rounded up to a power of two.
  static func resize(_ probe: inout Probe, to threads: Int, places: Int? = nil) throws(BPFError) {
    let places = 1 << (Int.bitWidth - ((places ?? threads) - 1).leadingZeroBitCount)
    try probe.resize("starts", to: threads)
    try probe.resize("start_places", to: places)
    try probe.configure(".rodata.starts", swtrace_starts_config(places: UInt32(places), reserved: 0))
  }
}
