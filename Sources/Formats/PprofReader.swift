package import Profiles

/// Why a pprof file cannot be read.
package struct PprofError: Error, Hashable, Sendable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// Reads pprof's format, in gzip or not, whoever wrote it.
///
/// - The values are those of the default type, else of the last, else of the one that is asked for. A type of unit `count` beside it gives the
///   number of events.
/// - The process is taken from the labels `comm`, `pid`, `tid` and `task` that swtrace and perf's converter write, else from the main
///   binary's name.
/// - Frames in mappings called as the kernel is, or in brackets as its modules, are the kernel's. Inlined lines become inlined frames.
/// - Addresses are not kept; a location without lines becomes its file's name.
///
/// Anything can be in such a file: sizes are bounded before memory is used, ids and indices checked, and the work is linear in the limits.
package enum PprofReader {
  /// The largest file after decompression, in bytes.
  package static let sizeLimit = 256 << 20
  /// The most strings, functions, locations and lines.
  static let tableLimit = 1 << 22
  /// The most mappings.
  static let mappingLimit = 1 << 16
  /// The most types of values.
  static let typeLimit = 64
  /// The deepest stack, in frames.
  package static let depthLimit = FoldedParser.depthLimit
  /// The longest name, in bytes.
  static let nameLimit = 1 << 16
  /// The most frames of all samples together, and the most bytes in the names of all different frames.
  static let workLimit = 1 << 27
  /// The most bytes that all samples would have as folded text: a short file can unfold to any length.
  static let textLimit = 1 << 31
  /// The most different stacks, those that are a part of others included.
  static let stackLimit = 1 << 23

  /// A profile and what the file says about it.
  package struct Result: Sendable {
    package var profile: Profile
    package var recording: Recording
  }

  /// Whether bytes are gzip, or start as a message does: with bytes that no text has.
  package static func recognizes(_ bytes: [UInt8]) -> Bool {
    Gzip.isCompressed(bytes) || bytes.prefix(64).contains { $0 < 0x20 && ![9, 10, 12, 13, 27].contains($0) }
  }

  /// Takes gzip off, if it is there: for text, too.
  package static func decompressed(_ bytes: [UInt8], limit: Int = sizeLimit) throws(PprofError) -> [UInt8] {
    guard Gzip.isCompressed(bytes) else { return bytes }
    do { return try Gzip.decompress(bytes, limit: limit) } catch {
      switch error {
      case .damaged: throw PprofError("its gzip data is damaged")
      case .truncated: throw PprofError("its gzip data ends too early")
      case .tooLarge: throw PprofError("decompressed it is larger than \(limit >> 20) MiB")
      }
    }
  }

  /// - Parameter type: the name of the values to take, such as `cpu`.
  package static func read(_ bytes: [UInt8], type: String? = nil) throws(PprofError) -> Result {
    let bytes = try decompressed(bytes)
    guard bytes.count <= sizeLimit else { throw PprofError("it is larger than \(sizeLimit >> 20) MiB") }
    var file = PprofFile(bytes)
    do { return try file.read(type: type) } catch let error as PprofError { throw error } catch {
      guard let failure = error as? ProtobufDecoder.Failure else { throw PprofError("\(error)") }
      switch failure {
      case .truncated: throw PprofError("it ends in the middle of a field, or a length in it is wrong")
      case .longVarint: throw PprofError("a number in it has more than 64 bits")
      case .wireType(let type): throw PprofError("a field in it has the wire type \(type), which pprof does not use")
      case .fieldZero: throw PprofError("a field in it has the number 0; it is no pprof file")
      case .wrongType(let field): throw PprofError("the field \(field) of a message in it has the wrong type; it is no pprof file")
      }
    }
  }
}

/// The tables of a file, and its samples one after the other.
private struct PprofFile {
  private let bytes: [UInt8]
  private var strings: [Range<Int>] = []
  private var types: [(name: UInt64, unit: UInt64)] = []
  private var defaultType: UInt64 = 0
  private var mappings: [(file: UInt64, buildID: UInt64, start: UInt64, limit: UInt64, offset: UInt64)] = []
  private var mappingIDs: [UInt64: Int] = [:]
  private var functions: [(name: UInt64, system: UInt64, file: UInt64)] = []
  private var functionIDs: [UInt64: Int] = [:]
  private var locations: [(mapping: UInt64, address: UInt64, lines: Range<Int>)] = []
  private var locationIDs: [UInt64: Int] = [:]
  private var lines: [(function: UInt64, line: UInt64)] = []
  private var recording = Recording()
  private var comments: [UInt64] = []

