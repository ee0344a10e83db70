internal import Clibbpf
internal import Glibc
internal import SystemPackage

/// An array map whose memory is mapped, so that it is written without system calls (`BPF_F_MMAPABLE`, Linux 5.5).
///
/// Owns a descriptor and the mapping; the kernel keeps the map while a program or an outer map has it.
@safe
package final class MappedArray {
  private let descriptor: CInt
  private let base: UnsafeMutableRawPointer
  /// Bytes, a multiple of the page size.
  private let size: Int

  /// Creates an array of its own, for an outer map.
  ///
  /// - Parameter valueSize: a multiple of 8, because the kernel puts elements at multiples of 8.
  package convenience init(name: String, valueSize: Int, count: Int) throws(BPFError) {
    precondition(valueSize % 8 == 0)
    var options = bpf_map_create_opts()
    options.sz = MemoryLayout<bpf_map_create_opts>.size
    options.map_flags = UInt32(BPF_F_MMAPABLE)
    let made = unsafe bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, UInt32(valueSize), UInt32(count), &options)
    guard made >= 0 else { throw lastError("create", "map \(name)") }
    try self.init(owning: made, size: valueSize * count, name: name)
  }

  /// Maps an array that a probe has.
  package convenience init(sharing descriptor: CInt, size: Int, name: String) throws(BPFError) {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw lastError("map", "map \(name)") }
    try self.init(owning: copy, size: size, name: name)
  }

  private init(owning descriptor: CInt, size: Int, name: String) throws(BPFError) {
    let page = Int(getpagesize())
    self.size = (size + page - 1) / page * page
    let mapped = unsafe mmap(nil, self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard unsafe mapped != MAP_FAILED, let mapped = unsafe mapped else {
      let error = lastError("map", "map \(name)")
      close(descriptor)
      throw error
    }
    unsafe base = unsafe mapped
    self.descriptor = descriptor
  }

  deinit {
    unsafe munmap(base, size)
    close(descriptor)
  }

  /// Writes values one after another from a byte on. Traps beyond the end.
  package func store<Element: BitwiseCopyable>(_ elements: some Collection<Element>, at byte: Int) {
    let stride = MemoryLayout<Element>.stride
    precondition(byte >= 0 && byte + elements.count * stride <= size)
    var place = unsafe base + byte
    for element in elements {
      unsafe place.storeBytes(of: element, as: Element.self)
      unsafe place += stride
    }
  }

  /// Puts this array into an outer map. The kernel waits until no program uses what was there (up to 20 ms).
  package func insert(into outer: CInt, at index: UInt32) throws(BPFError) {
    var (key, value) = (index, descriptor)
    guard unsafe bpf_map_update_elem(outer, &key, &value, 0) == 0 else { throw lastError("extend", "map of arrays") }
  }
}
