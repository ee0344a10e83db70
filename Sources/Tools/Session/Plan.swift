internal import BPF

extension Plan {
  /// What a tool says of itself.
  ///
  /// - Parameters:
  ///   - room: entries of maps, where they are to be others than the tool's.
  ///   - begin: sets what is not the tool's own, before the tool does.
  /// - Throws: when there is no such probe.
  init<Measuring: Tool>(
    _ tool: Measuring, room: [String: Int] = [:], begin: @escaping (inout Probe) throws(BPFError) -> Void = { _ throws(BPFError) in }
  ) throws {
    self.init(image: try .named(Measuring.probe), hooks: tool.hooks, activity: Measuring.activity)
    configure = { (probe: inout Probe, programs: [String?]) throws(BPFError) -> Void in
      try begin(&probe)
      try tool.configure(&probe, programs)
      for (map, entries) in room { try probe.resize(map, to: entries) }
    }
    attach = { (probe, programs, links) throws(BPFError) in try tool.attach(probe, programs, &links) }
  }
}