  private var profile = Profile()
  /// The frames of each location, outermost first, when it was needed.
  private var frames: [Int: [Frame.ID]] = [:]
  /// The bytes of the names of each location.
  private var textSizes: [Int: Int] = [:]
  private var texts: [UInt64: String] = [:]
  private var framesLeft = PprofReader.workLimit
  private var textLeft = PprofReader.textLimit
  private var nameBytesLeft = PprofReader.workLimit

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func read(type: String?) throws -> PprofReader.Result {
    try readTables()
    guard !strings.isEmpty else { throw PprofError("it has no table of strings; it is no pprof file") }
    guard !types.isEmpty else { throw PprofError("it does not say what its values are; it is no pprof file") }
    let value = try chosenType(type)
    var count: Int?
    for index in types.indices.reversed() where try index != value && text(types[index].unit) == "count" { count = index }
    let unit = try unit(of: value)
    profile = Profile(unit: unit)
    recording.hasCounts = count != nil || unit == .samples
    recording.measure = unit == .samples ? nil : try text(types[value].name)
    for comment in comments.prefix(64) { recording.comments.append(try text(comment)) }
    let fallback = try mappings.first.map { try baseName($0.file) } ?? ""

    var decoder = ProtobufDecoder(bytes, 0..<bytes.count)
    var number = 0
    while let (field, content) = try decoder.next() {
      guard field == 2 else { continue }
      number += 1
      try readSample(try range(content, 2), number, value, count, fallback: fallback)
    }
    guard !profile.samples.isEmpty else { throw PprofError(number == 0 ? "it has no samples" : "all its samples have the value 0") }
    for mapping in mappings where mapping.buildID != 0 {
      let module = try moduleName(mapping.file)
      recording.modules[module.name] = Recording.Module(
        path: try text(mapping.file), buildID: try text(mapping.buildID), start: mapping.start, limit: mapping.limit,
        fileOffset: mapping.offset)
    }
    return PprofReader.Result(profile: profile, recording: recording)
  }

  // MARK: Tables

  private mutating func readTables() throws {
    var decoder = ProtobufDecoder(bytes, 0..<bytes.count)
    while let (field, content) = try decoder.next() {
      switch field {
      case 1: types.append(try valueType(try range(content, field)))
      case 2: _ = try range(content, field)
      case 3: try readMapping(try range(content, field))
      case 4: try readLocation(try range(content, field))
      case 5: try readFunction(try range(content, field))
      case 6: strings.append(try range(content, field))
      case 9: recording.startedAt = try number(content, field)
      case 10: recording.duration = try number(content, field)
      case 12: recording.period = try number(content, field)
      case 13: try eachNumber(in: content, of: bytes) { if comments.count < 64 { comments.append($0) } }
      case 14: defaultType = try number(content, field)
      default: break
      }
      try bound(types.count, PprofReader.typeLimit, "types of values")
      try bound(mappings.count, PprofReader.mappingLimit, "mappings")
      try bound(strings.count, PprofReader.tableLimit, "strings")
      try bound(functions.count, PprofReader.tableLimit, "functions")
      try bound(locations.count, PprofReader.tableLimit, "locations")
      try bound(lines.count, PprofReader.tableLimit, "lines of locations")
    }
  }

  private func bound(_ count: Int, _ limit: Int, _ what: String) throws {
    if count > limit { throw PprofError("it has more than \(limit) \(what)") }
  }

  private func number(_ value: ProtobufDecoder.Value, _ field: Int) throws -> UInt64 {
    guard case .number(let number) = value else { throw ProtobufDecoder.Failure.wrongType(field: field) }
    return number
  }

  private func range(_ value: ProtobufDecoder.Value, _ field: Int) throws -> Range<Int> {
    guard case .bytes(let range) = value else { throw ProtobufDecoder.Failure.wrongType(field: field) }
    return range
  }

  /// The numbers of a message's first fields; others are passed over.
  private func numbers(_ range: Range<Int>, count: Int) throws -> [UInt64] {
    var numbers = [UInt64](repeating: 0, count: count + 1)
    var decoder = ProtobufDecoder(bytes, range)
    while let (field, value) = try decoder.next() {
      if field <= count { numbers[field] = try number(value, field) }
    }
    return numbers
  }

  private func valueType(_ range: Range<Int>) throws -> (UInt64, UInt64) {
    let fields = try numbers(range, count: 2)
    return (fields[1], fields[2])
  }

  private mutating func readMapping(_ range: Range<Int>) throws {
    let fields = try numbers(range, count: 6)
    try Self.define(fields[1], in: &mappingIDs, mappings.count, "mappings")
    mappings.append((fields[5], fields[6], fields[2], fields[3], fields[4]))
  }

  private mutating func readFunction(_ range: Range<Int>) throws {
    let fields = try numbers(range, count: 4)
    try Self.define(fields[1], in: &functionIDs, functions.count, "functions")
    functions.append((fields[2], fields[3], fields[4]))
  }

