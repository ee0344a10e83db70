import CLinux
import CProbes
import Foundation
import Linux
import TestSupport
import Testing

@testable import BPF

/// A ring buffer in ordinary memory, laid out as the kernel does: two pages of positions, and the data.
private struct FakeRing: ~Copyable {
  let descriptor: Int32
  let size: Int
  private let page = Int(sysconf(Int32(_SC_PAGESIZE)))
  private var producer: UInt64 = 0

  init(size: Int) throws {
    var name = Array("/dev/shm/swtrace-test.XXXXXX".utf8CString)
    descriptor = mkstemp(&name)
    guard descriptor >= 0, ftruncate(descriptor, 2 * page + size) == 0 else { throw RunError("no memory file") }
    unlink(name)
    self.size = size
  }

  deinit { close(descriptor) }

  private func put(_ bytes: [UInt8], at offset: Int) { _ = pwrite(descriptor, bytes, bytes.count, off_t(offset)) }

  private func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
    put(withUnsafeBytes(of: number.littleEndian) { Array($0) }, at: offset)
  }

  /// Writes a record as the kernel would, over the end if need be.
  ///
  /// - Returns: where its header is.
  @discardableResult
  mutating func append(_ bytes: [UInt8], busy: Bool = false, discarded: Bool = false) -> Int {
    let at = Int(producer) % size
    let word = UInt32(bytes.count) | (busy ? 1 << 31 : 0) | (discarded ? 1 << 30 : 0)
    let record = withUnsafeBytes(of: word.littleEndian) { Array($0) } + [0, 0, 0, 0] + bytes
    for (index, byte) in record.enumerated() {
      let position = (at + index) % size
      put([byte], at: 2 * page + position)
    }
    producer += UInt64(8 + (bytes.count + 7) & ~7)
    put(producer, at: page)
    return at
  }

  /// Ends a record that was busy.
  func commit(_ at: Int, length: Int, discarded: Bool = false) {
    let word = UInt32(length) | (discarded ? 1 << 30 : 0)
    put(word, at: 2 * page + at)
  }

  var consumed: UInt64 {
    var position: UInt64 = 0
    _ = pread(descriptor, &position, 8, 0)
    return position
  }
}

@Suite struct RingBufferTests {
  private func drain(_ reader: inout RingBufferReader) -> [[UInt8]] {
    var records: [[UInt8]] = []
    let count = reader.drain { record in
      records.append((0..<record.byteCount).map { record.unsafeLoad(fromByteOffset: $0, as: UInt8.self) })
    }
    #expect(count == records.count)
    return records
  }

  @Test func recordsOfAllLengthsAcrossTheEnd() throws {
    var ring = try FakeRing(size: 4096)
    var reader = try RingBufferReader(descriptor: ring.descriptor, size: ring.size)
    var written = 0
    for length in 0..<1009 {
      let bytes = (0..<length % 251).map { UInt8(truncatingIfNeeded: $0 + length) }
      ring.append(bytes)
      written += 8 + (bytes.count + 7) & ~7
      #expect(drain(&reader) == [bytes])
      #expect(ring.consumed == UInt64(written))
    }
    #expect(drain(&reader) == [])
    #expect(reader.delivered == 1009)
  }

  @Test func discardedRecordsAreSkipped() throws {
    var ring = try FakeRing(size: 4096)
    var reader = try RingBufferReader(descriptor: ring.descriptor, size: ring.size)
    ring.append([1], discarded: true)
    ring.append([2, 2])
    ring.append([3], discarded: true)
    ring.append([4])
    ring.append([5], discarded: true)
    #expect(drain(&reader) == [[2, 2], [4]])
    #expect(ring.consumed == 5 * 16)
    #expect(reader.delivered == 2)
  }

  /// A record that is still being written holds back those behind it, so that the order is kept.
  @Test func busyRecordsHoldBackTheOthers() throws {
    var ring = try FakeRing(size: 4096)
    var reader = try RingBufferReader(descriptor: ring.descriptor, size: ring.size)
    ring.append([1])
    let busy = ring.append([2, 2, 2], busy: true)
    ring.append([3])
    #expect(drain(&reader) == [[1]])
    #expect(ring.consumed == 16 && !reader.hasReadAll)
    #expect(drain(&reader) == [] && !reader.hasReadAll)
    ring.commit(busy, length: 3)
    #expect(drain(&reader) == [[2, 2, 2], [3]] && reader.hasReadAll)
    let dropped = ring.append([4], busy: true)
    ring.append([5])
    ring.commit(dropped, length: 1, discarded: true)
    #expect(drain(&reader) == [[5]])
    #expect(reader.delivered == 4)
  }

