internal import Clibbpf
internal import Linux
package import SystemPackage

/// An object that has been opened and is being configured; nothing is in the kernel yet.
///
/// Configuration is what the type allows before `load()`, attaching what `LoadedProbe` allows after it.
@safe
package struct Probe: ~Copyable {
  private let handle: ObjectHandle
  package let name: String

  private var object: OpaquePointer { unsafe handle.object }

  /// Opens an embedded object.
  ///
  /// - Parameter typeInformation: a file with the kernel's BTF, where the kernel has none itself.
  package init(_ image: ProbeImage, typeInformation: FilePath? = nil) throws(BPFError) {
    let (opened, log) = unsafe LibbpfLog.during {
      unsafe image.name.withCString { name in
        func open(_ btf: UnsafePointer<CChar>?) -> OpaquePointer? {
          var options = unsafe bpf_object_open_opts()
          unsafe options.sz = MemoryLayout<bpf_object_open_opts>.size
          unsafe options.object_name = unsafe name
          unsafe options.btf_custom_path = unsafe btf
          return unsafe bpf_object__open_mem(image.bytes.baseAddress, image.bytes.count, &options)
        }
        guard let path = typeInformation?.string else { return unsafe open(nil) }
        return unsafe path.withCString { unsafe open($0) }
      }
    }
    guard let opened = unsafe opened else { throw lastError("open", "probe \(image.name)", log: log) }
    handle = unsafe ObjectHandle(object: opened)
    self.name = image.name
    var program = unsafe bpf_object__next_program(opened, nil)
    while let each = unsafe program {
      unsafe bpf_program__set_autoload(each, false)
      unsafe program = unsafe bpf_object__next_program(opened, each)
    }
  }

  /// The names of all programs in the object.
  package var programs: [String] {
    var names: [String] = []
    var program = unsafe bpf_object__next_program(object, nil)
    while let each = unsafe program {
      unsafe names.append(String(cString: bpf_program__name(each)))
      unsafe program = unsafe bpf_object__next_program(object, each)
    }
    return names
  }

  /// Whether there is a map, or a section of constants, of that name.
  package func has(_ map: String) -> Bool { unsafe bpf_object__find_map_by_name(object, map) != nil }

  /// Selects a program for loading; those not selected do not exist for the kernel.
  package func select(_ program: String) throws(BPFError) {
    guard let found = unsafe bpf_object__find_program_by_name(object, program) else {
      throw BPFError("select", "program \(program) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    unsafe bpf_program__set_autoload(found, true)
  }

  /// The section of a program as in its source, such as `tp_btf/sys_exit`.
  package func section(of program: String) -> String {
    guard let found = unsafe bpf_object__find_program_by_name(object, program) else { return "" }
    return unsafe String(cString: bpf_program__section_name(found))
  }

  /// Whether a program is attached by a number of the running kernel's own type information.
  func needsKernelTypes(_ program: String) -> Bool {
    let section = section(of: program)
    return ["tp_btf", "fentry", "fexit", "iter"].contains { section.hasPrefix($0) }
  }

  /// Names the kernel function that an fentry or fexit program is for.
  package func setTarget(_ program: String, _ function: String) throws(BPFError) {
    guard let found = unsafe bpf_object__find_program_by_name(object, program) else {
      throw BPFError("select", "program \(program) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    let (status, log) = LibbpfLog.during { unsafe bpf_program__set_attach_target(found, 0, function) }
    guard status == 0 else {
      throw BPFError(
        "load", "program \(program)", errno: Errno(rawValue: -status), log: log,
        reason: "the kernel's type information has no function \(function)")
    }
  }

  /// Makes a uprobe program one that is attached to many places at once. Kernel 6.6; libbpf does not know the section's name before 1.3.
  package func makeMultiple(_ program: String) throws(BPFError) {
    guard let found = unsafe bpf_object__find_program_by_name(object, program) else {
      throw BPFError("select", "program \(program) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    // BPF_TRACE_UPROBE_MULTI
    _ = unsafe bpf_program__set_expected_attach_type(found, bpf_attach_type(rawValue: 48))
  }

  /// Sets the constants of a section such as `.rodata.config`; the verifier removes what they switch off.
  ///
  /// The type must be the section's C struct: libbpf refuses another size.
  package func configure<Configuration: BitwiseCopyable>(_ section: String, _ value: Configuration) throws(BPFError) {
    guard let map = unsafe bpf_object__find_map_by_name(object, section) else {
      throw BPFError("configure", "\(section) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    let status = unsafe withUnsafeBytes(of: value) { unsafe bpf_map__set_initial_value(map, $0.baseAddress, $0.count) }
    guard status == 0 else {
      throw BPFError("configure", "\(section) of probe \(name)", errno: Errno(rawValue: -status))
    }
  }

  /// Does not make a map that none of the selected programs uses.
  package func leaveOut(_ map: String) throws(BPFError) {
    guard let found = unsafe bpf_object__find_map_by_name(object, map) else {
      throw BPFError("leave out", "map \(map) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    _ = unsafe bpf_map__set_autocreate(found, false)
  }

  /// Uses a map that there is already in place of making one.
  func use(_ descriptor: CInt, as map: String) throws(BPFError) {
    guard let found = unsafe bpf_object__find_map_by_name(object, map) else {
      throw BPFError("share", "map \(map) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    let status = unsafe bpf_map__reuse_fd(found, descriptor)
    guard status == 0 else { throw BPFError("share", "map \(map) of probe \(name)", errno: Errno(rawValue: -status)) }
  }

  /// Sets the number of entries of a map, or the bytes of a ring buffer (a power of two of pages).
  package func resize(_ map: String, to entries: Int) throws(BPFError) {
    guard let found = unsafe bpf_object__find_map_by_name(object, map) else {
      throw BPFError("resize", "map \(map) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    let status = unsafe bpf_map__set_max_entries(found, UInt32(clamping: entries))
    guard status == 0 else { throw BPFError("resize", "map \(map) of probe \(name)", errno: Errno(rawValue: -status)) }
  }

  /// Relocates, verifies and loads the selected programs and all maps; an array without a size gets an element for each number
  /// that a processor may have.
  ///
  /// - Throws: a `BPFError` whose `subject` is `program NAME` where one program was the cause.
  package consuming func load() throws(BPFError) -> LoadedProbe {
    var map = unsafe bpf_object__next_map(object, nil)
    while let each = unsafe map {
      if unsafe bpf_map__type(each) == BPF_MAP_TYPE_ARRAY, unsafe bpf_map__max_entries(each) == 0 {
        let name = unsafe String(cString: bpf_map__name(each))
        guard let numbers = Processors.numbers else {
          throw BPFError(
            "resize", "map \(name) of probe \(self.name)", errno: .noSuchFileOrDirectory,
            reason: "/sys/devices/system/cpu/possible cannot be read; mount sysfs at /sys")
        }
        try resize(name, to: numbers)
      }
      unsafe map = unsafe bpf_object__next_map(object, each)
    }
    let (status, log) = LibbpfLog.during { unsafe bpf_object__load(object) }
    guard status == 0 else {
      let culprit = Self.failedProgram(log)
      let section = culprit.map { self.section(of: $0) }
      throw BPFError(
        "load", culprit.map { "program \($0)" } ?? "probe \(name)", errno: Errno(rawValue: -status), log: log,
        reason: FailureReason.ofLoad(section: section, errno: Errno(rawValue: -status), log: log))
    }
    return LoadedProbe(handle: handle, name: name)
  }

  /// The program that the first complaint is about: libbpf writes `prog 'NAME': …`.
  static func failedProgram(_ log: [String]) -> String? {
    for line in log {
      guard let start = line.firstRange(ofASCII: "prog '") else { continue }
      let rest = line[start...]
      if let end = rest.firstIndex(of: "'") { return String(rest[..<end]) }
    }
    return nil
  }
}

/// The one owner of libbpf's object, from opening to closing.
@safe
struct ObjectHandle: ~Copyable {
  let object: OpaquePointer

  init(object: OpaquePointer) { unsafe self.object = object }
  deinit { unsafe bpf_object__close(object) }
}

extension String {
  /// The position after the first occurrence of a text.
  func firstRange(ofASCII text: String) -> String.Index? {
    let wanted = Array(text.utf8)
    var position = utf8.startIndex
    while position != utf8.endIndex {
      if utf8[position...].starts(with: wanted) { return utf8.index(position, offsetBy: wanted.count) }
      position = utf8.index(after: position)
    }
    return nil
  }
}
