package import Profiles

/// Writes pprof's format: gzip around the protobuf message `perftools.profiles.Profile` (github.com/google/pprof, proto/profile.proto).
///
/// What `go tool pprof`, Pyroscope, Parca and speedscope each insist on is obeyed: ids count from 1 in the order of their table, strings are
/// UTF-8, each sample has as many values as there are types, frames without a symbol have a line all the same.
///
/// - A physical frame and the calls inlined into it are one location. Frames have no address yet, so equal chains are the same location.
/// - `system_name` is the mangled name. Where it equals the name, `go tool pprof` strips `<…>` and `(…)` from what it takes for C++; so it is
///   empty where the readable name cannot be a symbol's.
/// - The process is in the labels `comm`, `pid`, `tid` and `task`, the Swift task; `-tagroot=comm` shows it as a frame.
package enum PprofWriter {
  /// The name that profiles have for the kernel as a file.
  static let kernelFile = "[kernel.kallsyms]"

  /// The whole file.
  package static func write(_ profile: Profile, _ recording: Recording = Recording()) -> [UInt8] {
    Gzip.compress(encode(profile, recording))
  }

  /// The message without gzip.
  package static func encode(_ profile: Profile, _ recording: Recording = Recording()) -> [UInt8] {
    var tables = Tables(profile, recording)
    let scale = Scale(profile)
    let types = types(profile, scale, recording)
    var samples = ProtobufEncoder()
    let labels = profile.processes.map { tables.labels($0) }
    var locations: [Stack.ID: [UInt64]] = [:]
    for sample in profile.samples {
      let value = scale.value(sample.value)
      if value == 0 { continue }
      let stack = locations[sample.stack] ?? tables.locations(sample.stack)
      locations[sample.stack] = stack
      samples.append(2) { message in
        message.append(1, packed: stack)
        message.append(2, packed: types.map { $0.value(value, sample.count) })
        message.append(labels[sample.process])
      }
    }
    var message = ProtobufEncoder()
    for type in types { message.append(1) { tables.append(type.name, type.unit, to: &$0) } }
    message.append(samples)
    tables.appendMappings(to: &message)
    message.append(tables.locationTable)
    message.append(tables.functionTable)
    let comments = (recording.comments + scale.remarks).map { UInt64(tables.string($0)) }
    var end = ProtobufEncoder()
    end.append(9, recording.startedAt.clamped)
    end.append(10, recording.duration.clamped)
    if recording.period > 0 { end.append(11) { tables.append(recording.measure ?? "cpu", "nanoseconds", to: &$0) } }
    end.append(12, recording.period.clamped)
    end.append(13, packed: comments)
    for string in tables.strings { message.append(6, string.utf8) }
    message.append(end)
    return message.bytes
  }

  private struct ValueType {
    let name: String
    let unit: String
    let value: (_ value: UInt64, _ count: UInt64) -> UInt64
  }

  /// The number of events first, the default view last, as pprof's README wants it.
  private static func types(_ profile: Profile, _ scale: Scale, _ recording: Recording) -> [ValueType] {
    if scale.unit == .samples {
      let samples = ValueType(name: "samples", unit: "count") { value, _ in value }
      guard recording.period > 0 else { return [samples] }
      let time = ValueType(name: recording.measure ?? "cpu", unit: "nanoseconds") { value, _ in
        let (time, overflow) = value.multipliedReportingOverflow(by: recording.period)
        return overflow ? UInt64(Int64.max) : time.clamped
      }
      return [samples, time]
    }
    let name: (String, String) =
      switch scale.unit {
      case .nanoseconds: ("time", "nanoseconds")
      case .microseconds: ("time", "microseconds")
      case .milliseconds: ("time", "milliseconds")
      case .bytes: ("space", "bytes")
      case .samples: ("samples", "count")
      // Pyroscope takes a type's name apart at hyphens.
      case .other(let name): (name.isEmpty ? "value" : String(name.map { $0 == "-" ? "_" : $0 }), "count")
      }
    let counts = recording.hasCounts ? [ValueType(name: recording.events, unit: "count") { $1.clamped }] : []
    return counts + [ValueType(name: recording.measure ?? name.0, unit: name.1) { value, _ in value }]
  }
}

/// Brings values to integers: a smaller unit of time where one is exact, else rounded.
private struct Scale {
  let unit: Profile.Unit
  /// What was rounded, for the file's comments.
  var remarks: [String] = []
  private var factor: UInt64 = 1
  private var divisor: UInt64 = 1

