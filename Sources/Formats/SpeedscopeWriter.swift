package import Profiles

/// Writes speedscope's own format (github.com/jlfwong/speedscope, src/lib/file-format-spec.ts), `*.speedscope.json`.
///
/// - With more than one process, the first profile holds all of them, each below a frame of its name; then comes one profile for each,
///   the largest first.
/// - A frame is a function in a file or module: speedscope takes each entry of its table for another function, so lines, which are those of
///   calls, are left out.
package enum SpeedscopeWriter {
  package static func write(_ profile: Profile, _ recording: Recording = Recording()) -> [UInt8] {
    var frames = Frames(profile)
    let groups = ProcessGroups(profile)
    var stacks: [Stack.ID: [Int]] = [:]
    for sample in profile.samples where stacks[sample.stack] == nil { stacks[sample.stack] = frames.indices(of: sample.stack) }

    var profiles: [[UInt8]] = []
    if groups.order.count > 1 {
      let roots = profile.processes.map { frames.index(of: FrameKey(name: readableName($0.command), file: "")) }
      profiles.append(
        one("all processes", profile, profile.samples) { [roots[$0.process]] + stacks[$0.stack, default: []] })
    }
    for process in groups.order {
      let name = groups.name(of: profile.processes[process])
      profiles.append(one(name, profile, groups.samples[process]) { stacks[$0.stack, default: []] })
    }

    var out = Array(#"{"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"swtrace","name":"#.utf8)
    out.append(jsonString: Array(recording.title.utf8))
    out.append(contentsOf: #","activeProfileIndex":0,"shared":{"frames":["#.utf8)
    out.append(separated: frames.all) { out, frame in
      out.append(contentsOf: "{\"name\":".utf8)
      out.append(jsonString: Array(frame.name.utf8))
      if !frame.file.isEmpty {
        out.append(contentsOf: ",\"file\":".utf8)
        out.append(jsonString: Array(frame.file.utf8))
      }
      out.append(0x7d)
    }
    out.append(contentsOf: "]},\"profiles\":[".utf8)
    out.append(separated: profiles) { $0 += $1 }
    out.append(contentsOf: "]}\n".utf8)
    return out
  }

  private static func one(
    _ name: String, _ profile: Profile, _ samples: [Profile.Sample], _ stack: (Profile.Sample) -> [Int]
  ) -> [UInt8] {
    var out = Array("{\"type\":\"sampled\",\"name\":".utf8)
    // The units that speedscope knows; any other is said in the name.
    let unit: String
    switch profile.unit {
    case .nanoseconds, .microseconds, .milliseconds, .bytes:
      let names: [Profile.Unit: String] = [.nanoseconds: "nanoseconds", .microseconds: "microseconds", .milliseconds: "milliseconds"]
      unit = names[profile.unit] ?? "bytes"
      out.append(jsonString: Array(name.utf8))
    case .samples, .other:
      unit = "none"
      out.append(jsonString: Array((profile.unit.name.isEmpty ? name : "\(name) (\(profile.unit.name))").utf8))
    }
    var sum: UInt64 = 0
    for sample in samples {
      let (next, overflow) = sum.addingReportingOverflow(sample.value)
      sum = overflow ? .max : next
    }
    out.append(contentsOf: ",\"unit\":\"\(unit)\",\"startValue\":0,\"endValue\":\(decimalText(sum, decimals: profile.decimals)),".utf8)
    out.append(contentsOf: "\"samples\":[".utf8)
    out.append(separated: samples) { out, sample in
      out.append(0x5b)
      out.append(separated: stack(sample)) { $0.append(decimal: UInt64($1)) }
      out.append(0x5d)
    }
    out.append(contentsOf: "],\"weights\":[".utf8)
    out.append(separated: samples) { $0.append(contentsOf: decimalText($1.value, decimals: profile.decimals).utf8) }
    out.append(contentsOf: "]}".utf8)
    return out
  }
}

private struct FrameKey: Hashable {
  let name: String
  /// The source file, else the module.
  let file: String
}

/// Each function once, in order of appearance.
private struct Frames {
  private(set) var all: [FrameKey] = []
  private let profile: Profile
  private var known: [FrameKey: Int] = [:]
  /// The index of each of the profile's frames; nil for what is not shown.
  private var byID: [Frame.ID: Int?] = [:]

  init(_ profile: Profile) { self.profile = profile }

  mutating func index(of key: FrameKey) -> Int {
    if let index = known[key] { return index }
    known[key] = all.count
    all.append(key)
    return all.count - 1
  }

  mutating func indices(of stack: Stack.ID) -> [Int] {
    profile.stacks.frameIDs(of: stack).compactMap { id in
      if let found = byID[id] { return found }
      let frame = profile.stacks[id]
      let name = readableName(frame.function.utf8)
      let key = FrameKey(name: name.isEmpty ? "[unknown]" : name, file: readableName((frame.file ?? frame.module).utf8))
      let found = frame.isDelimiter ? nil : index(of: key)
      byID[id] = .some(found)
      return found
    }
  }
}

/// A profile's samples by process, for formats that show one at a time.
struct ProcessGroups {
  /// Indexed like the profile's processes.
  let samples: [[Profile.Sample]]
  /// The processes that have samples, the largest first.
  let order: [Int]

  init(_ profile: Profile) {
    var samples = [[Profile.Sample]](repeating: [], count: profile.processes.count)
    var totals = [Double](repeating: 0, count: profile.processes.count)
    // The tasks of a process stand with the first of them.
    var firsts: [Profile.Process: Int] = [:]
    let places = profile.processes.enumerated().map { place, process in
      var whole = process
      whole.task = nil
      firsts[whole] = firsts[whole] ?? place
      return firsts[whole] ?? place
    }
    for sample in profile.samples {
      samples[places[sample.process]].append(sample)
      totals[places[sample.process]] += Double(sample.value)
    }
    self.samples = samples
    order = samples.indices.filter { !samples[$0].isEmpty }.sorted { (totals[$1], $0) < (totals[$0], $1) }
  }

  /// `command pid`, with `/tid` where that is another number.
  func name(of process: Profile.Process) -> String {
    let ids = [process.pid, process.tid == process.pid ? nil : process.tid].compactMap { $0.map(String.init) }
    return ([readableName(process.command)] + (ids.isEmpty ? [] : [ids.joined(separator: "/")])).joined(separator: " ")
  }
}

extension [UInt8] {
  /// Appends elements with commas between them.
  mutating func append<Each>(separated elements: some Sequence<Each>, _ element: (inout [UInt8], Each) -> Void) {
    var isFirst = true
    for each in elements {
      if !isFirst { append(0x2c) }
      isFirst = false
      element(&self, each)
    }
  }
}
