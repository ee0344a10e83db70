internal import Clibbpf
internal import Glibc
internal import Linux
package import SystemPackage

/// Where a program is attached when user space chooses the target.
package enum TargetPlace: Sendable {
  /// The entry (fentry) or return (fexit) of a kernel function, through a trampoline; which of the two is the program's kind.
  case trampoline(function: String)
  /// The same by breakpoint or function tracer.
  case kprobe(function: String, address: UInt64, atReturn: Bool)
  case rawTracepoint(String)
  /// The perf event of a tracepoint; `syscalls:sys_enter_*` has nothing else.
  case tracepoint(category: String, name: String)
  /// A position in a file: not an address. The reference counter is a static probe's semaphore, also as a position; 0 without one.
  case uprobe(path: FilePath, offset: UInt64, referenceCounter: UInt64, atReturn: Bool, process: UInt32?)

  /// As in the section of a program, for errors.
  var section: String {
    switch self {
    case .trampoline(let function): "fentry/\(function)"
    case .kprobe(let function, _, _): "kprobe/\(function)"
    case .rawTracepoint(let name): "raw_tp/\(name)"
    case .tracepoint(let category, let name): "tp/\(category)/\(name)"
    case .uprobe(let path, let offset, _, _, _): "uprobe/\(path)+\(offset)"
    }
  }
}

/// How a program that serves many targets learns which of them was hit.
package enum TargetIdentity: Sendable {
  /// From `bpf_get_attach_cookie`. Kernel 5.15 for perf events.
  case cookie
  /// From a constant in a copy of the program. Every kernel.
  case copy(marker: UInt64)
}

extension LoadedProbe {
  /// Attaches a program, or a copy of it, to a target.
  ///
  /// - Parameter target: the number that the program sees.
  package func attach(
    _ name: String, to place: TargetPlace, target: UInt64, identity: TargetIdentity
  ) throws(BPFError) -> TargetLink {
    let original = unsafe try program(name)
    let descriptor: CInt
    var cookie: UInt64?
    switch identity {
    case .cookie:
      descriptor = unsafe bpf_program__fd(original)
      cookie = target
    case .copy(let marker):
      var function: String?
      if case .trampoline(let name) = place { function = name }
      descriptor = unsafe try copies.make(of: original, marker: marker, target: target, function: function)
    }
    switch place {
    case .trampoline, .rawTracepoint:
      var tracepoint: String?
      if case .rawTracepoint(let name) = place { tracepoint = name }
      let link = unsafe bpf_raw_tracepoint_open(tracepoint, descriptor)
      guard link >= 0 else { throw failure(name, place, -link) }
      return TargetLink(link: link)
    case .kprobe, .tracepoint, .uprobe:
      let event = place.open()
      guard event >= 0 else { throw failure(name, place, -event) }
      return try Self.join(descriptor, event, cookie) { failure(name, place, $0) }
    }
  }

  /// Attaches a program to many kernel functions with one link. Kernel 5.18 and CONFIG_FPROBE.
  ///
  /// - Parameter targets: the address and the number of each.
  package func attach(_ name: String, toAll targets: [(address: UInt64, target: UInt64)], atReturn: Bool) throws(BPFError) -> TargetLink {
    let descriptor = unsafe bpf_program__fd(try program(name))
    // The kernel's `unsigned long`.
    let addresses = targets.map { UInt($0.address) }
    let cookies = targets.map(\.target)
    let link = unsafe addresses.withUnsafeBufferPointer { addresses in
      unsafe cookies.withUnsafeBufferPointer { cookies in
        var options = unsafe bpf_link_create_opts()
        unsafe options.sz = MemoryLayout<bpf_link_create_opts>.size
        unsafe options.kprobe_multi.flags = atReturn ? 1 : 0
        unsafe options.kprobe_multi.cnt = UInt32(addresses.count)
        unsafe options.kprobe_multi.addrs = addresses.baseAddress
        unsafe options.kprobe_multi.cookies = cookies.baseAddress
        return unsafe bpf_link_create(descriptor, 0, BPF_TRACE_KPROBE_MULTI, &options)
      }
    }
    guard link >= 0 else {
      let errno = Errno(rawValue: -link)
      throw BPFError(
        "attach", "program \(name)", errno: errno,
        reason: FailureReason.ofAttach(section: "kprobe.multi", errno: errno) ?? "kprobe.multi: \(errno)")
    }
    return TargetLink(link: link)
  }

  /// Attaches a program to many places of a file with one link, which is let go in one grace period. Kernel 6.6.
  ///
  /// - Parameter targets: the place, the semaphore or 0, and the number of each.
  package func attach(
    _ name: String, toAll targets: [(offset: UInt64, semaphore: UInt64, target: UInt64)], of path: FilePath, atReturn: Bool,
    process: UInt32?
  ) throws(BPFError) -> TargetLink {
    let descriptor = unsafe bpf_program__fd(try program(name))
    let link = unsafe path.withPlatformString { path in
      unsafe swtrace_link_uprobes(
        descriptor, path, targets.map(\.offset), targets.map(\.semaphore), targets.map(\.target), UInt32(targets.count),
        targets.contains { $0.semaphore != 0 } ? 1 : 0, atReturn ? 1 : 0, process ?? 0)
    }
    guard link >= 0 else {
      let errno = Errno(rawValue: -link)
      throw BPFError("attach", "program \(name)", errno: errno, reason: "uprobe.multi: \(errno)")
    }
    return TargetLink(link: link)
  }

  private func failure(_ program: String, _ place: TargetPlace, _ code: CInt) -> BPFError {
    let errno = Errno(rawValue: code)
    return BPFError(
      "attach", "program \(program)", errno: errno, reason: FailureReason.ofAttach(section: place.section, errno: errno))
  }

