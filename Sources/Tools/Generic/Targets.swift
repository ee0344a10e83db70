package import BPF
internal import CProbes
internal import Linux
internal import SystemPackage

/// The chosen targets, and how programs get to them. A target's number is its position.
package struct Targets: Sendable {
  package let found: [ResolvedTarget]
  private let forcesKprobes: Bool
  private let process: UInt32?
  private var kernel: [(target: Int, name: String, address: UInt64)] = []
  private var user: [(target: Int, path: String, offset: UInt64, semaphore: UInt64)] = []
  private var tracepoints: [(target: Int, category: String, name: String)] = []
  /// Tracepoints of single system calls, which the one of all calls serves.
  private var calls: [(target: Int, number: Int, isExit: Bool)] = []

  /// A trampoline is the cheapest, but each needs a program of its own.
  private static let trampolines = 10

  init(found: [ResolvedTarget], forcesKprobes: Bool, process: UInt32?) {
    self.found = found
    self.forcesKprobes = forcesKprobes
    self.process = process
    for (target, each) in found.enumerated() {
      for place in each.places {
        switch place {
        case .kernel(let name, let address): kernel.append((target, name, address))
        case .user(let path, let offset, let semaphore): user.append((target, path, offset, semaphore))
        case .tracepoint("syscalls", let name):
          if let call = SyscallNames.call(ofTracepoint: name), call.number < Int(GENERIC_SYSCALLS) {
            calls.append((target, call.number, call.isExit))
          } else {
            tracepoints.append((target, "syscalls", name))
          }
        case .tracepoint(let category, let name): tracepoints.append((target, category, name))
        }
      }
    }
  }

  package func name(_ target: UInt64) -> String {
    target < UInt64(found.count) ? found[Int(target)].name : "unknown"
  }

  /// - Parameter returns: whether each target has a program at its end, too: `return_X` for `entry_X`.
  package func hooks(returns: Bool) -> [Hook] {
    let prefix = returns ? "entry" : "hit"
    func variants(_ kinds: [String]) -> [Hook.Variant] {
      kinds.map { Hook.Variant("\(prefix)_\($0)", with: returns ? ["return_\($0)"] : []) }
    }
    var hooks: [Hook] = []
    if !kernel.isEmpty {
      // A name that several functions share is ambiguous to fentry, which knows no addresses.
      let isFew = kernel.count <= Self.trampolines && found.allSatisfy { $0.places.count == 1 }
      var kinds = isFew && !forcesKprobes ? ["fentry"] : []
      if kernel.count > Self.trampolines, kernel.allSatisfy({ $0.address != 0 }) { kinds.append("kprobe_multi") }
      hooks.append(
        Hook(
          "calls of kernel functions", variants(kinds + ["kprobe", "kprobe_copy"]),
          // Where other targets remain, they are observed.
          without: user.isEmpty && tracepoints.isEmpty && calls.isEmpty ? nil : "kernel functions", attachedByTool: true))
    }
    if !user.isEmpty {
      hooks.append(Hook("calls of user functions", variants(["uprobe_multi", "uprobe", "uprobe_copy"]), attachedByTool: true))
    }
    if !calls.isEmpty { hooks.append(Hook("system calls", [Hook.Variant("hit_call_begin", with: ["hit_call_end"])], attachedByTool: true)) }
    if !tracepoints.isEmpty { hooks.append(Hook("tracepoints", [Hook.Variant("hit_raw", with: ["hit_event"])], attachedByTool: true)) }
    return hooks
  }

  /// Names the function of programs that must have one before they are loaded.
  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    for case let program? in programs {
      for each in Self.pair(program) {
        if program.hasSuffix("_fentry"), let first = kernel.first { try probe.setTarget(each, first.name) }
        if program.hasSuffix("_uprobe_multi") { try probe.makeMultiple(each) }
      }
    }
  }

  /// Attaches the chosen programs to all targets.
  ///
  /// - Returns: what could not be attached, where the rest can do without.
  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    var remarks: [String] = []
    for case let program? in programs where program.hasPrefix("hit_") || program.hasPrefix("entry_") {
      if program == "hit_call_begin" {
        try attachCalls(probe, &links)
        continue
      }
      if program.hasSuffix("_multi") {
        var refused: [Int] = []
        for each in Self.pair(program) {
          let more = try attachAll(probe, each, &links)
          refused += more.filter { !refused.contains($0) }
        }
        if !refused.isEmpty {
          remarks.append(remark(refused.map { name(UInt64($0)) }, of: user.count, "the kernel cannot probe their first instruction"))
        }
        continue
      }
      let sites = sites(of: program)
      var failures: [(name: String, error: BPFError)] = []
      for site in sites {
        do { try attach(probe, program, to: site, &links) } catch {
          // Another variant may reach all of the functions, where this one does not.
          guard !program.hasSuffix("_fentry") else { throw error }
          failures.append((site.name, error))
        }
      }
      guard let first = failures.first else { continue }
      guard failures.count < sites.count else { throw first.error }
      remarks.append(remark(failures.map(\.name), of: sites.count, first.error.reason ?? "\(first.error.errno)"))
    }
    return remarks
  }

  private func remark(_ names: [String], of count: Int, _ reason: String) -> String {
    "\(names.count) of \(count) targets could not be attached: "
      + "\(names.prefix(3).joined(separator: ", "))\(names.count > 3 ? ", ..." : ""): \(reason)"
  }

  private func attachCalls(_ probe: borrowing LoadedProbe, _ links: inout Links) throws(BPFError) {
    let map: ProbeMap<UInt32, UInt32> = try probe.map("system_calls")
    for call in calls { try map.set(UInt32(2 * call.number + (call.isExit ? 1 : 0)), UInt32(call.target + 1)) }
    if calls.contains(where: { !$0.isExit }) { links.add(try probe.attach("hit_call_begin")) }
    if calls.contains(where: \.isExit) { links.add(try probe.attach("hit_call_end")) }
  }

  /// Attaches a program to all its targets with one link, or one for each file.
  ///
  /// - Returns: the targets that the kernel refuses.
  private func attachAll(_ probe: borrowing LoadedProbe, _ program: String, _ links: inout Links) throws(BPFError) -> [Int] {
    let atReturn = program.hasPrefix("return_")
    if program.hasSuffix("_kprobe_multi") {
      let all = kernel.map { (address: $0.address, target: UInt64($0.target)) }
      links.add(try probe.attach(program, toAll: all, atReturn: atReturn))
      return []
    }
    var refused: [Int] = []
    for path in Set(user.map(\.path)).sorted() {
      let all = user.filter { $0.path == path }.map { (offset: $0.offset, semaphore: $0.semaphore, target: UInt64($0.target)) }
      refused += try attachMost(probe, program, all[...], of: FilePath(path), atReturn, &links)
    }
    return refused
  }

  private typealias Place = (offset: UInt64, semaphore: UInt64, target: UInt64)

  /// Attaches a program to many places with few links: the kernel refuses all of a link's places for one instruction that it cannot
  /// probe, so that one is found by halving.
  private func attachMost(
    _ probe: borrowing LoadedProbe, _ program: String, _ places: ArraySlice<Place>, of path: FilePath, _ atReturn: Bool,
    _ links: inout Links
  ) throws(BPFError) -> [Int] {
    do {
      links.add(try probe.attach(program, toAll: Array(places), of: path, atReturn: atReturn, process: process))
      return []
    } catch {
      guard error.errno == Self.cannotBeProbed, user.count > 1 else { throw error }
      guard places.count > 1 else { return places.map { Int($0.target) } }
      let middle = places.startIndex + places.count / 2
      return try attachMost(probe, program, places[..<middle], of: path, atReturn, &links)
        + attachMost(probe, program, places[middle...], of: path, atReturn, &links)
    }
  }

  /// The kernel's ENOTSUPP, which user space has no name for.
  private static let cannotBeProbed = Errno(rawValue: 524)

  /// One place, as its programs see it.
  private struct Site {
    var target: Int
    var name: String
    var entry: TargetPlace
    /// Where the program of the return goes.
    var end: TargetPlace
    /// Another program and place, where the first is refused.
    var fallback: (program: String, place: TargetPlace)?
  }

  private func sites(of program: String) -> [Site] {
    if program.hasSuffix("_fentry") {
      return kernel.map {
        Site(target: $0.target, name: $0.name, entry: .trampoline(function: $0.name), end: .trampoline(function: $0.name))
      }
    }
    if program.has("_kprobe") {
      return kernel.map {
        Site(
          target: $0.target, name: $0.name, entry: .kprobe(function: $0.name, address: $0.address, atReturn: false),
          end: .kprobe(function: $0.name, address: $0.address, atReturn: true))
      }
    }
    if program.has("_uprobe") {
      return user.map { each in
        func place(_ atReturn: Bool) -> TargetPlace {
          .uprobe(
            path: FilePath(each.path), offset: each.offset, referenceCounter: each.semaphore, atReturn: atReturn, process: process)
        }
        return Site(target: each.target, name: name(UInt64(each.target)), entry: place(false), end: place(true))
      }
    }
    return tracepoints.map {
      Site(
        target: $0.target, name: "\($0.category):\($0.name)", entry: .rawTracepoint($0.name), end: .rawTracepoint($0.name),
        fallback: ("hit_event", .tracepoint(category: $0.category, name: $0.name)))
    }
  }

  /// The return first, so that no entry waits for one that is not observed.
  private func attach(_ probe: borrowing LoadedProbe, _ program: String, to site: Site, _ links: inout Links) throws(BPFError) {
    let identity: TargetIdentity =
      program.hasSuffix("_kprobe") || program.hasSuffix("_uprobe") ? .cookie : .copy(marker: UInt64(GENERIC_TARGET))
    for each in Self.pair(program) {
      let place = each.hasPrefix("return_") ? site.end : site.entry
      do { links.add(try probe.attach(each, to: place, target: UInt64(site.target), identity: identity)) } catch {
        guard let (program, place) = site.fallback else { throw error }
        links.add(try probe.attach(program, to: place, target: UInt64(site.target), identity: identity))
      }
    }
  }

  /// `return_X` and `entry_X`, or `hit_X` alone.
  private static func pair(_ program: String) -> [String] {
    program.hasPrefix("entry_") ? ["return_" + program.dropFirst("entry_".count), program] : [program]
  }
}