  init(_ profile: Profile) {
    var digits = profile.decimals
    var unit = profile.unit
    for (coarse, fine) in [(Profile.Unit.milliseconds, Profile.Unit.microseconds), (.microseconds, .nanoseconds)]
    where digits > 0 && unit == coarse {
      unit = fine
      // Three digits less after the point, or zeros where there were fewer.
      for _ in 0..<max(3 - digits, 0) { factor *= 10 }
      digits = max(digits - 3, 0)
    }
    for _ in 0..<digits { divisor *= 10 }
    if digits > 0 { remarks.append("values were rounded to whole \(unit.name)") }
    self.unit = unit
  }

  func value(_ value: UInt64) -> UInt64 {
    let scaled = (UInt128(value) * UInt128(factor) + UInt128(divisor / 2)) / UInt128(divisor)
    return UInt64(clamping: scaled).clamped
  }
}

extension UInt64 {
  /// As pprof's signed values can hold it.
  fileprivate var clamped: UInt64 { Swift.min(self, UInt64(Int64.max)) }
}

/// The tables that samples point into; each entry is encoded when it is first needed.
private struct Tables {
  private(set) var strings = [""]
  private(set) var locationTable = ProtobufEncoder()
  private(set) var functionTable = ProtobufEncoder()
  private let profile: Profile
  private let recording: Recording
  private var stringIDs: [String: Int] = ["": 0]
  private var mappings: [Mapping] = []
  private var mappingIDs: [MappingKey: Int] = [:]
  private var locationIDs: [[Frame.ID]: UInt64] = [:]
  private var functionIDs: [Function: UInt64] = [:]

  private struct MappingKey: Hashable {
    let module: String
    let isKernel: Bool
  }
  private struct Mapping {
    let file: Recording.Module
    var hasFunctions = true
    var hasFilenames = true
    var hasLines = true
    var hasInlined = false
    var isUsed = false
  }
  private struct Function: Hashable {
    let name: Int
    let systemName: Int
    let file: Int
  }

  init(_ profile: Profile, _ recording: Recording) {
    self.profile = profile
    self.recording = recording
    // The first mapping is the main binary by convention: the program that most was measured of.
    var values = [Double](repeating: 0, count: profile.processes.count)
    for sample in profile.samples { values[sample.process] += Double(sample.value) }
    guard let heaviest = values.indices.max(by: { values[$0] < values[$1] }) else { return }
    let command = readableName(profile.processes[heaviest].command)
    // The kernel cuts commands after 15 bytes.
    let users = profile.stacks.frames.lazy.filter { $0.kind == .user && !$0.module.isEmpty }
    let main =
      users.first { !command.isEmpty && ($0.module == command || command.utf8.count == 15 && $0.module.hasPrefix(command)) }
      // Programs can be called otherwise than their file, as sh is.
      ?? outermostProgram(of: heaviest)
    if let main { _ = mapping(of: main) }
  }

  /// The frame nearest to the root of a process's stacks that is of a program, not of a library.
  private func outermostProgram(of process: Int) -> Frame? {
    for sample in profile.samples where sample.process == process {
      var found: Frame?
      var stack = sample.stack
      while let (number, caller) = profile.stacks.top(of: stack) {
        let frame = profile.stacks[number]
        if frame.kind == .user, !frame.module.isEmpty, !frame.module.hasPrefix("["), !isLibrary(frame.module) { found = frame }
        stack = caller
      }
      if let found { return found }
    }
    return nil
  }

  /// `libc.so.6`, `libz.so`.
  private func isLibrary(_ module: String) -> Bool { module.split(separator: ".").dropFirst().contains { $0.hasPrefix("so") } }

  mutating func string(_ text: String) -> Int {
    if let known = stringIDs[text] { return known }
    let readable = readableName(text.utf8)
    let id = stringIDs[readable] ?? strings.count
    if id == strings.count { strings.append(readable) }
    stringIDs[readable] = id
    stringIDs[text] = id
    return id
  }

  mutating func append(_ type: String, _ unit: String, to message: inout ProtobufEncoder) {
    message.append(1, UInt64(string(type)))
    message.append(2, UInt64(string(unit)))
  }

  /// The labels that every sample of a process has.
  mutating func labels(_ process: Profile.Process) -> ProtobufEncoder {
    var fields = ProtobufEncoder()
    let command = readableName(process.command)
    if !command.isEmpty {
      fields.append(3) { label in
        label.append(1, UInt64(string("comm")))
        label.append(2, UInt64(string(command)))
      }
    }
    for case (let key, let number?) in [("pid", process.pid), ("tid", process.tid), ("task", process.task)] {
      fields.append(3) { label in
        label.append(1, UInt64(string(key)))
        label.append(3, UInt64(number))
      }
    }
    return fields
  }

