/// The vDSO: code that the kernel maps into every process (vdso(7)).
package enum VirtualObject {
  /// What it is called in lists of mappings.
  package static let name = "[vdso]"

  /// Our own copy of it, an ELF file; the image is the same in all 64-bit processes. Nil where the kernel gives none.
  package static func image() -> [UInt8]? {
    guard let own = ProcessMaps(ofOwnProcess: ())?.mappings.first(where: { $0.path == name }),
      let bytes = unsafe UnsafeRawPointer(bitPattern: UInt(own.start.rawValue))
    else { return nil }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: Int(own.end.rawValue - own.start.rawValue)))
  }
}
