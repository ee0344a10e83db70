/// An embedded CO-RE object: its name and its bytes.
@safe package struct ProbeImage: CustomStringConvertible {
  /// `opensnoop` for `opensnoop.bpf.c`.
  package let name: String
  /// An ELF object of machine BPF. Lives as long as the program.
  package let bytes: UnsafeRawBufferPointer

  package init(name: String, bytes: UnsafeRawBufferPointer) {
    self.name = name
    unsafe self.bytes = unsafe bytes
  }

  package var description: String { name }
}

// The bytes are constant data of the program.
extension ProbeImage: @unchecked Sendable {}
