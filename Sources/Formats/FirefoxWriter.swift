package import Profiles

/// Writes the Firefox Profiler's processed format (firefox-devtools/profiler, docs-developer/CHANGELOG-formats.md), version 66; newer
/// profilers upgrade it when they load it.
///
/// - Each process is a thread of its own. Kernel and user frames have categories, inlined calls their depth, modules are libraries.
/// - Profiles are sums, without the time of each sample: the stacks of a process stand one after the other, each as long as it was measured.
package enum FirefoxWriter {
  package static func write(_ profile: Profile, _ recording: Recording = Recording()) -> [UInt8] {
    var tables = Tables(profile, recording)
    let groups = ProcessGroups(profile)
    let threads = groups.order.map { process in
      thread(profile, process, groups.samples[process], groups.samples[process].map { tables.stack($0.stack) }, recording)
    }

    var out = Array(#"{"meta":{"version":24,"preprocessedProfileVersion":66,"product":"#.utf8)
    out.append(jsonString: Array(recording.title.utf8))
    out.append(contentsOf: #","processType":0,"stackwalk":1,"interval":\#(milliseconds(Self.interval(recording))),"#.utf8)
    out.append(contentsOf: #""startTime":\#(milliseconds(recording.startedAt)),"debug":false,"symbolicated":true,"markerSchema":[],"#.utf8)
    out.append(
      contentsOf: #"""
        "categories":[{"name":"Other","color":"grey","subcategories":["Other"]},{"name":"User","color":"yellow","subcategories":["Other"]},\#
        {"name":"Kernel","color":"orange","subcategories":["Other"]}],"sampleUnits":{"time":"ms","eventDelay":"ms","threadCPUDelta":"µs"},\#
        "usesOnlyOneStackType":true,"sourceCodeIsNotOnSearchfox":true},
        """#.utf8)
    tables.write(into: &out)
    out.append(contentsOf: ",\"threads\":[".utf8)
    out.append(separated: threads) { $0 += $1 }
    out.append(contentsOf: "],\"pages\":[],\"counters\":[]}\n".utf8)
    return out
  }

  /// Between samples, in nanoseconds.
  private static func interval(_ recording: Recording) -> UInt64 { recording.period > 0 ? recording.period : 1_000_000 }

  private static func milliseconds(_ nanoseconds: UInt64) -> String { decimalText(nanoseconds, decimals: 6) }

  private static func thread(
    _ profile: Profile, _ index: Int, _ samples: [Profile.Sample], _ stacks: [Int?], _ recording: Recording
  ) -> [UInt8] {
    let process = profile.processes[index]
    let name = Array(readableName(process.command).utf8)
    /// Digits after the point that turn values into milliseconds; nil where values are no times.
    let digits: Int? =
      switch profile.unit {
      case .nanoseconds: 6
      case .microseconds: 3
      case .milliseconds: 0
      case .samples, .bytes, .other: nil
      }
    let weightType = digits != nil ? "tracing-ms" : profile.unit == .bytes ? "bytes" : "samples"
    let weights = samples.map { decimalText($0.value, decimals: profile.decimals + (digits ?? 0)) }

    var out = Array("{\"name\":".utf8)
    out.append(jsonString: name)
    let isMain = process.tid == nil || process.tid == process.pid
    out.append(contentsOf: ",\"isMainThread\":\(isMain),\"processType\":\"default\",\"processName\":".utf8)
    out.append(jsonString: name)
    // Without ids, the place in the profile keeps processes apart.
    let pid = process.pid ?? UInt32(truncatingIfNeeded: index)
    out.append(contentsOf: ",\"pid\":\"\(pid)\",\"tid\":\(process.tid ?? pid),\"processStartupTime\":0,".utf8)
    out.append(contentsOf: "\"processShutdownTime\":null,\"registerTime\":0,\"unregisterTime\":null,\"pausedRanges\":[],".utf8)
    out.append(contentsOf: "\"samples\":{\"length\":\(samples.count),\"stack\":[".utf8)
    out.append(separated: stacks) { $0.append(contentsOf: ($1.map(String.init) ?? "null").utf8) }
    out.append(contentsOf: "],\"timeDeltas\":[".utf8)
    var before = "0"
    out.append(separated: zip(samples, weights)) { out, sample in
      out.append(contentsOf: before.utf8)
      before = digits != nil ? sample.1 : duration(of: sample.0, profile, recording)
    }
    out.append(contentsOf: "],\"weight\":[".utf8)
    out.append(separated: weights) { $0.append(contentsOf: $1.utf8) }
    out.append(contentsOf: "],\"weightType\":\"\(weightType)\"},".utf8)
    out.append(
      contentsOf: #""markers":{"length":0,"name":[],"startTime":[],"endTime":[],"phase":[],"category":[],"data":[]}}"#.utf8)
    return out
  }

  /// In milliseconds: as many intervals as there are samples, or one where something else was measured.
  private static func duration(of sample: Profile.Sample, _ profile: Profile, _ recording: Recording) -> String {
    guard profile.unit == .samples else { return milliseconds(interval(recording)) }
    let (product, overflow) = sample.value.multipliedReportingOverflow(by: interval(recording))
    return decimalText(overflow ? .max : product, decimals: 6 + profile.decimals)
  }
}

/// The tables that all threads share. Stacks are a tree: each entry is a frame and how many entries before it its caller stands.
private struct Tables {
  private let profile: Profile
  private let recording: Recording

  private var strings: [String] = []
  private var stringIDs: [String: Int] = [:]
  private var stackFrames: [Int] = []
  private var stackCallers: [Int?] = []
  /// nil for a stack that has nothing to show.
  private var stackIDs: [Stack.ID: Int?] = [:]
  private var frames: [FrameEntry] = []
  private var frameIDs: [FrameKey: Int] = [:]
  private var functions: [FunctionKey] = []
  private var functionIDs: [FunctionKey: Int] = [:]
  private var modules: [String] = []
  private var moduleIDs: [String: Int] = [:]
  private var sources: [Int] = []
  private var sourceIDs: [Int: Int] = [:]

  private struct FrameKey: Hashable {
    let frame: Frame.ID
    let inlineDepth: Int
  }
  private struct FrameEntry {
    let function: Int
    let kind: Frame.Kind
    let line: UInt32
    let inlineDepth: Int
    let module: String
  }
  private struct FunctionKey: Hashable {
    let name: Int
    /// Indices of `modules` and `sources`.
    let module: Int?
    let source: Int?
  }

  init(_ profile: Profile, _ recording: Recording) {
    self.profile = profile
    self.recording = recording
  }

  private mutating func string(_ text: String) -> Int {
    if let known = stringIDs[text] { return known }
    stringIDs[text] = strings.count
    strings.append(text)
    return strings.count - 1
  }

  /// A stack's place in the table, or nil when it has no frames.
  mutating func stack(_ stack: Stack.ID) -> Int? {
    var missing: [(stack: Stack.ID, frame: Frame.ID)] = []
    var rest = stack
    var caller: Int?
    while let (frame, callers) = profile.stacks.top(of: rest) {
      if let known = stackIDs[rest] {
        caller = known
        break
      }
      missing.append((rest, frame))
      rest = callers
    }
    for (stack, id) in missing.reversed() {
      let frame = profile.stacks[id]
      if !frame.isDelimiter {
        let index = self.frame(id, frame, calledFrom: caller.map { frames[stackFrames[$0]] })
        stackFrames.append(index)
        stackCallers.append(caller)
        caller = stackFrames.count - 1
      }
      stackIDs[stack] = .some(caller)
    }
    return caller
  }

  private mutating func frame(_ id: Frame.ID, _ frame: Frame, calledFrom caller: FrameEntry?) -> Int {
    // 0 is the physical frame, which contains those inlined into it.
    let depth = caller.map { frame.isInlined && $0.kind == frame.kind && $0.module == frame.module ? $0.inlineDepth + 1 : 0 } ?? 0
    let key = FrameKey(frame: id, inlineDepth: depth)
    if let known = frameIDs[key] { return known }
    frameIDs[key] = frames.count
    frames.append(
      FrameEntry(function: function(frame), kind: frame.kind, line: frame.line, inlineDepth: depth, module: frame.module))
    return frames.count - 1
  }

  private mutating func function(_ frame: Frame) -> Int {
    let name = readableName(frame.function.utf8)
    let key = FunctionKey(
      name: string(name.isEmpty ? "[unknown]" : name), module: module(frame.module), source: source(frame.file))
    if let known = functionIDs[key] { return known }
    functionIDs[key] = functions.count
    functions.append(key)
    return functions.count - 1
  }

  private mutating func module(_ name: String) -> Int? {
    if name.isEmpty { return nil }
    if let known = moduleIDs[name] { return known }
    moduleIDs[name] = modules.count
    modules.append(name)
    _ = string(name)
    return modules.count - 1
  }

  private mutating func source(_ file: String?) -> Int? {
    guard let file else { return nil }
    let name = string(file)
    if let known = sourceIDs[name] { return known }
    sourceIDs[name] = sources.count
    sources.append(name)
    return sources.count - 1
  }

  /// `"libs":…,"shared":…`.
  func write(into out: inout [UInt8]) {
    out.append(contentsOf: "\"libs\":[".utf8)
    out.append(separated: modules) { out, module in
      let file = recording.modules[module]
      let path = Array((file?.path ?? module).utf8)
      for (index, field) in [("name", Array(module.utf8)), ("path", path), ("debugName", Array(module.utf8)), ("debugPath", path)]
        .enumerated()
      {
        out.append(contentsOf: "\(index == 0 ? "{" : ",")\"\(field.0)\":".utf8)
        out.append(jsonString: field.1)
      }
      out.append(contentsOf: ",\"arch\":null,\"breakpadId\":\"\",\"codeId\":".utf8)
      if let id = file?.buildID, !id.isEmpty { out.append(jsonString: Array(id.utf8)) } else { out.append(contentsOf: "null".utf8) }
      out.append(0x7d)
    }
    out.append(contentsOf: "],\"shared\":{\"stringArray\":[".utf8)
    out.append(separated: strings) { $0.append(jsonString: Array($1.utf8)) }
    out.append(contentsOf: "],".utf8)

    let offsets = stackCallers.enumerated().map { index, caller in caller.map { index - $0 } ?? 0 }
    table("stackTable", stackFrames.count, [("frame", stackFrames), ("prefixOffset", offsets)], &out)
    let none = [Int?](repeating: nil, count: frames.count)
    let zeros = [Int?](repeating: 0, count: frames.count)
    table(
      "frameTable", frames.count,
      [
        ("func", frames.map(\.function)), ("category", frames.map { $0.kind == .kernel ? 2 : $0.kind == .user ? 1 : 0 }),
        ("subcategory", zeros), ("line", frames.map { $0.line == 0 ? nil : Int($0.line) }), ("column", none),
        ("address", frames.map { _ in -1 }), ("nativeSymbol", none), ("inlineDepth", frames.map(\.inlineDepth)),
        ("innerWindowID", zeros), ("originalLocation", none),
      ], &out)
    let nothing = [Int?](repeating: nil, count: functions.count)
    out.append(contentsOf: "\"funcTable\":{\"length\":\(functions.count)".utf8)
    for key in ["isJS", "relevantForJS"] {
      out.append(contentsOf: ",\"\(key)\":[".utf8)
      out.append(separated: functions) { out, _ in out.append(contentsOf: "false".utf8) }
      out.append(0x5d)
    }
    columns(
      [
        ("name", functions.map(\.name)), ("resource", functions.map { $0.module ?? -1 }), ("source", functions.map(\.source)),
        ("lineNumber", nothing), ("columnNumber", nothing), ("originalLocation", nothing),
      ], &out)
    // A resource of type 1 is a library.
    table(
      "resourceTable", modules.count,
      [
        ("lib", Array(modules.indices)), ("name", modules.map { stringIDs[$0] }), ("host", modules.map { _ in nil }),
        ("type", modules.map { _ in 1 }),
      ], &out)
    table("nativeSymbols", 0, [("libIndex", []), ("address", []), ("name", []), ("functionSize", [])], &out)
    let unknown = [Int?](repeating: nil, count: sources.count)
    table(
      "sources", sources.count,
      [
        ("id", unknown), ("filename", sources), ("startLine", sources.map { _ in 1 }), ("startColumn", sources.map { _ in 1 }),
        ("sourceMapURL", unknown), ("content", unknown),
      ], &out)
    table("sourceLocationTable", 0, [("source", []), ("line", []), ("column", [])], &out)
    // After the last table.
    out.removeLast()
    out.append(0x7d)
  }

  private func table(_ name: String, _ length: Int, _ fields: [(String, [Int?])], _ out: inout [UInt8]) {
    out.append(contentsOf: "\"\(name)\":{\"length\":\(length)".utf8)
    columns(fields, &out)
  }

  /// The rest of a table, with the comma to the next.
  private func columns(_ fields: [(String, [Int?])], _ out: inout [UInt8]) {
    for (key, values) in fields {
      out.append(contentsOf: ",\"\(key)\":[".utf8)
      out.append(separated: values) { out, value in
        if let value { out.append(decimal: Int64(value)) } else { out.append(contentsOf: "null".utf8) }
      }
      out.append(0x5d)
    }
    out.append(contentsOf: "},".utf8)
  }
}
