import BPF
import CConsumer
import CProbes
import Glibc
import Tools

/// What an event costs the reader of a ring buffer: swtrace's reader and libbpf's in C read the same number of the same events,
/// in turns, from a ring that real opens have filled. Prints the median of each in nanoseconds: `swift 7.1`, `c 7.3`.
enum ConsumerBenchmark {
  static let (rounds, events) = (21, 100_000)

  static func run() throws {
    // Only this program's opens, which are its first thread's.
    let process = UInt32(getpid())
    let attachment = try Attachment.attempt(
      .named("opensnoop"), hooks: [Hook("the end of system calls", ["exit_btf", "exit_raw"])],
      configure: { (probe, _) throws(BPFError) in
        var filter = swtrace_filter()
        filter.pid = process
        try probe.configure(".rodata.filter", filter)
        try probe.resize("events", to: 32 << 20)
      })
    var reader = try attachment.probe.ringBuffer("events")
    var swift: [Double] = []
    var c: [Double] = []
    for _ in 0..<rounds {
      fill()
      var (records, bytes, sum): (UInt64, UInt64, UInt64) = (0, 0, 0)
      let start = now()
      reader.drain { record in
        records += 1
        bytes += UInt64(record.byteCount)
        sum += UInt64(record.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self))
      }
      swift.append(Double(now() - start) / Double(records))
      fill()
      let consumed = consume_with_libbpf(reader.descriptor)
      c.append(consumed.nanoseconds / Double(consumed.records))
      // The same work, or the comparison says nothing.
      guard records == events, (records, bytes) == (consumed.records, consumed.bytes), sum > 0, consumed.sum > 0 else {
        throw Difference(swift: (records, bytes), c: (consumed.records, consumed.bytes))
      }
    }
    print("swift \(swift.sorted()[rounds / 2])")
    print("c \(c.sorted()[rounds / 2])")
  }

  struct Difference: Error {
    var swift: (records: UInt64, bytes: UInt64)
    var c: (records: UInt64, bytes: UInt64)
  }

  private static func fill() {
    for _ in 0..<events { _ = open("/", O_RDWR) }
  }

  private static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
