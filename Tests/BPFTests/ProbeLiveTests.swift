import BPF
import CProbes
import Clibbpf
import Foundation
import Linux
import SystemPackage
import TestSupport
import Testing

extension ProbeImage {
  /// All probes that were built into the program.
  static var embeddedProbes: [ProbeImage] {
    (0..<probe_image_count()).compactMap { index in
      guard let image = probe_image_at(index)?.pointee else { return nil }
      return ProbeImage(name: String(cString: image.name), bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    }
  }

  static func embedded(_ name: String) throws -> ProbeImage {
    guard let image = embeddedProbes.first(where: { $0.name == name }) else { throw RunError("no probe \(name)") }
    return image
  }
}

/// One program of one probe.
struct ProbeProgram: CustomTestStringConvertible, Sendable {
  var probe: String
  var program: String
  var section: String
  var testDescription: String { "\(probe).\(program) (\(section))" }

  static let all: [ProbeProgram] = ProbeImage.embeddedProbes.flatMap { image -> [ProbeProgram] in
    guard let probe = try? Probe(image) else { return [] }
    return probe.programs.map { ProbeProgram(probe: image.name, program: $0, section: probe.section(of: $0)) }
  }

  /// The tracepoint that the section names.
  var tracepoint: String? {
    let parts = section.split(separator: "/")
    return parts.count == 2 && (parts[0] == "tp_btf" || parts[0] == "raw_tp") ? String(parts[1]) : nil
  }
}

/// Whether the kernel has a tracepoint; raw_syscalls' two are called sys_enter and sys_exit there.
private func kernelHas(_ tracepoint: String) -> Bool {
  guard let root = KernelFeatures.tracefs, let groups = try? FileManager.default.contentsOfDirectory(atPath: "\(root)/events") else {
    return false
  }
  return groups.contains { access("\(root)/events/\($0)/\(tracepoint)", F_OK) == 0 }
}

@Suite(.requiresBPF, .serialized) struct ProbeLiveTests {
  @Test func everyProbeCanBeOpened() {
    #expect(ProbeImage.embeddedProbes.count >= 10)
    for image in ProbeImage.embeddedProbes {
      #expect(ProbeProgram.all.contains { $0.probe == image.name }, "\(image.name)")
    }
  }

  /// What no program may need of the verifier, which gives up at a million: others of its versions need several times as much.
  ///
  /// Kernels before 5.16 do not say; there it only has to load.
  private static let verifiedInstructions = 200_000

  /// Each program passes this kernel's verifier by itself, and attaches where its section says; what cannot be has a reason.
  @Test(arguments: ProbeProgram.all) func everyProgramLoads(_ each: ProbeProgram) throws {
    let probe = try Probe(.embedded(each.probe))
    try probe.select(each.program)
    if each.section == "fentry" || each.section == "fexit" { try probe.setTarget(each.program, "wake_up_new_task") }
    if each.section.contains("multi") { try probe.resize("targets", to: 1) }
    do {
      let loaded = try probe.load()
      let verified = loaded.statistics().map(\.verified).max() ?? 0
      #expect(verified <= Self.verifiedInstructions && (verified > 0 || kernelVersion < (5, 16)), "\(verified)")
      if each.tracepoint != nil {
        let link = try loaded.attach(each.program)
        _ = consume link
      }
    } catch {
      switch error.reason ?? "" {
      case "this kernel has no tracepoint \(each.tracepoint ?? "?")": #expect(!kernelHas(each.tracepoint ?? "?"))
      // Where there is no function tracer there are no trampolines.
      case "this kernel refuses fentry programs": #expect(each.section.hasPrefix("fe") && !KernelFeatures.hasKprobes)
      case "this kernel has no BPF helper bpf_get_current_task_btf": #expect(kernelVersion < (5, 11))
      case "this kernel has no BPF helper bpf_get_attach_cookie": #expect(kernelVersion < (5, 15))
      // The tracepoint lacks its last argument yet.
      case "this kernel's verifier rejects it":
        #expect(
          ["exit_last_btf", "segment_outcome_btf"].contains(each.program) && kernelVersion < (6, 18)
            || each.program == "switch_state_btf" && kernelVersion < (5, 18))
      default: Issue.record("\(error) \(error.log)")
      }
    }
  }

  @Test func constantsOfAnotherSizeAreRefused() throws {
    let probe = try Probe(.embedded("opensnoop"))
    let error = #expect(throws: BPFError.self) { try probe.configure(".rodata.filter", UInt64(1)) }
    #expect(error?.description.contains(".rodata.filter of probe opensnoop") == true)
    #expect(throws: BPFError.self) { try probe.configure(".rodata.nothing", UInt64(1)) }
    #expect(throws: BPFError.self) { try probe.resize("nothing", to: 1) }
    #expect(throws: BPFError.self) { try probe.select("nothing") }
  }

