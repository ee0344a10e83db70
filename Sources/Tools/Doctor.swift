package import ArgumentParser
internal import BPF
internal import Formats
internal import Glibc
internal import Linux
internal import SystemPackage

/// Says what this kernel offers, what is missing, and which variant each tool would use.
package struct Doctor: ParsableCommand, FormattedOutput {
  package static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Check this machine: kernel, rights, and which variant each tool uses.",
    discussion: """
      Each tool's programs are loaded, attached and removed again; nothing stays.
      Only default options are tried, and one example of a target for funccount and
      funclatency. Another option may need another hook; where that is missing, the
      tool says so.

      Example:
        swtrace doctor --format json
      """)

  package static let formats: [OutputFormat] = [.table, .json]

  @Option(help: ArgumentHelp("Output format; the default is table.", valueName: "format")) var format: FormatOption<Doctor>?
  @Option(help: ArgumentHelp("Read the kernel's type information from this file.", valueName: "file")) var btf: String?

  package init() {}

  package func run() throws {
    var output = try Output(path: nil)
    let facts = SystemFacts.all
    let privileged = Privileges.current.missing == nil
    let verdicts = toolCommands.compactMap { $0 as? any Tool.Type }.map { Verdict(of: $0, typeInformation: btf, privileged: privileged) }
    if format?.format == .json { writeJSON(facts, verdicts, &output.buffer) } else { writeTable(facts, verdicts, &output.buffer) }
    try output.commit()
  }

  private func writeTable(_ facts: [SystemFact], _ verdicts: [Verdict], _ out: inout [UInt8]) {
    for fact in facts {
      out.append(contentsOf: fact.title.padded(to: 34).utf8)
      out.append(escaped: Text(fact.value))
      if let remedy = fact.remedy { out.append(contentsOf: "  (\(remedy))".utf8) }
      out.append(0x0a)
    }
    out.append(contentsOf: "\n\("TOOL".padded(to: 14)) \("STATUS".padded(to: 8)) HOOKS\n".utf8)
    for verdict in verdicts {
      out.append(
        contentsOf: "\(verdict.tool.padded(to: 14)) \(verdict.status.rawValue.padded(to: 8)) \(verdict.hooks.joined(separator: ", "))\n"
          .utf8)
      for line in verdict.reasons { out.append(contentsOf: "\(String(repeating: " ", count: 24))\(line)\n".utf8) }
    }
  }

  private func writeJSON(_ facts: [SystemFact], _ verdicts: [Verdict], _ out: inout [UInt8]) {
    out.append(contentsOf: "{\"type\":\"system\"".utf8)
    for fact in facts {
      out.append(contentsOf: ",\"\(fact.key)\":".utf8)
      out.append(json: .string(fact.value))
    }
    out.append(contentsOf: "}\n".utf8)
    for verdict in verdicts {
      out.append(contentsOf: "{\"type\":\"tool\",\"tool\":\"\(verdict.tool)\",\"status\":\"\(verdict.status.rawValue)\",\"hooks\":".utf8)
      out.append(json: .texts(verdict.hooks.map { Text($0) }))
      out.append(contentsOf: ",\"reasons\":".utf8)
      out.append(json: .texts(verdict.reasons.map { Text($0) }))
      out.append(contentsOf: "}\n".utf8)
    }
  }
}

/// What became of a tool's attempt to run here.
private struct Verdict {
  enum Status: String { case complete, reduced, none }

  var tool: String
  var status: Status
  /// The sections of the chosen programs.
  var hooks: [String] = []
  /// Why not better.
  var reasons: [String] = []

  init(of type: any Tool.Type, typeInformation: String?, privileged: Bool) {
    tool = type.name
    guard privileged else {
      status = .none
      reasons = [Privileges.current.missing ?? ""]
      return
    }
    do {
      var tool = try type.parse(type.exampleArguments)
      try tool.prepare()
      let prepared = tool
      let image = try ProbeImage.named(type.probe)
      let sections = try Probe(image)
      let attachment = try Attachment.attempt(
        image, hooks: prepared.hooks, typeInformation: typeInformation.map { FilePath($0) },
        configure: { (probe, programs) throws(BPFError) in try prepared.configure(&probe, programs) },
        attach: { (probe, programs, links) throws(BPFError) in try prepared.attach(probe, programs, &links) })
      hooks = attachment.chosen.compactMap { $0.map { sections.section(of: $0) } }
      reasons = attachment.remarks
      for rejected in attachment.rejected {
        let reason = "not \(sections.section(of: rejected.program)): \(rejected.reason)"
        // Programs for one hook differ in how they are attached, which is of no interest here.
        if !reasons.contains(reason) { reasons.append(reason) }
      }
      status = attachment.remarks.isEmpty ? .complete : .reduced
    } catch {
      status = .none
      reasons = ["\(error)"]
    }
  }
}

/// One line of the report.
private struct SystemFact {
  var title: String
  var key: String
  var value: String
  /// What to do when the value stands in the way.
  var remedy: String?

  init(_ title: String, _ key: String, _ value: String, remedy: String? = nil) {
    self.title = title
    self.key = key
    self.value = value
    self.remedy = remedy
  }
}

private enum SystemFacts {
  static var all: [SystemFact] {
    var facts = [SystemFact("kernel", "kernel", KernelFeatures.release)]
    facts.append(
      SystemFact(
        "type information (BTF)", "btf", KernelFeatures.hasTypeInformation ? "/sys/kernel/btf/vmlinux" : "none",
        remedy: KernelFeatures.hasTypeInformation ? nil : "name a file with --btf FILE"))
    for capability in Privileges.Capability.allCases {
      let held = Privileges.current.has(capability)
      facts.append(SystemFact(capability.name, capability.name.lowercased(), held ? "yes" : "no"))
    }
    facts.append(SystemFact("lockdown", "lockdown", KernelFeatures.lockdown ?? "unknown (/sys/kernel/security is not mounted)"))
    facts.append(SystemFact("security modules", "lsm", file("/sys/kernel/security/lsm") ?? "unknown"))
    facts.append(SystemFact("kprobes", "kprobes", KernelFeatures.hasKprobes ? "yes" : "no (CONFIG_KPROBES=n)"))
    facts.append(SystemFact("uprobes", "uprobes", KernelFeatures.hasUprobes ? "yes" : "no (CONFIG_UPROBES=n)"))
    let obstacle = KernelFeatures.tracefs == nil ? KernelFeatures.tracefsObstacle : nil
    facts.append(SystemFact("tracefs", "tracefs", KernelFeatures.tracefs ?? obstacle?.problem ?? "", remedy: obstacle?.remedy))
    facts.append(SystemFact("cgroup v2", "cgroup_v2", ControlGroup.root ?? "not mounted"))
    for name in ["kernel.perf_event_paranoid", "kernel.kptr_restrict", "kernel.unprivileged_bpf_disabled", "net.core.bpf_jit_enable"] {
      let path = "/proc/sys/\(name.split(separator: ".").joined(separator: "/"))"
      facts.append(SystemFact(name, String(name.map { $0 == "." ? "_" : $0 }), file(path) ?? "not readable"))
    }
    return facts
  }

  private static func file(_ path: String) -> String? {
    ProcFile.read(path).map { $0.hasSuffix("\n") ? String($0.dropLast()) : $0 }
  }
}