  private mutating func readLocation(_ range: Range<Int>) throws {
    var (id, mapping, address) = (UInt64(0), UInt64(0), UInt64(0))
    let first = lines.count
    var decoder = ProtobufDecoder(bytes, range)
    while let (field, value) = try decoder.next() {
      switch field {
      case 1: id = try number(value, field)
      case 2: mapping = try number(value, field)
      case 3: address = try number(value, field)
      case 4:
        let fields = try numbers(try self.range(value, field), count: 2)
        lines.append((fields[1], fields[2]))
        if lines.count - first > PprofReader.depthLimit {
          throw PprofError("location \(id) has more than \(PprofReader.depthLimit) lines")
        }
      default: break
      }
    }
    try Self.define(id, in: &locationIDs, locations.count, "locations")
    locations.append((mapping, address, first..<lines.count))
  }

  /// Static: a method would hold a copy of the tables, which would then be copied for each entry.
  private static func define(_ id: UInt64, in ids: inout [UInt64: Int], _ index: Int, _ what: String) throws {
    if id == 0 { throw PprofError("one of its \(what) has no id") }
    if ids.updateValue(index, forKey: id) != nil { throw PprofError("two of its \(what) have the id \(id)") }
  }

  private mutating func text(_ index: UInt64) throws -> String {
    if let known = texts[index] { return known }
    guard index < UInt64(strings.count) else { throw PprofError("it refers to string \(index) of \(strings.count)") }
    let range = strings[Int(index)]
    guard range.count <= PprofReader.nameLimit else {
      throw PprofError("string \(index) is longer than \(PprofReader.nameLimit) bytes")
    }
    let text = readableName(bytes[range])
    texts[index] = text
    return text
  }

  // MARK: Types

  private mutating func chosenType(_ wanted: String?) throws -> Int {
    var names: [String] = []
    for type in types { names.append(try text(type.name)) }
    if let wanted {
      guard let index = names.firstIndex(of: wanted) else {
        throw PprofError("it has no values called '\(wanted)'; it has \(names.joined(separator: ", "))")
      }
      return index
    }
    if defaultType != 0, let index = names.firstIndex(of: try text(defaultType)) { return index }
    return types.count - 1
  }

  private mutating func unit(of type: Int) throws -> Profile.Unit {
    let (name, unit) = (try text(types[type].name), try text(types[type].unit))
    guard unit == "count" || unit.isEmpty else { return Profile.Unit(unit) }
    return ["samples", "sample", "cpu", "events"].contains(name) ? .samples : .other(name)
  }

  // MARK: Samples

  private mutating func readSample(_ range: Range<Int>, _ number: Int, _ value: Int, _ count: Int?, fallback: String) throws {
    var stack: [Int] = []
    var values: [UInt64] = []
    var process = Profile.Process(command: [])
    var decoder = ProtobufDecoder(bytes, range)
    while let (field, content) = try decoder.next() {
      switch field {
      case 1:
        try eachNumber(in: content, of: bytes) { id in
          guard let location = locationIDs[id] else { throw PprofError("sample \(number) refers to location \(id), which is missing") }
          stack.append(location)
          if stack.count > PprofReader.depthLimit { throw tooDeep(number) }
        }
      case 2:
        try eachNumber(in: content, of: bytes) { each in
          values.append(each)
          if values.count > types.count { throw wrongCount(number, "more") }
        }
      case 3: try readLabel(try self.range(content, field), into: &process)
      default: break
      }
    }
    if values.count < types.count { throw wrongCount(number, "fewer") }
    let amount = Int64(bitPattern: values[value])
    guard amount >= 0 else {
      throw PprofError("sample \(number) has the value \(amount): it is a difference of two profiles; take these themselves")
    }
    if amount == 0 { return }
    if process.command.isEmpty { process.command = Array((fallback.isEmpty ? "[unknown]" : fallback).utf8) }
    let id = try push(stack, number)
    let events = count.map { values[$0] } ?? (profile.unit == .samples ? UInt64(amount) : 1)
    profile.add(UInt64(amount), count: min(events, UInt64(Int64.max)), stack: id, process: process)
  }

  private func tooDeep(_ sample: Int) -> PprofError { PprofError("sample \(sample) has more than \(PprofReader.depthLimit) frames") }

  private func wrongCount(_ sample: Int, _ what: String) -> PprofError {
    PprofError("sample \(sample) has \(what) values than there are types, \(types.count)")
  }

  private mutating func readLabel(_ range: Range<Int>, into process: inout Profile.Process) throws {
    let fields = try numbers(range, count: 3)
    switch try text(fields[1]) {
    case "comm": process.command = Array(try text(fields[2]).utf8.prefix(256))
    case "pid": process.pid = UInt32(exactly: fields[3])
    case "tid": process.tid = UInt32(exactly: fields[3])
    case "task": process.task = UInt32(exactly: fields[3])
    default: break
    }
  }