  /// A reader that fails in the middle gives back what it was handed, and goes on behind it.
  @Test func errorsLoseNothing() throws {
    var ring = try FakeRing(size: 4096)
    var reader = try RingBufferReader(descriptor: ring.descriptor, size: ring.size)
    for number in 1...3 { ring.append([UInt8(number)]) }
    var seen = 0
    #expect(throws: RunError.self) {
      try reader.drain { _ throws(RunError) in
        seen += 1
        if seen == 2 { throw RunError("enough") }
      }
    }
    #expect(reader.delivered == 2 && !reader.hasReadAll)
    #expect(drain(&reader) == [[3]] && reader.hasReadAll)
  }
}

@Suite(.requiresBPF, .serialized) struct RingBufferLiveTests {
  /// What the probe counted, over all processors and both copies.
  private func count(_ tallies: ProbeMap<UInt32, swtrace_tally>, _ counter: swtrace_counter) -> UInt64 {
    (0..<UInt32(tallies.capacity)).compactMap { tallies[$0] }.reduce(0) { sum, tally in
      withUnsafeBytes(of: tally.counters) { bytes in
        let counts = bytes.bindMemory(to: UInt64.self)
        return sum + counts[2 * Int(counter.rawValue)] + counts[2 * Int(counter.rawValue) + 1]
      }
    }
  }

  /// Opens by this thread only, into a ring of one page.
  private func attach() throws -> BPF.Attachment {
    let thread = UInt32(swtrace_gettid())
    return try BPF.Attachment.attempt(
      .embedded("opensnoop"), hooks: [Hook("the end of system calls", ["exit_btf", "exit_raw"])],
      configure: { (probe, _) throws(BPFError) in
        var filter = swtrace_filter()
        filter.tid = thread
        try probe.configure(".rodata.filter", filter)
        try probe.resize("events", to: 4096)
      })
  }

  private func open(_ path: String, times: Int) {
    for _ in 0..<times { close(Glibc.open(path, O_RDONLY)) }
  }

  @Test func everyRecordArrivesOnceAndInOrder() throws {
    var attachment = try attach()
    var reader = try attachment.probe.ringBuffer("events")
    var flags: [UInt32] = []
    // The C library opens a file, too, when it gives memory back.
    var others: UInt64 = 0
    func take(_ record: RawSpan) {
      let event = record.unsafeLoadUnaligned(fromByteOffset: 0, as: opensnoop_event.self)
      if event.flags & UInt32(O_NOCTTY) != 0 { flags.append(event.flags) } else { others += 1 }
    }
    for number in 0..<997 {
      close(Glibc.open("/dev/null", O_RDONLY | O_NOCTTY | (number % 2 == 0 ? O_CLOEXEC : 0)))
      reader.drain { take($0) }
    }
    attachment.links.detach()
    reader.drain { take($0) }
    #expect(flags.count == 997)
    #expect(flags.enumerated().allSatisfy { ($0.element & UInt32(O_CLOEXEC) != 0) == ($0.offset % 2 == 0) })
    #expect(reader.delivered == 997 + others)
    let tallies: ProbeMap<UInt32, swtrace_tally> = try attachment.probe.map("tallies")
    #expect(count(tallies, SWTRACE_DELIVERED) == 997 + others)
    #expect(count(tallies, SWTRACE_LOST_RING) == 0)
    // Nothing more comes from what is detached.
    open("/dev/null", times: 31)
    #expect(reader.drain { _ in } == 0)
    #expect(count(tallies, SWTRACE_DELIVERED) == 997 + others)
  }

  @Test func fullRingCountsWhatItLoses() throws {
    var attachment = try attach()
    var reader = try attachment.probe.ringBuffer("events")
    open("/dev/null", times: 499)
    let first = reader.drain { _ in }
    #expect(first > 20 && first < 60)
    // There is room again.
    open("/dev/null", times: 7)
    #expect(reader.drain { _ in } == 7)
    attachment.links.detach()
    let tallies: ProbeMap<UInt32, swtrace_tally> = try attachment.probe.map("tallies")
    let delivered = count(tallies, SWTRACE_DELIVERED)
    let lost = count(tallies, SWTRACE_LOST_RING)
    #expect(delivered == UInt64(first + 7))
    #expect(delivered + lost == 506)
    #expect(count(tallies, SWTRACE_SEEN) == delivered + lost + count(tallies, SWTRACE_FILTERED))
    #expect(reader.delivered == delivered)
  }
}