  @Test func viewsOfAnotherShapeAreRefused() throws {
    let probe = try Probe(.embedded("runqlat"))
    try probe.select("wakeup_raw")
    let loaded = try probe.load()
    #expect(throws: BPFError.self) { _ = try loaded.map("tallies", UInt64.self, UInt64.self) }
    #expect(throws: BPFError.self) { _ = try loaded.map("nothing", UInt32.self, UInt64.self) }
    #expect(throws: BPFError.self) { _ = try loaded.attach("nothing") }
    let (known, unknown, memory) = (loaded.has("tallies"), loaded.has("nothing"), loaded.mapMemory())
    #expect(known && !unknown)
    // How much the kernel says depends on its version.
    #expect(memory >= 4096)
  }

  /// A map that two probes share is one, and is told by both with its number.
  @Test func sharedMapsAreOne() throws {
    let first = try Probe(.embedded("runqlat"))
    try first.select("wakeup_raw")
    let one = try first.load()
    let shared = try one.share(["tallies"])
    let second = try Probe(.embedded("runqlat"))
    try second.select("wakeup_raw")
    try second.use(shared)
    let other = try second.load()
    let (sizes, otherSizes) = (one.mapSizes(), other.mapSizes())
    let common = Set(sizes.keys).intersection(otherSizes.keys)
    #expect(sizes.count > 1 && sizes.count == otherSizes.count && common.count == 1)
    for id in common { #expect(sizes[id] == otherSizes[id] && sizes[id] ?? 0 > 0) }
    #expect(one.mapMemory() == sizes.values.reduce(0, +))
  }

  /// A hook whose first variant the kernel lacks goes on to the next, and says why.
  @Test func hooksFallBack() throws {
    let attachment = try BPF.Attachment.attempt(
      .embedded("funccount"),
      hooks: [Hook("an event", ["hit_raw", Hook.Variant("hit_event", lacking: "speed")], attachedByTool: true)],
      attach: { (probe, programs, links) throws(BPFError) in
        if programs[0] == "hit_raw" {
          links.add(
            try probe.attach("hit_raw", to: .rawTracepoint("no_such_event"), target: 0, identity: .copy(marker: 0x7377_7472_6163_6501)))
        } else {
          links.add(
            try probe.attach(
              "hit_event", to: .tracepoint(category: "sched", name: "sched_switch"), target: 0,
              identity: .copy(marker: 0x7377_7472_6163_6501))
          )
        }
        return ["more"]
      })
    #expect(attachment.chosen == ["hit_event"])
    #expect(attachment.links.count == 1)
    #expect(attachment.remarks == ["without speed: this kernel has no tracepoint no_such_event", "more"])
    #expect(attachment.rejected.map(\.program) == ["hit_raw"])
    #expect(attachment.rejected.map(\.reason) == ["this kernel has no tracepoint no_such_event"])
  }

  @Test func factsThatNobodyDeliversAreFatalOnlyIfNeeded() throws {
    for without in [nil, "the count"] {
      let hooks = [
        Hook("an event", ["hit_raw"], without: without, attachedByTool: true), Hook("processes", ["follow_fork_btf", "follow_fork_raw"]),
      ]
      func attempt() throws(BPFError) -> [String] {
        let image: ProbeImage
        do { image = try .embedded("funccount") } catch { throw BPFError("find", "funccount", errno: .noSuchFileOrDirectory) }
        return try BPF.Attachment.attempt(
          image, hooks: hooks,
          attach: { (probe, programs, links) throws(BPFError) in
            guard programs[0] != nil else { return [] }
            links.add(
              try probe.attach("hit_raw", to: .rawTracepoint("no_such_event"), target: 0, identity: .copy(marker: 0x7377_7472_6163_6501)))
            return []
          }
        ).remarks
      }
      if without == nil {
        let error = #expect(throws: BPFError.self) { _ = try attempt() }
        #expect(error?.description == "cannot observe an event: this kernel has no tracepoint no_such_event")
      } else {
        #expect(try attempt() == ["without the count: this kernel has no tracepoint no_such_event"])
      }
    }
  }

  /// Programs live by descriptors: whoever is killed takes them along.
  @Test func killedToolLeavesNothingBehind() throws {
    let folder = try TemporaryFolder()
    let marker = try folder.file("marker", "")
    let tool = try Swtrace.start(["opensnoop"])
    // One line says that everything is attached.
    let opener = try Running(["sh", "-c", "while :; do : < \(marker); done"])
    _ = try tool.wait(for: marker)
    opener.signal(9)
    _ = opener.finish()
    var programs: Set<UInt32> = []
    for entry in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(tool.pid)/fdinfo") {
      for line in (ProcFile.read("/proc/\(tool.pid)/fdinfo/\(entry)") ?? "").split(separator: "\n") where line.hasPrefix("prog_id:") {
        if let id = UInt32(line.drop { !$0.isNumber }) { programs.insert(id) }
      }
    }
    #expect(!programs.isEmpty)
    tool.signal(9)
    #expect(tool.finish().status == 137)
    // The kernel frees them after a grace period.
    for program in programs {
      while true {
        let descriptor = bpf_prog_get_fd_by_id(program)
        guard descriptor >= 0 else { break }
        close(descriptor)
        usleep(1000)
      }
    }
  }
}
