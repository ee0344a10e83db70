internal import Clibbpf
internal import Glibc
package import SystemPackage

/// An object whose programs and maps are in the kernel; attaching it makes it run.
@safe
package struct LoadedProbe: ~Copyable {
  private let handle: ObjectHandle
  package let name: String
  /// Programs that were made from the object's, one for each target.
  let copies = ProgramCopies()

  private var object: OpaquePointer { unsafe handle.object }

  init(handle: consuming ObjectHandle, name: String) {
    self.handle = handle
    self.name = name
  }

  func program(_ name: String) throws(BPFError) -> OpaquePointer {
    guard let found = unsafe bpf_object__find_program_by_name(object, name) else {
      throw BPFError("find", "program \(name) of probe \(self.name)", errno: .noSuchFileOrDirectory)
    }
    return unsafe found
  }

  /// Attaches a program where its section says.
  package func attach(_ name: String) throws(BPFError) -> Link {
    let program = unsafe try program(name)
    let section = unsafe String(cString: bpf_program__section_name(program))
    return try unsafe Link.make(name, section) { unsafe bpf_program__attach(program) }
  }

  /// Attaches a program to an instruction of a file, for one process or (with nil) for all.
  ///
  /// - Parameter offset: in the file, not an address.
  package func attach(
    _ name: String, uprobe path: FilePath, offset: UInt64, atReturn: Bool, process: UInt32?, cookie: UInt64 = 0
  ) throws(BPFError) -> Link {
    let program = unsafe try program(name)
    return try unsafe Link.make(name, "uprobe/\(path)+\(offset)") {
      var options = unsafe bpf_uprobe_opts()
      unsafe options.sz = MemoryLayout<bpf_uprobe_opts>.size
      unsafe options.retprobe = atReturn
      unsafe options.bpf_cookie = cookie
      return unsafe bpf_program__attach_uprobe_opts(
        program, process.map(Int32.init) ?? -1, path.string, Int(offset), &options)
    }
  }

  /// Attaches a program to a raw tracepoint by name.
  package func attach(_ name: String, rawTracepoint event: String) throws(BPFError) -> Link {
    let program = unsafe try program(name)
    return try unsafe Link.make(name, "raw_tp/\(event)") { unsafe bpf_program__attach_raw_tracepoint(program, event) }
  }

  /// Attaches a program to a perf event, whose descriptor the link takes over.
  package func attach(_ name: String, perfEvent descriptor: CInt) throws(BPFError) -> Link {
    let program = unsafe try program(name)
    return try unsafe Link.make(name, "perf_event") { unsafe bpf_program__attach_perf_event(program, descriptor) }
  }

  /// Runs an iterator program over all that it iterates over.
  ///
  /// - Returns: what the program has written.
  package func iterate(_ name: String) throws(BPFError) -> [UInt8] {
    let program = unsafe try program(name)
    guard let link = unsafe bpf_program__attach_iter(program, nil) else { throw lastError("attach", "program \(name)") }
    defer { _ = unsafe bpf_link__destroy(link) }
    let descriptor = unsafe bpf_iter_create(bpf_link__fd(link))
    guard descriptor >= 0 else { throw lastError("attach", "program \(name)") }
    defer { close(descriptor) }
    var written: [UInt8] = []
    let chunk = 1 << 16
    while true {
      let before = written.count
      written.append(contentsOf: repeatElement(0, count: chunk))
      let got = unsafe written.withUnsafeMutableBytes { room in unsafe read(descriptor, room.baseAddress.map { unsafe $0 + before }, chunk)
      }
      written.removeLast(chunk - max(got, 0))
      if got == 0 { return written }
      // A signal, or an object that did not fit into the kernel's room at once.
      guard got > 0 || [EINTR, EAGAIN].contains(currentErrno()) else { throw lastError("read", "program \(name)") }
    }
  }

  /// The descriptor of a map; it lives as long as the probe.
  package func descriptor(_ map: String) throws(BPFError) -> CInt {
    guard let found = unsafe bpf_object__find_map_by_name(object, map) else {
      throw BPFError("find", "map \(map) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    return unsafe bpf_map__fd(found)
  }

  /// The descriptor of a loaded program; it lives as long as the probe.
  package func descriptor(ofProgram name: String) throws(BPFError) -> CInt { unsafe bpf_program__fd(try program(name)) }

  /// Whether the object has a map of that name.
  package func has(_ map: String) -> Bool { unsafe bpf_object__find_map_by_name(object, map) != nil }

  /// A typed view of a map.
  package func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ name: String, _: Key.Type = Key.self, _: Value.Type = Value.self
  ) throws(BPFError) -> ProbeMap<Key, Value> {
    try ProbeMap(descriptor: descriptor(name), name: name)
  }

  /// A reader of a ring buffer.
  package func ringBuffer(_ map: String) throws(BPFError) -> RingBufferReader {
    guard let found = unsafe bpf_object__find_map_by_name(object, map) else {
      throw BPFError("find", "map \(map) of probe \(name)", errno: .noSuchFileOrDirectory)
    }
    return try unsafe RingBufferReader(descriptor: bpf_map__fd(found), size: Int(bpf_map__max_entries(found)))
  }

  /// What the kernel reports of each loaded program.
  package func statistics() -> [ProgramStatistics] {
    var result: [ProgramStatistics] = []
    var program = unsafe bpf_object__next_program(object, nil)
    while let each = unsafe program {
      let name = unsafe String(cString: bpf_program__name(each))
      for descriptor in [unsafe bpf_program__fd(each)] + copies.descriptors(of: name) where descriptor >= 0 {
        var info = bpf_prog_info()
        var size = UInt32(MemoryLayout<bpf_prog_info>.size)
        if unsafe bpf_obj_get_info_by_fd(descriptor, &info, &size) == 0 {
          result.append(
            ProgramStatistics(
              name: name, runs: info.run_cnt, runTime: info.run_time_ns, missed: info.recursion_misses,
              verified: info.verified_insns))
        }
      }
      unsafe program = unsafe bpf_object__next_program(object, each)
    }
    return result
  }

  /// The kernel memory of each map by its id, in bytes, as the kernel accounts it in fdinfo. Probes that share a map have it in common.
  package func mapSizes() -> [UInt32: UInt64] {
    var sizes: [UInt32: UInt64] = [:]
    var map = unsafe bpf_object__next_map(object, nil)
    while let each = unsafe map {
      if let (id, bytes) = unsafe MapMemory.ofDescriptor(bpf_map__fd(each)) { sizes[id] = bytes }
      unsafe map = unsafe bpf_object__next_map(object, each)
    }
    return sizes
  }

  /// The kernel memory of all maps, in bytes.
  package func mapMemory() -> UInt64 { mapSizes().values.reduce(0, +) }
}

/// What the kernel counts of one program.
package struct ProgramStatistics: Sendable {
  package var name: String
  /// Counted only while BPF statistics are enabled.
  package var runs: UInt64
  /// In nanoseconds, counted only while BPF statistics are enabled.
  package var runTime: UInt64
  /// Events for which the kernel did not run the program, because it was already running on that processor. Since 5.12.
  package var missed: UInt64
  /// Instructions that the verifier followed, of a million at most. Since 5.16, else 0.
  package var verified: UInt32
}
