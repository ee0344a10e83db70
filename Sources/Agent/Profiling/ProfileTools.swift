internal import AgentModel
internal import ArgumentParser
internal import Linux
internal import Tools

/// The tools that measure profiles, with the arguments that settings become.
struct ProfileTools {
  /// For the rules of code, in MB.
  let unwindMemory: Int

  /// Waits that are taken a second, for each processor: as many as there are samples of what it runs.
  private static let waitsPerProcessor: UInt64 = 19

  /// The tool that measures these profiles at once.
  ///
  /// - Parameter governor: says how far rates are lowered.
  /// - Throws: when a process or control group that the filter names does not exist. A command may begin later.
  func tool(
    for types: [ProfileType], _ settings: [ProfileType: ProbeSettings], _ governor: CostGovernor
  ) throws -> any StackTool {
    let arguments = arguments(types, settings, governor)
    return switch types[0] {
    case .cpu: try ProfileTool.parse(arguments)
    case .offCPU, .lock: try Offcputime.parse(arguments)
    case .allocations: try Allocs.parse(arguments)
    }
  }

  /// - Throws: when a process or control group that the filter names does not exist. A command may begin later.
  static func check(_ settings: ProbeSettings) throws {
    _ = try ProfileTool.parse(arguments(of: settings.filter)).session.settings(tool: ProfileTool.name)
  }

  private func arguments(
    _ types: [ProfileType], _ all: [ProfileType: ProbeSettings], _ governor: CostGovernor
  ) -> [String] {
    guard let settings = all[types[0]] else { return [] }
    var arguments = Self.arguments(of: settings.filter) + ["--unwind-memory=\(unwindMemory)"]
    if let frequency = settings.frequency { arguments.append("--frequency=\(governor.lowered(frequency))") }
    if let threshold = settings.threshold {
      arguments += [
        "--min-block-time=\(threshold)", "--samples=\(governor.lowered(Self.waitsPerProcessor * UInt64(Processors.online.count)))",
      ]
    }
    // Each halving of the rates doubles it.
    if let interval = settings.interval { arguments.append("--interval=\(min(interval << governor.level, Allocs.intervals.upperBound))") }
    if types == [.lock] {
      arguments.append("--locks")
    } else if types.contains(.lock), let threshold = all[.lock]?.threshold {
      arguments.append("--and-locks-from=\(threshold)")
    }
    return arguments
  }

  private static func arguments(of filter: ProbeSettings.Filter) -> [String] {
    // One word: a value that begins with a dash is no option.
    [("--comm", filter.comm), ("--cgroup", filter.cgroup), ("--uid", filter.user)].filter { !$0.1.isEmpty }.map { "\($0.0)=\($0.1)" }
  }
}
