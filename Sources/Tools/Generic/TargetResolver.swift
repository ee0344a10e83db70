internal import DebugInfo
internal import Linux
internal import SystemPackage

/// One target that exists: what a table calls it, and where it is.
package struct ResolvedTarget: Sendable {
  package var name: String
  package var places: [Place]

  package enum Place: Sendable {
    /// Address 0: hidden by the kernel.
    case kernel(name: String, address: UInt64)
    case tracepoint(category: String, name: String)
    case user(path: String, offset: UInt64, semaphore: UInt64)
  }
}

/// The targets that a pattern means on this machine.
package struct TargetResolver {
  package var process: UInt32?
  package var isExpression: Bool
  package var limit: Int
  /// What the user should know about the choice.
  package private(set) var remarks: [String] = []

  package init(process: UInt32?, isExpression: Bool, limit: Int) {
    self.process = process
    self.isExpression = isExpression
    self.limit = limit
  }

  /// - Throws: `ToolError` when nothing is meant, or too much.
  package mutating func resolve(_ text: String) throws -> [ResolvedTarget] {
    let target: ProbeTarget
    do { target = try ProbeTarget(text) } catch { throw ToolError("\(error)") }
    let found: [ResolvedTarget]
    let kind: String
    switch target {
    case .kernelFunctions(let name):
      kind = "kernel functions"
      found = try kernelFunctions(name)
    case .tracepoints(let category, let name):
      kind = "tracepoints"
      found = try tracepoints(category, name)
    case .userFunctions(let file, let name):
      kind = "functions"
      found = try userFunctions(BinaryFinder(process: process).find(file), name)
    case .staticProbes(let file, let provider, let name):
      kind = "static probes"
      found = try staticProbes(BinaryFinder(process: process).find(file), provider, name)
    }
    let places = found.reduce(0) { $0 + $1.places.count }
    guard places <= limit else {
      throw ToolError(
        "'\(text)' matches \(places) \(kind), more than \(limit), so none was attached; narrow it, "
          + "or raise the limit with --max-probes \(places)")
    }
    return found
  }

  private mutating func kernelFunctions(_ name: String) throws -> [ResolvedTarget] {
    let pattern = try NamePattern(name, isExpression: isExpression)
    let functions = try KernelFunctions.find(pattern)
    if pattern.isOneName, functions.contains(where: { $0.name != name }) {
      remarks.append("\(name): traced as \(functions.map(\.name).joined(separator: ", ")), the compiler's copies")
    }
    return functions.map { function in
      ResolvedTarget(name: function.name, places: function.addresses.map { .kernel(name: function.name, address: $0) })
    }
  }

  private func tracepoints(_ category: String, _ name: String) throws -> [ResolvedTarget] {
    guard let root = KernelFeatures.tracefs else {
      let (problem, remedy) = KernelFeatures.tracefsObstacle
      throw ToolError("\(problem); \(remedy)")
    }
    let pattern = try NamePattern(name, isExpression: isExpression)
    let categoryPattern = try NamePattern(category, isExpression: false)
    let categories = Directory.names("\(root)/events").filter { Directory.names("\(root)/events/\($0)").contains("enable") }.sorted()
    let chosen = categories.filter { categoryPattern.matches($0) }
    guard !chosen.isEmpty else {
      throw ToolError("this kernel has no tracepoint category '\(category)'\(Suggestions.question(category, among: categories))")
    }
    var found: [ResolvedTarget] = []
    var names: [String] = []
    for category in chosen {
      for name in Directory.names("\(root)/events/\(category)").sorted()
      where ProcFile.bytes("\(root)/events/\(category)/\(name)/id") != nil {
        names.append(name)
        if pattern.matches(name) {
          found.append(ResolvedTarget(name: "\(category):\(name)", places: [.tracepoint(category: category, name: name)]))
        }
      }
    }
    guard !found.isEmpty else {
      throw ToolError("this kernel has no tracepoint '\(category):\(name)'\(Suggestions.question(name, among: names))")
    }
    return found
  }

  private func points(_ path: String) throws -> ProbePoints {
    do { return try ProbePoints(FilePath(path)) } catch { throw ToolError("\(error)") }
  }

  private mutating func userFunctions(_ path: String, _ name: String) throws -> [ResolvedTarget] {
    let pattern = try NamePattern(name, isExpression: isExpression)
    let points = try points(path)
    let matching = points.functions.filter { pattern.matches($0.name) }
    let direct = matching.filter { !$0.isIndirect }
    guard !direct.isEmpty else {
      if matching.contains(where: \.isIndirect) {
        throw ToolError(
          "'\(name)' of \(path) is chosen when a program starts (an indirect function): its calls pass no fixed place; "
            + "trace the chosen one by its own name")
      }
      let names = points.functions.map(\.name)
      guard !names.isEmpty else { throw ToolError("\(path) has no symbols of functions; it is stripped") }
      guard pattern.isOneName else { throw ToolError("no function of \(path) matches '\(name)'") }
      throw ToolError("\(path) has no function '\(name)'\(Suggestions.question(name, among: names))")
    }
    if pattern.isOneName, matching.contains(where: \.isIndirect) {
      remarks.append("\(name): without the calls of the version that is chosen when a program starts (an indirect function)")
    }
    // Several names of one place are one function; the plainest name stands for it.
    var byOffset: [UInt64: String] = [:]
    for function in direct {
      if let other = byOffset[function.offset], Self.isPlainer(other, than: function.name) { continue }
      byOffset[function.offset] = function.name
    }
    var byName: [String: [UInt64]] = [:]
    for (offset, name) in byOffset { byName[name, default: []].append(offset) }
    return byName.sorted { $0.key < $1.key }.map { name, offsets in
      ResolvedTarget(name: name, places: offsets.sorted().map { .user(path: path, offset: $0, semaphore: 0) })
    }
  }

  private static func isPlainer(_ left: String, than right: String) -> Bool {
    let leading = (left.prefix { $0 == "_" }.count, right.prefix { $0 == "_" }.count)
    return (leading.0, left.utf8.count, left) <= (leading.1, right.utf8.count, right)
  }

  private func staticProbes(_ path: String, _ provider: String?, _ name: String) throws -> [ResolvedTarget] {
    let pattern = try NamePattern(name, isExpression: isExpression)
    let providerPattern = try NamePattern(provider ?? "*", isExpression: false)
    let probes = try points(path).staticProbes
    let matching = probes.filter { providerPattern.matches($0.provider) && pattern.matches($0.name) }
    guard !matching.isEmpty else {
      guard !probes.isEmpty else { throw ToolError("\(path) has no static probes (USDT)") }
      let wanted = provider.map { "\($0):\(name)" } ?? name
      let names = probes.map { provider == nil ? $0.name : "\($0.provider):\($0.name)" }
      throw ToolError("\(path) has no static probe '\(wanted)'\(Suggestions.question(wanted, among: names))")
    }
    var byName: [String: [ResolvedTarget.Place]] = [:]
    for probe in matching {
      byName["\(probe.provider):\(probe.name)", default: []]
        .append(.user(path: path, offset: probe.offset, semaphore: probe.semaphore))
    }
    return byName.sorted { $0.key < $1.key }.map { ResolvedTarget(name: $0.key, places: $0.value) }
  }
}
