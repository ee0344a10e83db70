internal import CLinux
internal import Glibc
internal import SystemPackage

/// Something that happened to a process, as the kernel records it.
package struct ProcessRecord: Sendable {
  package enum Kind: Sendable {
    /// It was made as a copy of another one.
    case forked(parent: ProcessID)
    /// It began another program.
    case executed
    /// It got code at some addresses.
    case mapped(Mapping)
    case exited
    /// So many records had no room.
    case lost(UInt64)
  }

  /// CLOCK_MONOTONIC.
  package var time: UInt64
  package var process: ProcessID
  package var kind: Kind

  package init(time: UInt64, process: ProcessID, _ kind: Kind) {
    self.time = time
    self.process = process
    self.kind = kind
  }
}

/// The records of all processes of the machine, from perf's rings, one for each processor (perf_event_open(2), Linux 4.1).
///
/// Drain it every 10 ms or so.
@safe
package final class ProcessRecordReader {
  /// A ring that the kernel writes and we read.
  @safe
  private final class Ring {
    let processor: Int
    let descriptor: Descriptor
    private let page: UnsafeMutablePointer<perf_event_mmap_page>
    private let size: Int

    /// - Parameter capacity: bytes of records: a power of two of pages.
    init(processor: Int, capacity: Int) throws(SystemError) {
      self.processor = processor
      descriptor = Descriptor(
        owning: try PerfEvent.checkEvent(swtrace_process_records_open(Int32(processor)), "record the processes of", processor))
      let header = Int(getpagesize())
      size = header + capacity
      let mapped = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.rawValue, 0)
      guard unsafe mapped != MAP_FAILED, let mapped = unsafe mapped else {
        throw SystemError("map the records of", "processor \(processor)", errno: Errno(rawValue: errno))
      }
      unsafe page = unsafe mapped.bindMemory(to: perf_event_mmap_page.self, capacity: 1)
    }

    deinit { unsafe munmap(page, size) }

    /// Takes out all records.
    func drain(_ body: (_ type: UInt32, _ flags: UInt16, RawSpan) -> Void) {
      let head = unsafe swtrace_perf_ring_head(page)
      var tail = unsafe page.pointee.data_tail
      let start = unsafe UnsafeRawPointer(page) + Int(page.pointee.data_offset)
      let capacity = unsafe page.pointee.data_size
      var joined: [UInt8] = []
      while tail < head {
        let at = Int(tail % capacity)
        let record = unsafe start.loadUnaligned(fromByteOffset: at, as: perf_event_header.self)
        let length = Int(record.size)
        guard length >= MemoryLayout<perf_event_header>.size, length <= Int(head - tail) else { break }
        let flags = record.misc
        if at + length <= Int(capacity) {
          let bytes = unsafe UnsafeRawBufferPointer(start: start + at, count: length)
          unsafe body(record.type, flags, bytes.bytes.extracting(droppingFirst: MemoryLayout<perf_event_header>.size))
        } else {
          joined.removeAll(keepingCapacity: true)
          let first = Int(capacity) - at
          unsafe joined.append(contentsOf: UnsafeRawBufferPointer(start: start + at, count: first))
          unsafe joined.append(contentsOf: UnsafeRawBufferPointer(start: start, count: length - first))
          unsafe body(record.type, flags, joined.span.bytes.extracting(droppingFirst: MemoryLayout<perf_event_header>.size))
        }
        tail += UInt64(length)
      }
      unsafe swtrace_perf_ring_release(page, tail)
    }
  }

  private var rings: [Ring] = []
  /// Of processors that are not there any more, with their last records.
  private var ended: [Ring] = []
  /// Records that are too young to be given out.
  private var held: [ProcessRecord] = []
  /// Everything that happened up to then has been given out, on the monotonic clock.
  package private(set) var completeUntil: UInt64

  /// Begins to record.
  ///
  /// - Throws: where the kernel allows no events of the whole machine.
  package init() throws(SystemError) {
    completeUntil = 0
    try follow(Processors.online, gone: [])
    completeUntil = Clock.monotonic
  }

  /// Records on these processors from now on; what there is of others is still given out.
  ///
  /// - Parameter gone: processors that were off meanwhile: the kernel records on them no longer.
  /// - Throws: where the kernel allows no events of the whole machine.
  package func follow(_ processors: [Int], gone: Set<Int>) throws(SystemError) {
    func goesOn(_ ring: Ring) -> Bool { processors.contains(ring.processor) && !gone.contains(ring.processor) }
    ended += rings.filter { !goesOn($0) }
    rings.removeAll { !goesOn($0) }
    // 64 KB were lost to a storm of starting programs on a busy machine, 512 KB were not. Many processors share 4 MB.
    var capacity = 512 << 10
    while capacity > 64 << 10, capacity * processors.count > 4 << 20 { capacity /= 2 }
    for processor in processors where !rings.contains(where: { $0.processor == processor }) {
      do { rings.append(try Ring(processor: processor, capacity: capacity)) } catch {
        // It was taken off line since the list was read.
        if error.errno.rawValue != ENODEV { throw error }
      }
    }
  }

  /// Gives out the records up to now in the order of their times, whichever processors they come from.
  package func drain(_ body: (ProcessRecord) -> Void) {
    let now = Clock.monotonic
    for ring in rings + ended {
      ring.drain { type, flags, bytes in
        if let record = ProcessRecord(type: type, flags: flags, bytes, now: now) { held.append(record) }
      }
    }
    ended = []
    completeUntil = now
    guard !held.isEmpty else { return }
    // A process may have moved to a processor whose ring was read already: what is younger than the first look waits.
    held.sort { $0.time < $1.time }
    let ready = held.firstIndex { $0.time > now } ?? held.count
    for record in held[..<ready] { body(record) }
    held.removeSubrange(..<ready)
  }
}

