internal import Clibbpf
package import SystemPackage

/// The running kernel's own type information (BTF), for names whose numbers differ from kernel to kernel.
@safe
package struct KernelTypes: ~Copyable {
  private let btf: OpaquePointer

  /// Reads the type information: the kernel's, or that of a file. Takes some milliseconds.
  package init(_ file: FilePath? = nil) throws(BPFError) {
    let (read, log) = unsafe LibbpfLog.during { () -> OpaquePointer? in
      guard let path = file?.string else { return unsafe btf__load_vmlinux_btf() }
      return unsafe path.withCString { unsafe btf__parse($0, nil) }
    }
    guard let read = unsafe read else { throw lastError("read", "the kernel's type information", log: log) }
    unsafe btf = unsafe read
  }

  deinit { unsafe btf__free(btf) }

  /// The names and values of an enumeration; nil when the kernel has none of that name.
  package func enumerators(of name: String) -> [(name: String, value: UInt32)]? {
    let id = unsafe btf__find_by_name_kind(btf, name, UInt32(BTF_KIND_ENUM))
    guard id > 0, let type = unsafe btf__type_by_id(btf, UInt32(id)), let values = unsafe btf_enum(type) else { return nil }
    return (0..<Int(unsafe btf_vlen(type))).compactMap { index in
      guard let text = unsafe btf__name_by_offset(btf, values[index].name_off) else { return nil }
      return unsafe (String(cString: text), UInt32(bitPattern: values[index].val))
    }
  }
}
