package import ArgumentParser
package import CProbes
internal import Formats
internal import Glibc
internal import Linux

/// The options that every tool has: which tasks, for how long, and what comes out.
package struct SessionOptions<Owner: OptionLetters & FormattedOutput>: ParsableArguments {
  @Option(name: .long(Owner.pidLetter), help: ArgumentHelp("Only this process, or these.", valueName: "pid,..."))
  package var pid: ProcessList?
  @Option(name: .long(Owner.tidLetter), help: ArgumentHelp("Only this thread, or these.", valueName: "tid,..."))
  package var tid: ProcessList?
  @Option(name: .long(Owner.uidLetter), help: ArgumentHelp("Only tasks of this user.", valueName: "user"))
  package var uid: String?
  @Option(help: ArgumentHelp("Only tasks with exactly this command name.", valueName: "name"))
  package var comm: String?
  @Option(name: .long(Owner.cgroupLetter), help: ArgumentHelp("Only tasks in this cgroup or below it.", valueName: "path"))
  package var cgroup: String?

  @Option(
    name: .long(Owner.durationLetter),
    help: ArgumentHelp("End after this time: 500ms, 10s, 2m. A command that still runs then gets SIGTERM.", valueName: "time"))
  package var duration: TimeSpan?
  @Option(help: ArgumentHelp("Output format; the default is the ending of --output, or the first of them.", valueName: "format"))
  package var format: FormatOption<Owner>?
  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Write to a file, complete or not at all. May be repeated by tools that print at the end.", valueName: "file"))
  package var output: [String] = []
  @Flag(help: "Print what was seen, filtered, delivered and lost, even if nothing was lost.")
  package var stats = false
  @Option(help: ArgumentHelp("Read the kernel's type information from this file.", valueName: "file"))
  package var btf: String?
  @Flag(help: "With a command: exit with its exit code.")
  package var propagateExit = false
  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp("Trace this command and its children, from its first instruction on.", valueName: "command"))
  package var command: [String] = []

  package init() {}

  /// Looks up what the options name.
  ///
  /// - Throws: `ToolError` when something does not exist.
  package func settings(tool: String) throws -> SessionSettings {
    var filter = swtrace_filter()
    var targets: [UInt32] = []
    var remarks: [String] = []
    if let pid {
      for id in pid.ids {
        guard let process = ProcessNames.process(of: id) else { throw ToolError("no process has the id \(id); see ps -e") }
        guard process.id == id else {
          throw ToolError("\(id) is a thread of process \(process.id) ('\(process.name)'); use --pid \(process.id) or --tid \(id)")
        }
      }
      if pid.ids.count == 1 { filter.pid = pid.ids[0] } else { targets = pid.ids }
    }
    if let tid {
      for id in tid.ids where ProcFile.bytes("/proc/\(id)/stat") == nil {
        throw ToolError("no thread has the id \(id); see ps -eL")
      }
      if tid.ids.count == 1 {
        filter.tid = tid.ids[0]
      } else {
        guard targets.isEmpty else { throw ToolError("a list of processes and a list of threads exclude each other") }
        targets = tid.ids
        filter.targets_are_threads = 1
      }
    }
    if let uid {
      filter.uid = try Users.id(of: uid)
      filter.has_uid = 1
    }
    if let comm {
      let bytes = Array(comm.utf8)
      guard (1..<Int(SWTRACE_COMM_LENGTH)).contains(bytes.count) else {
        throw ToolError("the kernel's command names have 1 to \(SWTRACE_COMM_LENGTH - 1) bytes; '\(comm)' has \(bytes.count)")
      }
      // No error: what lives for a moment only can be waited for in no other way.
      if command.isEmpty, let known = ProcessNames.unless(contain: comm) {
        remarks.append(
          "no process or thread is called '\(comm)' yet, those to come are traced\(Suggestions.question(comm, among: known))")
      }
      withUnsafeMutableBytes(of: &filter.comm) { $0.copyBytes(from: bytes) }
      filter.has_comm = 1
    }
    if let cgroup {
      do { filter.cgroup_id = try ControlGroup(cgroup).id } catch {
        throw ToolError("\(error)\(ControlGroup.suggestion(for: cgroup)); see find $(findmnt -nt cgroup2 -o TARGET) -type d")
      }
    }
    guard ProcessNamespace.isInitial || (pid == nil && tid == nil && command.isEmpty) else {
      throw ToolError(
        "swtrace runs in a pid namespace of its own, where processes have other numbers than in the kernel: --pid, --tid and a command "
          + "to start would mean others; run it in the host's (docker run --pid=host), or choose by --cgroup, --comm or --uid")
    }
    if !command.isEmpty {
      guard pid == nil, tid == nil else { throw ToolError("--pid or --tid and a command to start exclude each other") }
    } else if propagateExit {
      throw ToolError("--propagate-exit needs a command: swtrace \(tool) --propagate-exit -- COMMAND")
    }
    return SessionSettings(
      tool: tool, filter: filter, targets: targets, duration: duration?.nanoseconds, formats: Owner.formats, format: format?.format,
      outputs: output, stats: stats,
      typeInformation: btf, command: command, propagatesExit: propagateExit, remarks: remarks)
  }
}

