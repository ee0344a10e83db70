internal import Glibc
internal import Linux

/// The names that a just-in-time compiler wrote for its code: `/tmp/perf-PID.map`, lines `START SIZE name` in hexadecimal
/// (tools/perf/Documentation/jit-interface.txt of Linux).
struct PerfMap {
  private struct Segment {
    var start: UInt64
    /// Of `names`; -1 where nothing is.
    var name: Int32
  }

  private var names: [String] = []
  /// Sorted, without overlaps: up to the next start.
  private var segments: [Segment] = []

  /// Whoever runs the program writes the file.
  private static let sizeLimit = 256 << 20
  private static let lineLimit = 4 << 20
  private static let nameLimit = 4096

  /// Reads the text. An incomplete last line is still being written; lines of another form are left out; where lines overlap the later
  /// one is right, because memory of code is used again.
  init(parsing text: [UInt8]) {
    var extents: [(low: UInt64, high: UInt64)] = []
    var start = 0
    while let end = text[start...].firstIndex(of: 0x0a), extents.count < Self.lineLimit {
      let fields = text[start..<end].split(separator: 0x20, maxSplits: 2)
      start = end + 1
      guard fields.count == 3, let low = Self.number(fields[0]), let size = Self.number(fields[1]), size > 0,
        !low.addingReportingOverflow(size).overflow
      else { continue }
      extents.append((low, low + size))
      names.append(String(decoding: fields[2].prefix(Self.nameLimit), as: UTF8.self))
    }
    segments = Self.segments(extents)
  }

  /// Reads a process's file.
  ///
  /// - Returns: nil when there is none, or when it is not to be trusted: the file must belong to the process's user or to root.
  init?(_ identity: Identity) {
    for path in identity.paths {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
        status.st_uid == identity.user || status.st_uid == 0,
        let text = ProcFile.bytes("/proc/self/fd/\(descriptor)", limit: Self.sizeLimit)
      else { continue }
      self.init(parsing: text)
      return
    }
    return nil
  }

  func name(of address: UInt64) -> String? {
    var (low, high) = (0, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, segments[low - 1].name >= 0 else { return nil }
    return names[Int(segments[low - 1].name)]
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var text = String(decoding: digits, as: UTF8.self)[...]
    // Some compilers write it.
    if text.hasPrefix("0x") { text = text.dropFirst(2) }
    return UInt64(text, radix: 16)
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
