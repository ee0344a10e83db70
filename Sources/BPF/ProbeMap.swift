internal import Clibbpf
internal import Glibc
internal import Linux
internal import SystemPackage

/// A typed view of a BPF map. Borrowed: valid while its owner lives.
@safe
package struct ProbeMap<Key: BitwiseCopyable, Value: BitwiseCopyable> {
  private let descriptor: CInt
  private let name: String
  /// Copies of each value: the number of possible processors for per-processor maps, else 1.
  private let copies: Int
  package let capacity: Int

  init(descriptor: CInt, name: String) throws(BPFError) {
    self.descriptor = descriptor
    self.name = name
    var info = bpf_map_info()
    var size = UInt32(MemoryLayout<bpf_map_info>.size)
    guard unsafe bpf_obj_get_info_by_fd(descriptor, &info, &size) == 0 else { throw lastError("view", "map \(name)") }
    capacity = Int(info.max_entries)
    let type = bpf_map_type(rawValue: info.type)
    let isPerProcessor =
      type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH
    copies = isPerProcessor ? Int(libbpf_num_possible_cpus()) : 1
    guard Int(info.key_size) == MemoryLayout<Key>.size, Int(info.value_size) == MemoryLayout<Value>.size else {
      throw BPFError("view", "map \(name)", errno: .invalidArgument, reason: "its key or value has another size")
    }
  }

  /// The value of a key; for per-processor maps that of the first processor.
  package subscript(_ key: Key) -> Value? { values(of: key).first }

  /// The values of a key, one for each possible processor; empty when the key is absent.
  package func values(of key: Key) -> [Value] {
    var key = key
    // The kernel writes each processor's value at a multiple of 8 bytes.
    let stride = (MemoryLayout<Value>.size + 7) & ~7
    return unsafe withUnsafeTemporaryAllocation(byteCount: stride * copies, alignment: 16) { room in
      guard unsafe bpf_map_lookup_elem(descriptor, &key, room.baseAddress) == 0 else { return [] }
      return (0..<copies).map { unsafe room.loadUnaligned(fromByteOffset: $0 * stride, as: Value.self) }
    }
  }

  /// Sets the value of a key, on all processors alike.
  package func set(_ key: Key, _ value: Value) throws(BPFError) {
    var key = key
    let stride = (MemoryLayout<Value>.size + 7) & ~7
    let status = unsafe withUnsafeTemporaryAllocation(byteCount: stride * copies, alignment: 16) { room in
      for copy in 0..<copies { unsafe room.storeBytes(of: value, toByteOffset: copy * stride, as: Value.self) }
      return unsafe bpf_map_update_elem(descriptor, &key, room.baseAddress, 0)
    }
    guard status == 0 else { throw lastError("write", "map \(name)") }
  }

  package func remove(_ key: Key) {
    var key = key
    _ = unsafe bpf_map_delete_elem(descriptor, &key)
  }

  /// The keys that are in a hash map now.
  ///
  /// - Note: a hash map that is being changed may repeat or skip keys; read those of an interval that has ended.
  package func keys() -> [Key] {
    var keys: [Key] = []
    return unsafe withUnsafeTemporaryAllocation(byteCount: MemoryLayout<Key>.size, alignment: 16) { previous in
      unsafe withUnsafeTemporaryAllocation(byteCount: MemoryLayout<Key>.size, alignment: 16) { next in
        var status = unsafe bpf_map_get_next_key(descriptor, nil, next.baseAddress)
        // A map cannot have more keys than its capacity; the bound ends a walk that changes make circular.
        while status == 0, keys.count < capacity {
          unsafe keys.append(next.loadUnaligned(as: Key.self))
          unsafe previous.copyMemory(from: UnsafeRawBufferPointer(next))
          status = unsafe bpf_map_get_next_key(descriptor, previous.baseAddress, next.baseAddress)
        }
        return keys
      }
    }
  }
}

/// The kernel's account of a map's memory.
enum MapMemory {
  /// `map_id` and `memlock` of the descriptor's fdinfo, the latter in bytes; nil when it cannot be read.
  static func ofDescriptor(_ descriptor: CInt) -> (id: UInt32, bytes: UInt64)? {
    guard let text = ProcFile.read("/proc/self/fdinfo/\(descriptor)") else { return nil }
    func number(_ name: String) -> UInt64? {
      text.split(separator: "\n").first { $0.hasPrefix(name + ":") }.flatMap { UInt64($0.drop { !$0.isNumber }) }
    }
    guard let id = number("map_id"), let bytes = number("memlock") else { return nil }
    return (UInt32(truncatingIfNeeded: id), bytes)
  }
}
