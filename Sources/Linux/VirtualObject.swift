internal import CLinux
internal import Glibc

/// The vDSO: code that the kernel maps into every process (vdso(7)).
package enum VirtualObject {
  /// Our own copy of it as a file; the image is the same in all 64-bit processes. The caller closes the descriptor.
  package static func copy() -> CInt? {
    guard let own = ProcessMaps(of: ProcessID(UInt32(getpid())))?.mappings.first(where: { $0.path == "[vdso]" }),
      let bytes = unsafe UnsafeRawPointer(bitPattern: UInt(own.start.rawValue))
    else { return nil }
    let size = Int(own.end.rawValue - own.start.rawValue)
    let descriptor = unsafe swtrace_memory_file("vdso")
    guard descriptor >= 0 else { return nil }
    guard unsafe write(descriptor, bytes, size) == size else {
      close(descriptor)
      return nil
    }
    return descriptor
  }
}
