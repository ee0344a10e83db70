internal import CLinux  // `stat` may be its or Glibc's: both have read the header
internal import Glibc
internal import Linux

/// Names of code that a process made itself, and its source lines where its compiler told them.
struct CodeMap {
  private struct Segment {
    var start: UInt64
    /// Of `names`; -1 where nothing is.
    var name: Int32
  }

  fileprivate struct Line {
    var address: UInt64
    var line: UInt32
    /// Of `files`.
    var file: Int32
  }

  private var names: [String] = []
  /// Sorted, without overlaps: up to the next start.
  private var segments: [Segment] = []
  private var lines: [Line] = []
  private var files: [String] = []

  /// Whoever runs the program writes the file.
  static let sizeLimit = 256 << 20
  static let entryLimit = 4 << 20
  private static let nameLimit = 4096

  /// What is told of code, in the order in which it is told.
  struct Builder {
    fileprivate var extents: [(low: UInt64, high: UInt64)] = []
    fileprivate var names: [String] = []
    fileprivate var lines: [Line] = []
    fileprivate var files: [String] = []
    private var fileNumbers: [String: Int32] = [:]

    var isFull: Bool { extents.count >= CodeMap.entryLimit || lines.count >= CodeMap.entryLimit }

    /// Takes in a piece of code; of two that overlap the later one is right, because memory of code is used again.
    mutating func add(_ start: UInt64, _ size: UInt64, name: some Sequence<UInt8>) {
      let (end, overflows) = start.addingReportingOverflow(size)
      guard size > 0, !overflows, !isFull else { return }
      extents.append((start, end))
      names.append(String(decoding: Array(name.prefix(CodeMap.nameLimit)), as: UTF8.self))
    }

    /// The name that was given last to code at an address.
    func name(at start: UInt64) -> String? { extents.lastIndex { $0.low == start }.map { names[$0] } }

    mutating func add(line: UInt32, of file: some Sequence<UInt8>, at address: UInt64) {
      guard !isFull else { return }
      let file = String(decoding: Array(file.prefix(CodeMap.nameLimit)), as: UTF8.self)
      let number = fileNumbers[file] ?? Int32(files.count)
      if number == files.count {
        files.append(file)
        fileNumbers[file] = number
      }
      lines.append(Line(address: address, line: line, file: number))
    }
  }

  init(_ builder: Builder) {
    names = builder.names
    files = builder.files
    segments = Self.segments(builder.extents)
    // Stable: of two for one address the later one is found.
    lines = builder.lines.enumerated().sorted { ($0.element.address, $0.offset) < ($1.element.address, $1.offset) }.map(\.element)
  }

  func name(of address: UInt64) -> String? { segment(of: address).map { names[Int($0.name)] } }

  /// The source position of an address: of the last instruction before it in the same piece of code.
  func line(of address: UInt64) -> (file: String, line: UInt32)? {
    guard let segment = segment(of: address) else { return nil }
    var (low, high) = (0, lines.count)
    while low < high {
      let middle = (low + high) / 2
      if lines[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, lines[low - 1].address >= segment.start else { return nil }
    return (files[Int(lines[low - 1].file)], lines[low - 1].line)
  }

  private func segment(of address: UInt64) -> Segment? {
    var (low, high) = (0, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    return low > 0 && segments[low - 1].name >= 0 ? segments[low - 1] : nil
  }

  /// Cuts ranges that may overlap into a list that does not, in which the later of two wins.
  private static func segments(_ extents: [(low: UInt64, high: UInt64)]) -> [Segment] {
    let byStart = extents.indices.sorted { (extents[$0].low, $0) < (extents[$1].low, $1) }
    var result: [Segment] = []
    // Ranges that are open, the latest line on top; those that have ended are dropped when they come to the top.
    var open: [Int32] = []
    func emit(_ start: UInt64, _ name: Int32) {
      if let last = result.last, last.start == start {
        result[result.count - 1].name = name
      } else if result.last?.name != name {
        result.append(Segment(start: start, name: name))
      }
    }
    /// Goes on to an address: ends the ranges before it.
    func advance(to address: UInt64) {
      while let top = open.last, extents[Int(top)].high <= address {
        open.removeLast()
        let end = extents[Int(top)].high
        while let next = open.last, extents[Int(next)].high <= end { open.removeLast() }
        emit(end, open.last ?? -1)
      }
    }
    for index in byStart {
      advance(to: extents[index].low)
      // Kept in the order of the lines; nearly always it is the last.
      var place = open.count
      while place > 0, open[place - 1] > Int32(index) { place -= 1 }
      open.insert(Int32(index), at: place)
      if place == open.count - 1 { emit(extents[index].low, Int32(index)) }
      // So many at once are no compiler's work.
      if open.count > 1024 { open.removeFirst() }
    }
    advance(to: .max)
    return result
  }
}

/// The names that a just-in-time compiler writes as text: `/tmp/perf-PID.map`, lines `START SIZE name` in hexadecimal
/// (tools/perf/Documentation/jit-interface.txt of Linux).
enum PerfMap {
  /// Reads the text. An incomplete last line is still being written; lines of another form are left out.
  static func parse(_ text: [UInt8]) -> CodeMap {
    var builder = CodeMap.Builder()
    var start = 0
    while let end = text[start...].firstIndex(of: 0x0a), !builder.isFull {
      let fields = text[start..<end].split(separator: 0x20, maxSplits: 2)
      start = end + 1
      guard fields.count == 3, let low = number(fields[0]), let size = number(fields[1]) else { continue }
      builder.add(low, size, name: fields[2])
    }
    return CodeMap(builder)
  }

  /// Reads a process's file.
  ///
  /// - Returns: nil when there is none, or when it is not to be trusted: the file must belong to the process's user or to root.
  static func read(_ identity: Identity) -> CodeMap? {
    for path in identity.paths {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
        status.st_uid == identity.user || status.st_uid == 0,
        let text = ProcFile.bytes("/proc/self/fd/\(descriptor)", limit: CodeMap.sizeLimit)
      else { continue }
      return parse(text)
    }
    return nil
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var text = String(decoding: digits, as: UTF8.self)[...]
    // Some compilers write it.
    if text.hasPrefix("0x") { text = text.dropFirst(2) }
    return UInt64(text, radix: 16)
  }

  /// What is needed to find a process's file, also when it has ended.
  struct Identity {
    var user: UInt32
    /// Where the file may be: in the root that the process sees, then in swtrace's own.
    var paths: [String]

    /// Nil when the process is gone.
    init?(of process: ProcessID) {
      var status = stat()
      guard stat("/proc/\(process)", &status) == 0 else { return nil }
      user = UInt32(status.st_uid)
      // The last number is the pid in the innermost namespace, by which the file is called.
      let lines = (ProcFile.read("/proc/\(process)/status") ?? "").split(separator: "\n")
      let numbers = lines.first { $0.hasPrefix("NSpid:") }?.split(whereSeparator: { $0 == "\t" || $0 == " " }).dropFirst() ?? []
      let inner = numbers.last.map(String.init) ?? "\(process)"
      paths = ["/proc/\(process)/root/tmp/perf-\(inner).map"]
      // Without containers the file outlives the process.
      if numbers.count <= 1 { paths.append("/tmp/perf-\(process).map") }
    }
  }
}
