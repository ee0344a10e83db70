internal import Clibbpf
internal import Glibc
internal import SystemPackage

/// Maps of a probe that others use as well, and that stay when it is gone.
@safe
package final class SharedMaps {
  fileprivate var descriptors: [String: CInt] = [:]

  fileprivate init(_ probe: borrowing LoadedProbe, _ names: [String]) throws(BPFError) {
    for name in names {
      let copy = fcntl(try probe.descriptor(name), F_DUPFD_CLOEXEC, 3)
      guard copy >= 0 else { throw lastError("share", "map \(name)") }
      descriptors[name] = copy
    }
  }

  deinit { for descriptor in descriptors.values { close(descriptor) } }

  /// It lives as long as this.
  package func descriptor(_ name: String) throws(BPFError) -> CInt {
    guard let found = descriptors[name] else { throw BPFError("find", "map \(name)", errno: .noSuchFileOrDirectory) }
    return found
  }

  /// A typed view of a map.
  package func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ name: String, _: Key.Type = Key.self, _: Value.Type = Value.self
  ) throws(BPFError) -> ProbeMap<Key, Value> {
    try ProbeMap(descriptor: descriptor(name), name: name)
  }
}

extension LoadedProbe {
  /// Maps for other probes to use.
  package func share(_ names: [String]) throws(BPFError) -> SharedMaps { try SharedMaps(self, names) }
}

extension Probe {
  /// Uses maps that there are in place of making those of their names.
  package func use(_ maps: SharedMaps) throws(BPFError) {
    for (name, descriptor) in maps.descriptors { try use(descriptor, as: name) }
  }
}
