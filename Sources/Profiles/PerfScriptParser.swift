/// The first line of perf's text that cannot be read, and why.
package struct PerfScriptError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Reason: Hashable, Sendable {
    case noHeader
    case badFrame
    case lineTooLong
    case tooDeep
    case events([String])
    case noSuchEvent(String, [String])
    case empty
  }
  /// From 1; 0 when the text as a whole is meant.
  package let line: Int
  package let reason: Reason

  package var description: String {
    let limits = PerfScriptParser.self
    let text =
      switch reason {
      case .noHeader: "neither a sample's first line, such as \"cat 1234 [001] 5.678: cycles:\", nor one of its frames"
      case .badFrame: "not a frame; one is \"ffffffff81 vfs_read+0x1a ([kernel.kallsyms])\""
      case .lineTooLong: "longer than \(limits.lineLimit) bytes"
      case .tooDeep: "more than \(limits.depthLimit) frames"
      case .events(let names): "it has samples of \(names.joined(separator: ", ")); choose one with --event"
      case .noSuchEvent(let name, let names): "it has no samples of \(name), only of \(names.joined(separator: ", "))"
      case .empty: "no samples in it; a sample starts with a line such as \"cat 1234 [001] 5.678: cycles:\""
      }
    return line > 0 ? "line \(line): \(text)" : text
  }
}

