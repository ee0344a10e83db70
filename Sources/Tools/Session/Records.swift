package import Formats

extension RawSpan {
  /// The fixed part of a record. Shorter records than the type are a mistake of the probe, and end the program.
  @inline(__always)
  package func header<Event: BitwiseCopyable>(_: Event.Type) -> Event {
    precondition(byteCount >= MemoryLayout<Event>.size)
    return unsafeLoadUnaligned(as: Event.self)
  }
}

extension Text {
  /// A command name as the kernel keeps it: `char[16]` with a zero at the end.
  package init<Comm: BitwiseCopyable>(comm: Comm) {
    self = withUnsafeBytes(of: comm) { Text(zeroTerminated: $0.bytes) }
  }
}

/// Paths that the kernel side walks from the inside out (path.bpf.h).
package enum PathNames {
  /// A folder's names, each ended by a zero and the innermost first, and a path relative to it.
  package static func join(names: RawSpan, file: Text) -> Text { Text(joined(names) + [0x2f] + file.bytes) }

  /// The path of a folder by its names; `/` for the root, which has none.
  package static func folder(names: RawSpan) -> Text {
    let path = joined(names)
    return Text(path.isEmpty ? [0x2f] : path)
  }

  private static func joined(_ names: RawSpan) -> [UInt8] {
    var parts: [[UInt8]] = [[]]
    for index in 0..<names.byteCount {
      let byte = names.unsafeLoad(fromByteOffset: index, as: UInt8.self)
      if byte == 0 { parts.append([]) } else { parts[parts.count - 1].append(byte) }
    }
    parts.removeLast()
    var path: [UInt8] = []
    for part in parts.reversed() { path += [0x2f] + part }
    return path
  }
}
