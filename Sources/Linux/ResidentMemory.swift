internal import Glibc

/// What of a process's memory is in memory now.
///
/// Other pages are not read: whoever serves the file that they are of, or handles their faults (userfaultfd), may take any time, and
/// reading them would change the process.
@safe
package struct ResidentMemory: ~Copyable {
  private let memory: CInt
  /// 8 bytes for each page, of which the highest bit says that it is in memory (Documentation/admin-guide/mm/pagemap.rst).
  private let pages: CInt

  /// Nil where it is not to be read: the task has ended, or it is another user's.
  package init?(of task: UInt32) {
    let memory = unsafe open("/proc/\(task)/mem", O_RDONLY | O_CLOEXEC)
    guard memory >= 0 else { return nil }
    let pages = unsafe open("/proc/\(task)/pagemap", O_RDONLY | O_CLOEXEC)
    guard pages >= 0 else {
      close(memory)
      return nil
    }
    (self.memory, self.pages) = (memory, pages)
  }

  deinit {
    close(memory)
    close(pages)
  }

  /// Fills a buffer with what is at an address; false when not all of it is in memory.
  package func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    let size = UInt64(getpagesize())
    let (end, overflows) = address.addingReportingOverflow(UInt64(buffer.count))
    guard !overflows, end <= UInt64(Int64.max), buffer.count > 0 else { return false }
    for page in address / size...(end - 1) / size {
      var entry: UInt64 = 0
      let got = unsafe pread(pages, &entry, MemoryLayout<UInt64>.size, off_t(page * UInt64(MemoryLayout<UInt64>.size)))
      guard got == MemoryLayout<UInt64>.size, entry >> 63 == 1 else { return false }
    }
    return unsafe pread(memory, buffer.baseAddress, buffer.count, off_t(address)) == buffer.count
  }
}