/// Reads what `perf script` prints (tools/perf/builtin-script.c): for each sample a line with command, ids, time and event, then its frames,
/// innermost first, and an empty line.
///
/// - Every sample counts 1, whatever its period.
/// - `(inlined)` frames belong to the physical frame after them. Lines such as `file.c:12` below a frame are its source position.
/// - Without call chains, the only frame stands behind the event.
/// - Lines that start with `#` are skipped, and so are empty ones between samples; lines may end in CRLF.
package enum PerfScriptParser {
  /// The longest line, in bytes; longer ones are refused.
  package static let lineLimit = FoldedParser.lineLimit
  /// The deepest stack, in frames; deeper ones are refused.
  package static let depthLimit = FoldedParser.depthLimit
  /// How many events are named when one must be chosen.
  private static let eventLimit = 16

  /// Whether the first line that says something is the first of a sample.
  package static func recognizes(_ bytes: [UInt8]) -> Bool {
    var start = 0
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
      let text = bytes[start..<end].trimmed
      start = end + 1
      if text.isEmpty || text.first == UInt8(ascii: "#") { continue }
      return text.count <= lineLimit && Header(text)?.event != nil
    }
    return false
  }

  /// Throws for the first line that cannot be read, and for text without samples. Time and memory are linear in the text.
  ///
  /// - Parameter event: the samples to take; nil when there is only one event. A modifier such as `:u` may be left out.
  package static func parse(_ bytes: [UInt8], event: String? = nil) throws(PerfScriptError) -> Profile {
    var reader = Reader(event: event)
    var start = 0
    while start < bytes.endIndex {
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
      try reader.take(bytes[start..<end])
      start = end + 1
    }
    reader.finishSample()
    if let event, reader.profile.samples.isEmpty, !reader.events.isEmpty {
      throw PerfScriptError(line: 0, reason: .noSuchEvent(event, reader.events))
    }
    if event == nil, reader.events.count > 1 { throw PerfScriptError(line: 0, reason: .events(reader.events)) }
    guard !reader.profile.samples.isEmpty else { throw PerfScriptError(line: 0, reason: .empty) }
    if !reader.hasAllTimes { reader.profile.moments = Moments() }
    return reader.profile
  }

  private struct Reader {
    let event: String?
    var profile = Profile()
    var events: [String] = []
    private var number = 0
    private var process: Profile.Process?
    /// Nanoseconds; nil where the text has no times.
    private var time: UInt64?
    private(set) var hasAllTimes = true
    private var isWanted = false
    /// Of the sample that is read, innermost first.
    private var frames: [Frame.ID] = []
    private var known: [BytesKey: Frame.ID] = [:]
    private var eventNames: [BytesKey: String] = [:]

    init(event: String?) { self.event = event }

    private func error(_ reason: PerfScriptError.Reason) -> PerfScriptError { PerfScriptError(line: number, reason: reason) }

    mutating func take(_ line: ArraySlice<UInt8>) throws(PerfScriptError) {
      number += 1
      if line.count > lineLimit { throw error(.lineTooLong) }
      let text = line.trimmed
      if text.isEmpty { return finishSample() }
      if text.first == UInt8(ascii: "#") { return }
      // A command can look like an address, but only frames are indented below a sample's first line.
      if process != nil, line.first?.isBlank == true {
        if let frame = frame(text) { return try push(frame) }
        if frames.last != nil, let (file, line) = PerfScriptParser.position(text) { return setPosition(file, line) }
        throw error(.badFrame)
      }
      finishSample()
      guard let header = Header(text) else { throw error(.noHeader) }
      process = Profile.Process(command: Array(header.command.prefix(256)), pid: header.pid, tid: header.tid)
      time = header.time
      isWanted = isWanted(header.event)
      // Without a call chain the frame follows directly; the fields of a tracepoint do not look like one.
      if let frame = frame(header.rest) {
        try push(frame)
        finishSample()
      }
    }

    private mutating func isWanted(_ event: ArraySlice<UInt8>?) -> Bool {
      guard let event else { return self.event == nil }
      let name: String
      if let known = eventNames[BytesKey(bytes: event)] {
        name = known
      } else {
        name = readableName(event.prefix(128))
        // More kinds of events than anybody can choose from are hostile; they are not kept.
        if events.count < eventLimit, !events.contains(name) { events.append(name) }
        if eventNames.count < 1024 { eventNames[BytesKey(bytes: event)] = name }
      }
      guard let wanted = self.event else { return true }
      return name == wanted || name.hasPrefix(wanted + ":")
    }

    mutating func finishSample() {
      defer { frames.removeAll(keepingCapacity: true) }
      guard let process else { return }
      self.process = nil
      guard isWanted else { return }
      var stack = Stack.ID.empty
      /// The physical frame that inlined ones belong to.
      var container: Frame?
      for var id in frames.reversed() {
        var frame = profile.stacks[id]
        if !frame.isInlined {
          container = frame
        } else if let container {
          (frame.module, frame.kind) = (container.module, container.kind)
          id = profile.stacks.intern(frame)
        }
        stack = profile.stacks.push(id, on: stack)
      }
      let sample = profile.add(1, stack: stack, process: process)
      guard let time else {
        hasAllTimes = false
        return
      }
      if let sample { profile.moments.append(Moments.Moment(time: time, value: 1, sample: sample)) }
    }

    private mutating func push(_ frame: Frame.ID) throws(PerfScriptError) {
      frames.append(frame)
      if frames.count > depthLimit { throw error(.tooDeep) }
    }

    private mutating func setPosition(_ file: String, _ line: UInt32) {
      guard line > 0 else { return }
      var frame = profile.stacks[frames[frames.count - 1]]
      (frame.file, frame.line) = (file, line)
      frames[frames.count - 1] = profile.stacks.intern(frame)
    }

    /// `address symbol+0x12 (file)`; the address is not kept.
    private mutating func frame(_ text: ArraySlice<UInt8>) -> Frame.ID? {
      guard let space = text.firstIndex(where: \.isBlank), text[..<space].count <= 18 else { return nil }
      var address = text[..<space]
      if address.starts(with: "0x".utf8) { address = address.dropFirst(2) }
      guard !address.isEmpty, address.allSatisfy(\.isHexDigit) else { return nil }
      let rest = text[space...].trimmed
      guard let last = rest.last, last == UInt8(ascii: ")"), let open = PerfScriptParser.openingParenthesis(rest) else { return nil }
      if let frame = known[BytesKey(bytes: rest)] { return frame }
      let frame = profile.stacks.intern(PerfScriptParser.frame(rest[..<open].trimmed, file: rest[(open + 1)...].dropLast()))
      known[BytesKey(bytes: rest)] = frame
      return frame
    }
  }

  /// Where the file's name begins: the parenthesis that the last one closes, as paths may have some of their own.
  private static func openingParenthesis(_ text: ArraySlice<UInt8>) -> Int? {
    var depth = 0
    for index in text.indices.reversed() {
      if text[index] == UInt8(ascii: ")") { depth += 1 }
      if text[index] == UInt8(ascii: "(") { depth -= 1 }
      if depth == 0 { return index }
    }
    return nil
  }

  private static func frame(_ symbol: ArraySlice<UInt8>, file: ArraySlice<UInt8>) -> Frame {
    var name = symbol
    // The offset in the function.
    if let plus = name.lastIndex(of: UInt8(ascii: "+")), name[plus...].starts(with: "+0x".utf8),
      name[(plus + 3)...].allSatisfy(\.isHexDigit)
    {
      name = name[..<plus]
    }
    let function = name.isEmpty ? "[unknown]" : readableName(name)
    if file.elementsEqual("inlined".utf8) { return Frame(function: function, isInlined: true) }
    var path = readableName(file)
    if path.hasSuffix(" (deleted)") { path.removeLast(10) }
    let base = path.split(separator: "/").last.map(String.init) ?? path
    if isKernel(path, base) {
      return Frame(
        function: function, module: path.hasPrefix("[kernel") || base.hasPrefix("vmlinux") ? "[kernel]" : kernelModule(base), kind: .kernel)
    }
    let isUnknown = path == "[unknown]" || path.isEmpty
    return Frame(function: function, module: isUnknown ? "" : base)
  }

  /// `[kernel.kallsyms]`, `[kernel.kallsyms]_stext`, `[xfs]`, a kernel's or a module's file; not `[vdso]` and what else user memory has in
  /// brackets.
  private static func isKernel(_ path: String, _ base: String) -> Bool {
    if path.hasPrefix("[") {
      return path.hasPrefix("[kernel")
        || path.hasSuffix("]")
          && !["[vdso]", "[vsyscall]", "[unknown]", "[heap]", "[stack]", "[uprobes]", "[jit]"].contains(path)
          && !path.contains(":")
    }
    return base.hasPrefix("vmlinux") || [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].contains { base.hasSuffix($0) }
  }

  private static func kernelModule(_ base: String) -> String {
    if base.hasPrefix("[") { return String(base.dropFirst().dropLast()) }
    return String(base.prefix { $0 != "." })
  }

  /// `file.c:12`; perf writes `file[address]` or `??:0` where it knows none, which gives line 0.
  private static func position(_ text: ArraySlice<UInt8>) -> (file: String, line: UInt32)? {
    guard let colon = text.lastIndex(of: UInt8(ascii: ":")) else { return text.last == UInt8(ascii: "]") ? ("", 0) : nil }
    let digits = text[(colon + 1)...]
    guard !digits.isEmpty, digits.count < 10, digits.allSatisfy(\.isDigit) else { return nil }
    return (readableName(text[..<colon]), UInt32(String(decoding: digits, as: UTF8.self)) ?? 0)
  }
}