  private mutating func push(_ locations: [Int], _ sample: Int) throws -> Stack.ID {
    var stack = Stack.ID.empty
    var depth = 0
    for location in locations.reversed() {
      let chain = try frames(of: location)
      depth += chain.count
      framesLeft -= chain.count
      textLeft -= textSizes[location] ?? 0
      if depth > PprofReader.depthLimit { throw tooDeep(sample) }
      if textLeft < 0 { throw PprofError("its stacks have more than \(PprofReader.textLimit >> 20) MiB as text") }
      if framesLeft < 0 { throw PprofError("its samples have more than \(PprofReader.workLimit) frames together") }
      for frame in chain { stack = profile.stacks.push(frame, on: stack) }
    }
    if profile.stacks.count > PprofReader.stackLimit { throw PprofError("it has more than \(PprofReader.stackLimit) different stacks") }
    return stack
  }

  private mutating func frames(of index: Int) throws -> [Frame.ID] {
    if let known = frames[index] { return known }
    let location = locations[index]
    var module: (name: String, isKernel: Bool) = ("", false)
    if location.mapping != 0 {
      guard let mapping = mappingIDs[location.mapping] else {
        throw PprofError("a location refers to mapping \(location.mapping), which is missing")
      }
      module = try moduleName(mappings[mapping].file)
    }
    let kind: Frame.Kind = module.isKernel ? .kernel : .user
    var chain: [Frame.ID] = []
    // The last line is the physical frame, those before it were inlined into it.
    for (place, line) in lines[location.lines].reversed().enumerated() {
      guard let function = functionIDs[line.function].map({ functions[$0] }) else {
        throw PprofError("a location refers to function \(line.function), which is missing")
      }
      let (name, system, file) = (try text(function.name), try text(function.system), try text(function.file))
      let isMarker = location.mapping == 0 && name.hasPrefix("[") && name.hasSuffix("]")
      let shown = name.isEmpty ? system : name
      let frame = Frame(
        function: shown.isEmpty ? "[unknown]" : shown, module: module.name, kind: isMarker ? .marker : kind, isInlined: place > 0,
        file: file.isEmpty ? nil : file, line: UInt32(exactly: line.line) ?? 0,
        mangled: system.isEmpty || system == shown ? nil : system)
      try intern(frame, into: &chain)
    }
    if chain.isEmpty {
      let address = String(location.address, radix: 16)
      try intern(
        Frame(function: module.name.isEmpty ? "[unknown]" : "\(module.name)+0x\(address)", module: module.name, kind: kind), into: &chain)
    }
    textSizes[index] = chain.reduce(0) { $0 + profile.stacks[$1].function.utf8.count + 1 }
    frames[index] = chain
    return chain
  }

  private mutating func intern(_ frame: Frame, into chain: inout [Frame.ID]) throws {
    nameBytesLeft -= frame.function.utf8.count + frame.module.utf8.count + (frame.file?.utf8.count ?? 0) + (frame.mangled?.utf8.count ?? 0)
    if nameBytesLeft < 0 { throw PprofError("the names of its frames have more than \(PprofReader.workLimit >> 20) MiB together") }
    chain.append(profile.stacks.intern(frame))
  }

  private mutating func baseName(_ file: UInt64) throws -> String {
    let path = try text(file)
    return path.split(separator: "/").last.map(String.init) ?? path
  }

  /// A file's name as frames have it. In brackets are the kernel and its modules, and some parts of user memory.
  private mutating func moduleName(_ file: UInt64) throws -> (name: String, isKernel: Bool) {
    let path = try text(file)
    if path.hasPrefix("[kernel") { return ("[kernel]", true) }
    if path.hasPrefix("["), path.hasSuffix("]") {
      let isUser = ["[vdso]", "[vsyscall]", "[jit]", "[heap]", "[stack]", "[unknown]", "[uprobes]"].contains(path) || path.contains(":")
      return isUser ? (path, false) : (String(path.dropFirst().dropLast()), true)
    }
    let name = try baseName(file)
    return (name, name.hasPrefix("vmlinux") || name.hasSuffix(".ko"))
  }
}

/// The numbers of a repeated field, packed or not.
private func eachNumber(in value: ProtobufDecoder.Value, of bytes: [UInt8], _ body: (UInt64) throws -> Void) throws {
  switch value {
  case .number(let number): try body(number)
  case .bytes(let range):
    var decoder = ProtobufDecoder(bytes, range)
    while !decoder.isAtEnd { try body(try decoder.varint()) }
  }
}