/// The options of a session, looked up and checked.
package struct SessionSettings {
  package var tool: String
  package var filter: swtrace_filter
  package var targets: [UInt32]
  /// The processes that can have events, where the options say it; none for any.
  package var processes: [UInt32] { filter.targets_are_threads != 0 ? [] : targets.isEmpty && filter.pid != 0 ? [filter.pid] : targets }
  /// Nanoseconds.
  package var duration: UInt64?
  /// What the tool can write, its default first.
  package var formats: [OutputFormat]
  package var format: OutputFormat?
  package var outputs: [String]
  package var stats: Bool
  package var typeInformation: String?
  package var command: [String]
  package var propagatesExit: Bool
  /// What people should know of what they asked for, a line each.
  package var remarks: [String] = []

  /// Where the output goes and in which format, in the order given; standard output when no file was named.
  package func destinations() throws -> [(path: String?, format: OutputFormat)] {
    guard !outputs.isEmpty else { return [(nil, format ?? formats[0])] }
    return try outputs.map { path in
      let chosen = format ?? OutputFormat(ending: path) ?? formats[0]
      // A file's ending says what no option was asked about.
      guard formats.contains(chosen) else {
        let names = formats.map(\.rawValue).joined(separator: ", ")
        throw ToolError("\(tool) cannot write \(path): it has no format '\(chosen.rawValue)', but \(names)")
      }
      return (path, chosen)
    }
  }

  /// Where a tool prints while it runs: to one place.
  package func destination() throws -> (path: String?, format: OutputFormat) {
    let all = try destinations()
    guard all.count == 1 else { throw ToolError("\(tool) writes to one file; it prints while it runs") }
    return all[0]
  }
}

/// User names, without the name service: a static program cannot load it.
enum Users {
  static func id(of name: String) throws -> UInt32 {
    if let id = UInt32(name) { return id }
    var names: [String] = []
    for line in (ProcFile.read("/etc/passwd") ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      if fields.count > 2, fields[0] == name, let id = UInt32(fields[2]) { return id }
      if let first = fields.first { names.append(String(first)) }
    }
    throw ToolError("no user is called '\(name)' in /etc/passwd\(Suggestions.question(name, among: names)); give the number")
  }
}

/// The command names of what runs now.
enum ProcessNames {
  /// All names; nil when the wanted one is among them.
  static func unless(contain wanted: String) -> Set<String>? {
    var names: Set<String> = []
    let processes = Directory.names("/proc").filter { UInt32($0) != nil }
    // Most are asked for by the name of a process; threads are many.
    for process in processes { names.formUnion(name("/proc/\(process)/comm")) }
    if names.contains(wanted) { return nil }
    for process in processes {
      for thread in Directory.names("/proc/\(process)/task") where thread != process {
        names.formUnion(name("/proc/\(process)/task/\(thread)/comm"))
      }
    }
    return names.contains(wanted) ? nil : names
  }

  /// The process that a process or thread belongs to; nil where there is none.
  static func process(of id: UInt32) -> (id: UInt32, name: String)? {
    guard let status = ProcFile.read("/proc/\(id)/status"),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("Tgid:") }),
      let process = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last.flatMap({ UInt32($0) })
    else { return nil }
    var shown: [UInt8] = []
    shown.append(escaped: Text(Array((name("/proc/\(process)/comm").first ?? "").utf8)))
    return (process, String(decoding: shown, as: UTF8.self))
  }

  private static func name(_ path: String) -> [String] { ProcFile.read(path).map { [String($0.dropLast())] } ?? [] }
}

extension ControlGroup {
  /// `; did you mean …?`: the nearest of the cgroups where the wanted one is not.
  static func suggestion(for name: String) -> String {
    guard let root else { return "" }
    var folder = root
    for part in (name.hasPrefix(root) ? name.dropFirst(root.count) : name[...]).split(separator: "/") {
      let inner = Directory.names(folder)
      guard inner.contains(String(part)) else {
        let groups = inner.filter { access("\(folder)/\($0)/cgroup.procs", F_OK) == 0 }
        return Suggestions.question(String(part), among: groups)
      }
      folder += "/\(part)"
    }
    return ""
  }
}