/// `command pid/tid [cpu] flags time: period event: rest`: command, pid, and at least one of processor, time and event.
private struct Header {
  let command: ArraySlice<UInt8>
  let pid: UInt32?
  let tid: UInt32?
  /// Nanoseconds.
  let time: UInt64?
  /// Without its colon; nil where nothing follows the ids or the time.
  let event: ArraySlice<UInt8>?
  let rest: ArraySlice<UInt8>

  init?(_ text: ArraySlice<UInt8>) {
    var end = text.firstIndex(where: \.isBlank) ?? text.endIndex
    // The command may have blanks and numbers in it: the ids are the first word after which the rest fits.
    while end < text.endIndex {
      var words = Words(text[end...])
      guard let word = words.next() else { return nil }
      if let ids = Self.ids(word), let tail = Self.tail(words) {
        command = text[..<end]
        (pid, tid) = ids
        (time, event, rest) = tail
        return
      }
      end = word.endIndex
    }
    return nil
  }

  private static func number(_ word: ArraySlice<UInt8>) -> UInt32? {
    guard !word.isEmpty, word.count <= 10, word.allSatisfy(\.isDigit) else { return nil }
    return UInt32(String(decoding: word, as: UTF8.self))
  }

  private static func ids(_ word: ArraySlice<UInt8>) -> (pid: UInt32?, tid: UInt32?)? {
    guard let slash = word.firstIndex(of: UInt8(ascii: "/")) else {
      // The idle task's -1 in samples without a task.
      return word.elementsEqual("-1".utf8) ? (nil, nil) : number(word).map { ($0, nil) }
    }
    guard let pid = number(word[..<slash]), let tid = number(word[(slash + 1)...]) else { return nil }
    return (pid, tid)
  }

