internal import Linux
internal import Synchronization

/// Code at some addresses of a process.
package struct CodeRegion {
  package var start: UInt64
  package var end: UInt64
  /// Of `start`, in the file.
  package var offset: UInt64
  package var object: CodeObject

  func offset(of address: UInt64) -> FileOffset { FileOffset(offset &+ (address - start)) }
}

/// The programs that a process has run, and which code lay where in each of them.
final class TracedProcess {
  typealias Region = CodeRegion

  /// From an exec, or since the process was seen first, up to the next exec; or up to where other code takes the place of some that had
  /// events.
  struct Program {
    /// On the monotonic clock; 0 for what ran before the process was watched.
    var since: UInt64
    /// Whether it is the one before, with some other code.
    var isContinued = false
    /// Sorted, without overlaps. Regions that are gone (a library unloaded) stay for the samples that were taken in them.
    var regions: [Region] = []
    /// Whether the kernel told of every region since the program began.
    var isComplete: Bool
    /// When the list of mappings was read last, on the monotonic clock; 0 for never.
    var readAt: UInt64 = 0
    /// Whether an event was in this program.
    var isWanted = false
    /// Whether records were lost, so that the next event asks for what they told.
    var isStale = false
    /// Of programs that make code themselves.
    var ownCode = OwnCode()

    func region(at address: UInt64) -> Region? {
      var (low, high) = (0, regions.count)
      while low < high {
        let middle = (low + high) / 2
        if regions[middle].start <= address { low = middle + 1 } else { high = middle }
      }
      guard low > 0, address < regions[low - 1].end else { return nil }
      return regions[low - 1]
    }

    /// Whether `add` would put other code in the place of some.
    func isChanged(by region: Region) -> Bool {
      if case .memory = region.object.state { return false }
      let (first, place) = overlap(region)
      return first < place
        && regions[first..<place].contains {
          $0.object !== region.object || $0.offset &- $0.start != region.offset &- region.start
        }
    }

    /// From which region on and before which one those lie that a region covers, if only in part.
    private func overlap(_ region: Region) -> (first: Int, end: Int) {
      (regions.partition { $0.end > region.start }, regions.partition { $0.start >= region.end })
    }

    /// Adds a region; what it covers of older ones is replaced.
    mutating func add(_ region: Region) {
      guard region.start < region.end, regions.count < Program.regionLimit else { return }
      let (first, place) = overlap(region)
      // A program that moves its code into large pages puts a copy in the same place: it is that code still.
      if case .memory = region.object.state, regions[first..<place].contains(where: \.object.isFile) { return }
      var pieces: [Region] = []
      if first < place {
        let (before, after) = (regions[first], regions[place - 1])
        if before.start < region.start { pieces.append(Region(before, before.start, region.start)) }
        pieces.append(region)
        if after.end > region.end { pieces.append(Region(after, region.end, after.end)) }
      } else {
        pieces = [region]
      }
      regions.replaceSubrange(first..<place, with: pieces)
    }

    /// More than any process may have by default (vm.max_map_count).
    private static let regionLimit = 1 << 17
  }

  /// Of no other one, not even of one that is gone.
  let number = TracedProcess.count.wrappingAdd(1, ordering: .relaxed).newValue
  private static let count = Atomic<UInt64>(0)

  /// Those that are still known, oldest first; never empty.
  private(set) var programs: [Program]
  /// The number of the first of them.
  private(set) var first = 0
  /// How many programs it has begun.
  private(set) var startCount = 0
  /// Whose memory it was a copy of, while nothing else is known of it.
  var parent: ProcessID?
  /// What it sees as the file system; the parent's, or that of the program before, until it is known.
  var root: RootDirectory?
  /// Whether `root` is its own.
  var isRootKnown = false
  /// When it ended, on the monotonic clock.
  var endedAt: UInt64?

  init(_ program: Program, parent: ProcessID? = nil, root: RootDirectory? = nil) {
    programs = []
    self.parent = parent
    self.root = root
    begin(program)
  }

  /// The number of the latest program.
  var last: Int { first + programs.count - 1 }

  /// A program that is still known.
  subscript(number: Int) -> Program {
    get { programs[number - first] }
    _modify { yield &programs[number - first] }
  }

  /// The code of a program; empty where it is not known any more.
  func regions(of number: Int) -> [Region] { first...last ~= number ? self[number].regions : [] }

  /// Takes in that it runs another program, or the same with other code.
  func begin(_ program: Program) {
    programs.append(program)
    if !program.isContinued { startCount += 1 }
  }

  /// The number of the program that ran at a time.
  func program(at time: UInt64) -> Int {
    var number = last
    while number > first, self[number].since > time { number -= 1 }
    return number
  }

  /// Forgets programs that others had taken the place of before a time: a process may begin another one for ever.
  func dropPrograms(before time: UInt64) {
    let count = programs.dropFirst().prefix { $0.since < time }.count
    programs.removeFirst(count)
    first += count
  }

  /// Empties earlier programs without events; their numbers stay.
  func dropIdlePrograms() {
    for number in programs.indices.dropLast() where !programs[number].isWanted {
      (programs[number].regions, programs[number].ownCode) = ([], OwnCode())
    }
  }

  /// Whether an event was in any of its programs.
  var isWanted: Bool { programs.contains(where: \.isWanted) }
}

extension Array {
  /// The first element from which on a condition holds, in an array that it divides in two.
  fileprivate func partition(_ holds: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

extension CodeRegion {
  /// A part of another region.
  fileprivate init(_ whole: Self, _ start: UInt64, _ end: UInt64) {
    self.init(start: start, end: end, offset: whole.offset &+ (start - whole.start), object: whole.object)
  }
}

/// The names of the code that a process makes itself, as they were read last. The lists grow while it runs.
struct OwnCode {
  /// Where its perf map is.
  var identity: PerfMap.Identity?
  var perfMap: CodeMap?
  /// The jitdump file that it has mapped.
  var dumpFile: SharedDescriptor?
  var dump: CodeMap?
  /// On the monotonic clock; 0 for never.
  var readAt: UInt64 = 0

  func name(of address: UInt64) -> (name: String, file: String?, line: UInt32)? {
    if let dump, let name = dump.name(of: address) {
      let line = dump.line(of: address)
      return (name, line?.file, line?.line ?? 0)
    }
    return perfMap?.name(of: address).map { ($0, nil, 0) }
  }

  /// Reads both again.
  mutating func read() {
    if let identity, let map = PerfMap.read(identity) { perfMap = map }
    if let dumpFile, let size = File.identity(of: dumpFile.descriptor)?.size,
      let bytes = try? File.read(dumpFile.descriptor, at: 0, count: Int(min(size, UInt64(CodeMap.sizeLimit))), name: "jitdump")
    {
      dump = JITDump.parse(bytes) ?? dump
    }
  }
}

/// A descriptor that copies of a program share.
final class SharedDescriptor {
  let descriptor: Descriptor
  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}
