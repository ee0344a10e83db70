internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The user-space end of a BPF ring buffer: its own mapping, read without copying. Kernel 5.8.
///
/// Layout (kernel/bpf/ringbuf.c): one page with the consumer position, writable; one page with the producer position and then
/// the data. A record is a word of length and flags, four bytes of page offset, the bytes, and padding to a multiple of 8.
///
/// The kernel offers the data twice in a row, so that no record needs to be joined at the end. Pages of both count as this process's
/// memory, so only one is mapped, and the record that goes over the end is copied: one in each round.
@safe
package struct RingBufferReader: ~Copyable {
  private let consumerPage: UnsafeMutableRawPointer
  private let producerPage: UnsafeMutableRawPointer
  private let data: UnsafeRawPointer
  private let size: Int
  private let pageSize: Int
  /// The record that went over the end.
  private var joined = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// For epoll; owned by the probe.
  package let descriptor: CInt
  /// Records handed out since the reader was made.
  package private(set) var delivered: UInt64 = 0
  /// Whether the last `drain` handed out everything that was there: else one record was still being written, and held back the others, or
  /// its caller threw.
  package private(set) var hasReadAll = true

  private static let busy: UInt32 = 1 << 31
  private static let discarded: UInt32 = 1 << 30
  private static let header: UInt64 = 8

  init(descriptor: CInt, size: Int) throws(BPFError) {
    let pageSize = Int(getpagesize())
    guard let consumer = unsafe mmap(nil, pageSize, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), unsafe consumer != MAP_FAILED else {
      throw lastError("map", "ring buffer")
    }
    guard let producer = unsafe mmap(nil, pageSize + size, PROT_READ, MAP_SHARED, descriptor, pageSize), unsafe producer != MAP_FAILED
    else {
      let error = lastError("map", "ring buffer")
      unsafe munmap(consumer, pageSize)
      throw error
    }
    unsafe consumerPage = unsafe consumer
    unsafe producerPage = unsafe producer
    unsafe data = unsafe UnsafeRawPointer(producer + pageSize)
    self.size = size
    self.pageSize = pageSize
    self.descriptor = descriptor
  }

  deinit {
    unsafe munmap(consumerPage, pageSize)
    unsafe munmap(producerPage, pageSize + size)
    unsafe joined.deallocate()
  }

  /// Hands each record that is finished now to `body`, oldest first, and gives its room back.
  ///
  /// The span is valid during the call only. Room is given back after every 64 kB of records and at the end: the writers see it early,
  /// and the shared cache line is not fought over for each record.
  ///
  /// - Returns: the number of records.
  @inline(__always)
  @discardableResult
  package mutating func drain<Failure: Error>(_ body: (RawSpan) throws(Failure) -> Void) throws(Failure) -> Int {
    let mask = UInt64(size - 1)
    var count = 0
    var position = unsafe consumer.pointee.load(ordering: .relaxed)
    var given = position
    hasReadAll = false
    defer {
      unsafe consumer.pointee.store(position, ordering: .releasing)
      delivered += UInt64(count)
    }
    // Up to what is there now: with writers faster than this reader, a loop to the very end would never return, and no signal or
    // deadline would be looked at.
    let end = unsafe producer.pointee.load(ordering: .acquiring)
    while position < end {
      let at = Int(position & mask)
      let word = unsafe (data + at).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.load(ordering: .acquiring)
      if word & Self.busy != 0 { return count }
      let length = UInt64(word & ~(Self.busy | Self.discarded))
      let start = position + Self.header
      position = start + (length + 7) & ~7
      if word & Self.discarded == 0 {
        count += 1
        // The header never goes over the end: it is 8 bytes at a multiple of 8.
        let first = Int(start & mask)
        if first + Int(length) <= size {
          try unsafe body(UnsafeRawBufferPointer(start: data + first, count: Int(length)).bytes)
        } else {
          try unsafe body(join(first, Int(length)).bytes)
        }
      }
      if position - given > 1 << 16 {
        unsafe consumer.pointee.store(position, ordering: .releasing)
        given = position
      }
    }
    hasReadAll = true
    return count
  }

  /// Copies a record of which the end is at the beginning of the data.
  private mutating func join(_ first: Int, _ length: Int) -> UnsafeRawBufferPointer {
    if unsafe joined.count < length {
      unsafe joined.deallocate()
      unsafe joined = .allocate(byteCount: length, alignment: 8)
    }
    unsafe joined.copyMemory(from: UnsafeRawBufferPointer(start: data + first, count: size - first))
    unsafe UnsafeMutableRawBufferPointer(rebasing: joined[(size - first)...])
      .copyMemory(from: UnsafeRawBufferPointer(start: data, count: length - (size - first)))
    return unsafe UnsafeRawBufferPointer(rebasing: joined[..<length])
  }

  private var consumer: UnsafeMutablePointer<Atomic<UInt64>> {
    @inline(__always) get { unsafe consumerPage.assumingMemoryBound(to: Atomic<UInt64>.self) }
  }

  private var producer: UnsafeMutablePointer<Atomic<UInt64>> {
    @inline(__always) get { unsafe producerPage.assumingMemoryBound(to: Atomic<UInt64>.self) }
  }
}