  private static func tail(_ start: Words) -> (time: UInt64?, event: ArraySlice<UInt8>?, rest: ArraySlice<UInt8>)? {
    var words = start
    var time: UInt64?
    guard var word = words.next() else { return nil }
    var isCertain = false
    if word.first == UInt8(ascii: "["), word.last == UInt8(ascii: "]"), word.count > 2, word.dropFirst().dropLast().allSatisfy(\.isDigit) {
      isCertain = true
      guard let next = words.next() else { return (nil, nil, []) }
      word = next
    }
    // Flags such as `d.h1.` may stand before the time.
    for _ in 0..<2 {
      if isTime(word) {
        isCertain = true
        time = nanoseconds(word)
        guard let next = words.next() else { return (time, nil, []) }
        word = next
        break
      }
      var ahead = words
      guard let next = ahead.next(), isTime(next) else { break }
      (word, words) = (next, ahead)
    }
    if word.allSatisfy(\.isDigit), let next = words.next() { word = next }
    guard word.last == UInt8(ascii: ":"), word.count > 1 else { return isCertain ? (time, nil, words.rest) : nil }
    return (time, word.dropLast(), words.rest.trimmed)
  }

  /// `1234.567890:`
  private static func isTime(_ word: ArraySlice<UInt8>) -> Bool {
    guard word.last == UInt8(ascii: ":"), let point = word.firstIndex(of: UInt8(ascii: ".")) else { return false }
    let (whole, fraction) = (word[..<point], word[(point + 1)...].dropLast())
    return !whole.isEmpty && !fraction.isEmpty && whole.allSatisfy(\.isDigit) && fraction.allSatisfy(\.isDigit)
  }

  /// Nil for a time that no clock shows.
  private static func nanoseconds(_ time: ArraySlice<UInt8>) -> UInt64? {
    guard let point = time.firstIndex(of: UInt8(ascii: ".")) else { return nil }
    let fraction = time[(point + 1)...].dropLast().prefix(9)
    let digits = time[..<point] + fraction + repeatElement(UInt8(ascii: "0"), count: 9 - fraction.count)
    return UInt64(String(decoding: digits, as: UTF8.self))
  }
}

/// Words between blanks.
private struct Words {
  private(set) var rest: ArraySlice<UInt8>

  init(_ text: ArraySlice<UInt8>) { rest = text }

  mutating func next() -> ArraySlice<UInt8>? {
    guard let start = rest.firstIndex(where: { !$0.isBlank }) else { return nil }
    let end = rest[start...].firstIndex(where: \.isBlank) ?? rest.endIndex
    defer { rest = rest[end...] }
    return rest[start..<end]
  }
}
