internal import Clibbpf
internal import Glibc
internal import SystemPackage

/// An array map whose memory is mapped, so that it is written without system calls (`BPF_F_MMAPABLE`, Linux 5.5).
///
/// Owns a descriptor and the mapping; the kernel keeps the map while a program or an outer map has it.
@safe
package final class MappedArray {
  private let descriptor: CInt
  private let name: String
  /// While it is mapped.
  private var base: UnsafeMutableRawPointer?
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
    self.descriptor = descriptor
    self.name = name
  }

  deinit {
    unmap()
    close(descriptor)
  }

  /// Writes bytes from a place on. Traps beyond the end.
  package func store(_ bytes: RawSpan, at place: Int) throws(BPFError) {
    precondition(place >= 0 && place + bytes.byteCount <= size)
    let base = try unsafe map()
    unsafe bytes.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(start: base + place, count: $0.count).copyMemory(from: $0) }
  }

  /// Writes a value at a place. Traps beyond the end.
  package func store<Value: BitwiseCopyable>(_ value: Value, at place: Int) throws(BPFError) {
    precondition(place >= 0 && place + MemoryLayout<Value>.size <= size)
    unsafe try map().storeBytes(of: value, toByteOffset: place, as: Value.self)
  }

  private func map() throws(BPFError) -> UnsafeMutableRawPointer {
    if let base = unsafe base { return unsafe base }
    let mapped = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard unsafe mapped != MAP_FAILED, let mapped = unsafe mapped else { throw lastError("map", "map \(name)") }
    unsafe base = unsafe mapped
    return unsafe mapped
  }

  /// Gives up the mapping until the next write: all of it counts as memory of this process.
  package func unmap() {
    guard let mapped = unsafe base else { return }
    unsafe munmap(mapped, size)
    unsafe base = nil
  }

  /// Puts this array into an outer map. The kernel waits until no program uses what was there (up to 20 ms).
  package func insert(into outer: CInt, at index: UInt32) throws(BPFError) {
    var (key, value) = (index, descriptor)
    guard unsafe bpf_map_update_elem(outer, &key, &value, 0) == 0 else { throw lastError("extend", "map of arrays") }
  }
}