extension ProcessRecord {
  /// Reads the body of a record (linux/perf_event.h, enum perf_event_type); nil for those that tell of threads or of the kernel.
  ///
  /// Each ends with what `sample_id_all` adds: pid, tid, time.
  fileprivate init?(type: UInt32, flags: UInt16, _ bytes: RawSpan, now: UInt64) {
    func word(_ at: Int) -> UInt32 { unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt32.self) }
    func long(_ at: Int) -> UInt64 { unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self) }
    let end = bytes.byteCount - 16
    guard end >= 8 else { return nil }
    let time = long(end + 8)
    let process = ProcessID(word(0))
    switch perf_event_type(rawValue: type) {
    case PERF_RECORD_COMM:
      guard Int32(flags) & PERF_RECORD_MISC_COMM_EXEC != 0 else { return nil }
      self.init(time: time, process: process, .executed)
    case PERF_RECORD_FORK:
      guard end >= 24, word(0) != word(4) else { return nil }
      self.init(time: time, process: process, .forked(parent: ProcessID(word(4))))
    case PERF_RECORD_EXIT:
      guard end >= 24, word(0) == word(8) else { return nil }
      self.init(time: time, process: process, .exited)
    case PERF_RECORD_MMAP2:
      guard end > 64, word(0) != .max else { return nil }
      var path: [UInt8] = []
      for at in 64..<end {
        let byte = unsafe bytes.unsafeLoad(fromByteOffset: at, as: UInt8.self)
        if byte == 0 { break }
        path.append(byte)
      }
      var name = String(decoding: path, as: UTF8.self)
      // perf's name for memory without a file.
      if name == "//anon" { name = "" }
      let (start, length) = (long(8), long(16))
      guard !start.addingReportingOverflow(length).overflow, length > 0 else { return nil }
      self.init(
        time: time, process: process,
        .mapped(
          Mapping(
            start: VirtualAddress(start), end: VirtualAddress(start + length), isExecutable: word(56) & UInt32(PROT_EXEC) != 0,
            offset: FileOffset(long(24)), device: UInt64(word(32)) << 32 | UInt64(word(36)), inode: long(40), path: name)))
    case PERF_RECORD_LOST:
      self.init(time: now, process: ProcessID(0), .lost(long(8)))
    default: return nil
    }
  }
}