  /// The locations of a stack, leaf first.
  mutating func locations(_ stack: Stack.ID) -> [UInt64] {
    var locations: [UInt64] = []
    /// A physical frame and what was inlined into it, innermost last.
    var chain: [Frame.ID] = []
    for id in profile.stacks.frameIDs(of: stack) {
      let frame = profile.stacks[id]
      if frame.isDelimiter { continue }
      let caller = chain.first.map { profile.stacks[$0] }
      if let caller, !(frame.isInlined && caller.kind == frame.kind && caller.module == frame.module) {
        locations.append(location(chain))
        chain = []
      }
      chain.append(id)
    }
    if !chain.isEmpty { locations.append(location(chain)) }
    return locations.reversed()
  }

  private mutating func location(_ chain: [Frame.ID]) -> UInt64 {
    if let known = locationIDs[chain] { return known }
    let id = UInt64(locationIDs.count + 1)
    locationIDs[chain] = id
    let frames = chain.map { profile.stacks[$0] }
    let mapping = mapping(of: frames[0])
    if let mapping { note(frames, in: mapping) }
    var message = ProtobufEncoder()
    message.append(1, id)
    message.append(2, mapping.map { UInt64($0 + 1) } ?? 0)
    for frame in frames.reversed() {
      let function = function(frame)
      message.append(4) { line in
        line.append(1, function)
        line.append(2, UInt64(frame.line))
      }
    }
    locationTable.append(4, message.bytes)
    return id
  }

  private mutating func function(_ frame: Frame) -> UInt64 {
    let name = frame.function.isEmpty ? "[unknown]" : frame.function
    let isSymbol = frame.isNamed && !name.contains { $0 == " " || $0 == "<" || $0 == "(" }
    let function = Function(
      name: string(name), systemName: string(frame.mangled ?? (isSymbol ? name : "")), file: string(frame.file ?? ""))
    if let known = functionIDs[function] { return known }
    let id = UInt64(functionIDs.count + 1)
    functionIDs[function] = id
    functionTable.append(5) { message in
      message.append(1, id)
      message.append(2, UInt64(function.name))
      message.append(3, UInt64(function.systemName))
      message.append(4, UInt64(function.file))
    }
    return id
  }

  /// An index of `mappings`; nil where nothing says what file the code is in.
  private mutating func mapping(of frame: Frame) -> Int? {
    guard frame.kind != .marker, frame.kind == .kernel || !frame.module.isEmpty else { return nil }
    let isKernel = frame.kind == .kernel
    let module = isKernel && frame.module.isEmpty ? "[kernel]" : frame.module
    let key = MappingKey(module: module, isKernel: isKernel)
    if let known = mappingIDs[key] { return known }
    mappingIDs[key] = mappings.count
    let isCore = isKernel && module == "[kernel]"
    // A kernel module's name reads as the kernel's only in brackets.
    let name = isCore ? PprofWriter.kernelFile : isKernel && !module.hasPrefix("[") ? "[\(module)]" : module
    mappings.append(Mapping(file: recording.modules[module] ?? Recording.Module(path: name)))
    return mappings.count - 1
  }

  private mutating func note(_ frames: [Frame], in mapping: Int) {
    mappings[mapping].isUsed = true
    mappings[mapping].hasInlined = mappings[mapping].hasInlined || frames.contains(where: \.isInlined)
    for frame in frames {
      if !frame.isNamed { mappings[mapping].hasFunctions = false }
      if frame.file == nil { mappings[mapping].hasFilenames = false }
      if frame.line == 0 { mappings[mapping].hasLines = false }
    }
  }

  mutating func appendMappings(to message: inout ProtobufEncoder) {
    for (index, mapping) in mappings.enumerated() {
      let (path, buildID) = (UInt64(string(mapping.file.path)), UInt64(string(mapping.file.buildID)))
      message.append(3) { fields in
        fields.append(1, UInt64(index + 1))
        fields.append(2, mapping.file.start)
        fields.append(3, mapping.file.limit)
        fields.append(4, mapping.file.fileOffset)
        fields.append(5, path)
        fields.append(6, buildID)
        fields.append(7, mapping.isUsed && mapping.hasFunctions)
        fields.append(8, mapping.isUsed && mapping.hasFilenames)
        fields.append(9, mapping.isUsed && mapping.hasLines)
        fields.append(10, mapping.hasInlined)
      }
    }
  }
}
