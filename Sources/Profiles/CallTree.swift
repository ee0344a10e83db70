/// A profile's stacks merged from the root: who called whom, with each call's own value and that of all it called.
///
/// Nodes stand in depth-first order, callees sorted by name, so equal profiles give equal trees in whatever order they were measured.
/// Frames that differ only in their source line are one node.
package struct CallTree: Sendable {
  package enum Name: Hashable, Sendable {
    /// The node above all processes.
    case all
    /// A process's command, made readable.
    case process(String)
    /// Without file and line.
    case function(Frame)
  }

  package struct Node: Hashable, Sendable {
    /// An index of `names`.
    package let name: Int
    /// The caller's index in `nodes`; the first node is its own.
    package let parent: Int
    /// 0 for the node of all, 1 for processes.
    package let depth: Int
    /// What was measured while nothing deeper ran, in the profile's unit.
    package internal(set) var selfValue: UInt64
    /// The same with all that was called from here.
    package internal(set) var total: UInt64
    /// The index after this node's last descendant.
    package internal(set) var end: Int
  }

  package private(set) var names: [Name] = [.all]
  package private(set) var nodes: [Node] = []
  /// The depth of the deepest node.
  package private(set) var depth = 0
  /// For each of the profile's samples, the index of its leaf's node.
  package private(set) var nodeOfSample: [Int] = []
  /// The same for the samples of the earlier profile.
  package private(set) var nodeOfEarlierSample: [Int] = []

  /// - Parameter before: an earlier profile, whose calls have nodes too, but no values.
  package init(_ profile: Profile, since before: Profile? = nil) {
    var draft = Draft()
    let leaves = draft.add(profile)
    for (sample, leaf) in zip(profile.samples, leaves) { draft.values[leaf].addSaturating(sample.value) }
    let earlierLeaves = before.map { draft.add($0) } ?? []
    let ranks = draft.ranks()
    names = draft.names

    // Callees grouped by caller and in the order of their names, then walked depth first.
    let sorted = draft.parents.indices.dropFirst().sorted { left, right in
      let (a, b) = (draft.parents[left], draft.parents[right])
      return a != b ? a < b : ranks[draft.nameOf[left]] < ranks[draft.nameOf[right]]
    }
    var firstCallee = [Int](repeating: 0, count: draft.parents.count + 1)
    for node in sorted { firstCallee[draft.parents[node] + 1] += 1 }
    for node in draft.parents.indices { firstCallee[node + 1] += firstCallee[node] }

    nodes.reserveCapacity(draft.parents.count)
    var placeOf = [Int](repeating: 0, count: draft.parents.count)
    var pending = [(draft: 0, parent: 0, depth: 0)]
    while let next = pending.popLast() {
      let index = nodes.count
      placeOf[next.draft] = index
      let value = draft.values[next.draft]
      nodes.append(
        Node(name: draft.nameOf[next.draft], parent: next.parent, depth: next.depth, selfValue: value, total: value, end: index + 1))
      depth = max(depth, next.depth)
      for callee in sorted[firstCallee[next.draft]..<firstCallee[next.draft + 1]].reversed() {
        pending.append((callee, index, next.depth + 1))
      }
    }
    for index in nodes.indices.dropFirst().reversed() {
      let node = nodes[index]
      nodes[node.parent].total.addSaturating(node.total)
      nodes[node.parent].end = max(nodes[node.parent].end, node.end)
    }
    nodeOfSample = leaves.map { placeOf[$0] }
    nodeOfEarlierSample = earlierLeaves.map { placeOf[$0] }
  }
}

/// The tree while samples are added: nodes in order of appearance.
private struct Draft {
  var names: [CallTree.Name] = [.all]
  var nameOf = [0]
  var parents = [0]
  var values: [UInt64] = [0]
  private var nameIDs: [CallTree.Name: Int] = [.all: 0]
  private var nodeIDs: [UInt64: Int] = [:]
  /// By the profile's frames; -1 where not known yet.
  private var frameNames: [Int] = []
  /// The node of a stack below a process's node, and which process it is of: what stacks share is walked once.
  private var stackNodes: [(process: Int, node: Int)] = []

  /// The leaf's node of each sample.
  mutating func add(_ profile: Profile) -> [Int] {
    frameNames = Array(repeating: -1, count: profile.stacks.frames.count)
    stackNodes = Array(repeating: (-1, 0), count: profile.stacks.count)
    nodeIDs.reserveCapacity(nodeIDs.count + profile.stacks.count)
    // One process after the other, as a stack's node is remembered for one.
    let order = profile.samples.indices.sorted { profile.samples[$0].process < profile.samples[$1].process }
    var leaves = [Int](repeating: 0, count: order.count)
    var current = (process: -1, node: 0)
    for index in order {
      let sample = profile.samples[index]
      if sample.process != current.process {
        let name = id(.process(readableName(profile.processes[sample.process].command)))
        current = (sample.process, node(name, under: 0))
      }
      leaves[index] = leaf(of: sample, under: current.node, in: profile)
    }
    return leaves
  }

  private mutating func leaf(of sample: Profile.Sample, under processNode: Int, in profile: Profile) -> Int {
    var missing: [(stack: Stack.ID, frame: Frame.ID)] = []
    var rest = sample.stack
    var node = processNode
    while let (frame, caller) = profile.stacks.top(of: rest) {
      let known = stackNodes[Int(rest.rawValue)]
      if known.process == sample.process {
        node = known.node
        break
      }
      missing.append((rest, frame))
      rest = caller
    }
    for (stack, frame) in missing.reversed() {
      node = self.node(id(frame, of: profile), under: node)
      stackNodes[Int(stack.rawValue)] = (sample.process, node)
    }
    return node
  }

  /// Each name's place in the alphabet.
  func ranks() -> [Int] {
    let texts = names.map(\.sortKey)
    var ranks = [Int](repeating: 0, count: names.count)
    for (rank, name) in names.indices.sorted(by: { texts[$0] < texts[$1] }).enumerated() { ranks[name] = rank }
    return ranks
  }

  private mutating func id(_ frame: Frame.ID, of profile: Profile) -> Int {
    let known = frameNames[Int(frame.rawValue)]
    if known >= 0 { return known }
    var function = profile.stacks[frame]
    // All forms of a function that have its name are one.
    (function.file, function.line, function.mangled) = (nil, 0, nil)
    let id = id(.function(function))
    frameNames[Int(frame.rawValue)] = id
    return id
  }

  private mutating func id(_ name: CallTree.Name) -> Int {
    if let known = nameIDs[name] { return known }
    nameIDs[name] = names.count
    names.append(name)
    return names.count - 1
  }

  private mutating func node(_ name: Int, under parent: Int) -> Int {
    if let known = nodeIDs[key(parent, name)] { return known }
    let node = parents.count
    nodeIDs[key(parent, name)] = node
    nameOf.append(name)
    parents.append(parent)
    values.append(0)
    return node
  }

  private func key(_ high: Int, _ low: Int) -> UInt64 { UInt64(high) << 32 | UInt64(low) }
}

extension CallTree.Name {
  /// What a person reads on the node.
  package var text: String {
    switch self {
    case .all: "all"
    case .process(let command): command
    case .function(let frame): frame.function
    }
  }

  /// The text first, then what tells equal texts apart.
  fileprivate var sortKey: String {
    guard case .function(let frame) = self else { return text }
    return "\(frame.function)\0\(frame.module)\0\(frame.kind.rawValue)\0\(frame.isInlined)"
  }
}