  /// Puts the program on the event: by a link with a cookie, or as the event's own program.
  private static func join(
    _ program: CInt, _ event: CInt, _ cookie: UInt64?, _ failure: (CInt) -> BPFError
  ) throws(BPFError) -> TargetLink {
    var link: CInt = -1
    if let cookie {
      var options = unsafe bpf_link_create_opts()
      unsafe options.sz = MemoryLayout<bpf_link_create_opts>.size
      unsafe options.perf_event.bpf_cookie = cookie
      link = unsafe bpf_link_create(program, event, BPF_PERF_EVENT, &options)
      guard link >= 0 else {
        close(event)
        throw failure(-link)
      }
    } else if swtrace_set_program(event, program) != 0 {
      let code = currentErrno()
      close(event)
      throw failure(code)
    }
    let attached = TargetLink(link: link, event: event)
    guard swtrace_enable_event(event) == 0 else { throw failure(currentErrno()) }
    return attached
  }
}

extension TargetPlace {
  /// The perf event of the place: its descriptor, or a negative errno.
  fileprivate func open() -> CInt {
    switch self {
    case .trampoline, .rawTracepoint: return -EINVAL
    case .kprobe(_, let address, let atReturn):
      guard let type = PerfEventType.named("kprobe") else { return -ENOENT }
      return Self.result(swtrace_open_event(type, atReturn ? 1 : 0, 0, address, -1))
    case .tracepoint(let category, let name):
      guard let root = KernelFeatures.tracefs,
        let id = ProcFile.read("\(root)/events/\(category)/\(name)/id").flatMap({ UInt64($0.filter(\.isNumber)) })
      else { return -ENOENT }
      return Self.result(swtrace_open_event(PERF_TYPE_TRACEPOINT.rawValue, id, 0, 0, -1))
    case .uprobe(let path, let offset, let referenceCounter, let atReturn, let process):
      guard let type = PerfEventType.named("uprobe") else { return -ENOENT }
      return unsafe path.withPlatformString { path in
        let address = UInt64(UInt(bitPattern: path))
        return Self.result(
          swtrace_open_event(type, (atReturn ? 1 : 0) | referenceCounter << 32, address, offset, process.map { CInt($0) } ?? -1))
      }
    }
  }

  private static func result(_ descriptor: CInt) -> CInt { descriptor >= 0 ? descriptor : -currentErrno() }
}

/// The numbers that the kernel gave to the types of perf events.
private enum PerfEventType {
  static func named(_ name: String) -> UInt32? {
    ProcFile.read("/sys/bus/event_source/devices/\(name)/type").flatMap { UInt32($0.filter(\.isNumber)) }
  }
}

/// Programs made from a loaded one by changing the constant that names the target: loaded without relocating anything again, in a
/// fraction of a millisecond each.
@safe
final class ProgramCopies {
  private var made: [(program: String, descriptor: CInt)] = []
  private var types: OpaquePointer?

  deinit {
    for copy in made { close(copy.descriptor) }
    if unsafe types != nil { unsafe btf__free(types) }
  }

  func descriptors(of program: String) -> [CInt] { made.filter { $0.program == program }.map(\.descriptor) }

  /// - Parameter function: the kernel function of an fentry or fexit program.
  func make(of program: OpaquePointer, marker: UInt64, target: UInt64, function: String?) throws(BPFError) -> CInt {
    let name = unsafe String(cString: bpf_program__name(program))
    let count = unsafe bpf_program__insn_cnt(program)
    var instructions = unsafe Array(UnsafeBufferPointer(start: bpf_program__insns(program), count: Int(count)))
    // A 64-bit constant is two instructions, each with half of it.
    guard
      let at = instructions.indices.dropLast().first(where: {
        instructions[$0].code == 0x18 && instructions[$0].src_reg == 0
          && UInt32(bitPattern: instructions[$0].imm) == UInt32(truncatingIfNeeded: marker)
          && UInt32(bitPattern: instructions[$0 + 1].imm) == UInt32(truncatingIfNeeded: marker >> 32)
      })
    else { throw BPFError("copy", "program \(name)", errno: .invalidArgument, reason: "it has no target to replace") }
    instructions[at].imm = Int32(truncatingIfNeeded: target)
    instructions[at + 1].imm = Int32(truncatingIfNeeded: target >> 32)
    var options = unsafe bpf_prog_load_opts()
    unsafe options.sz = MemoryLayout<bpf_prog_load_opts>.size
    unsafe options.expected_attach_type = bpf_program__expected_attach_type(program)
    if let function { unsafe options.attach_btf_id = UInt32(try typeID(of: function, for: name)) }
    let type = unsafe bpf_program__type(program)
    let descriptor = unsafe bpf_prog_load(type, name, "Dual BSD/GPL", instructions, instructions.count, &options)
    guard descriptor >= 0 else {
      let errno = Errno(rawValue: -descriptor)
      throw BPFError(
        "load", "program \(name)", errno: errno,
        reason: FailureReason.ofLoad(section: function.map { "fentry/\($0)" }, errno: errno, log: []))
    }
    made.append((name, descriptor))
    return descriptor
  }

  /// BTF_KIND_FUNC, which is both a macro and an enumerator.
  private static let functionKind: UInt32 = 12

  private func typeID(of function: String, for program: String) throws(BPFError) -> Int32 {
    if unsafe types == nil { unsafe types = unsafe btf__load_vmlinux_btf() }
    let id = unsafe btf__find_by_name_kind(types, function, Self.functionKind)
    guard id > 0 else {
      throw BPFError(
        "load", "program \(program)", errno: .noSuchFileOrDirectory,
        reason: "the kernel's type information has no function \(function)")
    }
    return id
  }
}
