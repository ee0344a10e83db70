package import BPF
internal import CProbes

extension ProbeImage {
  /// All probes that were built into the program.
  package static var all: [ProbeImage] {
    (0..<probe_image_count()).compactMap { index in
      guard let image = probe_image_at(index)?.pointee else { return nil }
      return ProbeImage(name: String(cString: image.name), bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    }
  }

  /// The probe of that name.
  ///
  /// - Throws: when there is none; a mistake in the program.
  package static func named(_ name: String) throws -> ProbeImage {
    guard let image = all.first(where: { $0.name == name }) else { throw ToolError("swtrace was built without the probe '\(name)'") }
    return image
  }
}
