import Profiles

/// What was measured of each node by each thread, in the order of the nodes.
struct FlameGraphEntries {
  private struct Key: Hashable {
    let node: Int
    let thread: Int
  }

  private var keys: [Key] = []
  private var values: [UInt64] = []
  private var counts: [UInt64] = []
  private let hasCounts: Bool
  /// The entry of each of the profile's moments, in their order.
  private var entryOfMoment: [Int] = []

  /// - Parameters:
  ///   - nodes: of the profile's samples.
  ///   - decimals: those of the page, at least the profile's own.
  init(_ profile: Profile, _ nodes: [Int], _ decimals: Int, _ threads: inout ThreadIndex, hasCounts: Bool) {
    self.hasCounts = hasCounts
    var factor: UInt64 = 1
    for _ in profile.decimals..<decimals { factor *= 10 }
    var places: [Key: Int] = [:]
    var draft: [(key: Key, value: UInt64, count: UInt64)] = []
    func add(_ key: Key, _ value: UInt64, _ count: UInt64) -> Int {
      let (product, overflow) = value.multipliedReportingOverflow(by: factor)
      let place = places[key] ?? draft.count
      if place == draft.count {
        places[key] = place
        draft.append((key, 0, 0))
      }
      let (sum, sumOverflow) = draft[place].value.addingReportingOverflow(overflow ? .max : product)
      draft[place].value = sumOverflow ? .max : sum
      draft[place].count += count
      return place
    }
    var placeOfMoment: [Int] = []
    if profile.moments.all.isEmpty {
      for (sample, node) in zip(profile.samples, nodes) {
        _ = add(Key(node: node, thread: threads.index(of: profile.processes[sample.process])), sample.value, sample.count)
      }
    } else {
      for moment in profile.moments.all {
        let sample = Int(moment.sample)
        var thread = profile.processes[profile.samples[sample].process]
        if moment.thread > 0 { thread.tid = moment.thread }
        placeOfMoment.append(add(Key(node: nodes[sample], thread: threads.index(of: thread)), moment.value, 1))
      }
    }
    let order = draft.indices.sorted { (draft[$0].key.node, draft[$0].key.thread) < (draft[$1].key.node, draft[$1].key.thread) }
    var rank = [Int](repeating: 0, count: draft.count)
    for (place, index) in order.enumerated() { rank[index] = place }
    keys = order.map { draft[$0].key }
    values = order.map { draft[$0].value }
    counts = order.map { draft[$0].count }
    entryOfMoment = placeOfMoment.map { rank[$0] }
  }

  func write(_ name: String, into json: inout ScriptJSON) {
    let nodes = keys.map(\.node)
    json.object(
      name,
      [
        ("node", zip(nodes, [0] + nodes).map { $0 - $1 }), ("thread", keys.map(\.thread)), ("value", values.map { Int(clamping: $0) }),
      ] + (hasCounts ? [("count", counts.map { Int(clamping: $0) })] : []))
  }

  /// Fine enough for every picture.
  private static let step: UInt64 = 100_000

  /// The page's element of times; empty when none are known.
  func times(of moments: Moments) -> [UInt8] {
    var json = ScriptJSON()
    json.bytes += "</script>\n<script type=\"application/json\" id=\"times\">{\"step\":\(Self.step)".utf8
    if moments.isOverfull {
      json.bytes += ",\"limit\":\(moments.limit)}".utf8
      return json.bytes
    }
    guard let first = moments.all.map(\.time).min() else { return [] }
    let order = moments.all.indices.sorted { (moments.all[$0].time, $0) < (moments.all[$1].time, $1) }
    let steps = order.map { Int(clamping: (moments.all[$0].time - first) / Self.step) }
    json.numbers("time", zip(steps, [0] + steps).map { $0 - $1 })
    json.numbers("entry", order.map { entryOfMoment[$0] })
    if moments.all.contains(where: { $0.value != 1 }) { json.numbers("value", order.map { Int(clamping: moments.all[$0].value) }) }
    json.bytes += "}".utf8
    return json.bytes
  }
}

/// Each thread once.
struct ThreadIndex {
  private(set) var all: [Profile.Process] = []
  private var indices: [Profile.Process: Int] = [:]

  mutating func index(of process: Profile.Process) -> Int {
    var thread = process
    thread.task = nil
    if let known = indices[thread] { return known }
    indices[thread] = all.count
    all.append(thread)
    return all.count - 1
  }
}
