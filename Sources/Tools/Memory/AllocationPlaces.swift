internal import BPF
internal import CLinux  // `stat` may be its or Glibc's: both have read the header
internal import DebugInfo
internal import Glibc
internal import Linux
internal import SystemPackage

/// The functions that allocate, in the C libraries that processes have mapped, and which of them programs are attached to.
///
/// A library is its file: one attachment serves all processes that map it, those that start later, too.
final class AllocationPlaces {
  /// A file as maps of processes show it. On overlays that is the file of one container, though several may have it in common.
  private struct File: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  /// A C library as its functions call each other.
  private struct Kind {
    /// Those that allocate, each with the program that finds the size in its arguments (allocs.bpf.c).
    var functions: [(name: String, program: String)]
    /// What it exports and no other does, where its name says too little.
    var sign: String?
  }

  private struct Library {
    var file: File
    var kind: Kind
    var path: String
    /// The process that has it mapped, and there; none for what no process has to have mapped.
    var process: ProcessID?
    var mapping: Mapping?
    /// How many have it mapped.
    var processes = 0

    /// The very file that is mapped, under whatever name and root; nil where it cannot be had by this process.
    func open() -> Descriptor? {
      guard let mapping, let process else { return try? Linux.File.open(FilePath(path)) }
      if let found = MappedFile(mapping, of: process) { return found.open() }
      // What the process calls so decides for all that have the file mapped: it has to be that one.
      guard let root = try? RootDirectory(of: process), let found = try? MappedFile(mapping, inRoot: root), found.evidence != .place else {
        return nil
      }
      return found.open()
    }

    /// Whether it is where it was found.
    var isMapped: Bool {
      guard let mapping, let process else { return true }
      let now = ProcessMaps(of: process)?[mapping.start]
      return now?.device == mapping.device && now?.inode == mapping.inode
    }
  }

  /// What was found in a process; asked again when it runs another program.
  private struct Known {
    var program: File
    var library: Library?
    /// How often it was looked for.
    var looks: Int
  }

  private var known: [UInt32: Known] = [:]
  /// The number of a library's links, which is the programs' cookie; 0 for one that cannot be attached to.
  private var attached: [File: UInt64] = [:]
  private var last: UInt64 = 0
  /// Whether the programs are made for links to many places.
  var isMultiple = false
  /// Why the last one could not be attached to.
  private(set) var failure: BPFError?

  /// glibc: realloc calls malloc where there was nothing, and those with an alignment where it is that of all allocations.
  private static let glibc = Kind(functions: [
    ("malloc", "enter_malloc"), ("calloc", "enter_calloc"), ("realloc", "enter_realloc_of_some"), ("memalign", "enter_aligned_more"),
    ("aligned_alloc", "enter_aligned_more"), ("posix_memalign", "enter_posix_more"),
  ])
  /// musl since 1.2.1: calloc calls malloc, and the others call aligned_alloc. The sign is the part of it that loads programs, which it
  /// looks up by this name; other C libraries are called libc.so as well.
  private static let musl = Kind(
    functions: [("malloc", "enter_malloc"), ("realloc", "enter_realloc"), ("aligned_alloc", "enter_aligned")], sign: "__dls3")
  static let programs = Set((glibc.functions + musl.functions).map(\.program)).sorted()

  /// What the traced command will map, although no process has it mapped yet.
  private let ofCommand: Library?
  /// What people should know of that command.
  let remark: String?

  /// - Parameter command: the program that will be started; of musl's the library is known before.
  init(command: String? = nil) {
    let file = command.flatMap { BinaryFinder(process: nil).program($0) }.flatMap { try? ELFFile(path: FilePath($0)) }
    let interpreter = file?.interpreter
    ofCommand = interpreter.flatMap(Self.library(interpreter:))
    remark =
      file != nil && interpreter == nil
      ? "\(command ?? "") has its allocator linked in: its own allocations are not seen, only those of programs that it starts" : nil
  }

  /// A process maps its library soon after it has begun: what was not found twice is not there.
  private static let looks = 2
  /// Files that are attached to at most; six events of the kernel each.
  private static let limit = 64
  /// Processes by which a file is tried to be opened.
  private static let ways = 64
  /// Files that are looked into at a time: anybody can have some of these names mapped.
  private static let triesAtOnce = 256
  /// Whether it was said that there are more.
  private var isFull = false

  /// Attaches to libraries that are mapped now, by most processes first, and detaches from those that no process has mapped any more.
  ///
  /// - Returns: one line for each library that cannot be attached to, and once one when there are too many.
  func attach(_ probe: borrowing LoadedProbe, _ links: inout Links) -> [String] {
    let libraries = look()
    for (file, number) in attached where libraries[file] == nil {
      if number > 0 { links.detach(group: number) }
      attached[file] = nil
    }
    var remarks: [String] = []
    // What is no library takes no place.
    var room = Self.limit - attached.values.count { $0 > 0 }
    let waiting = libraries.values.filter { attached[$0.file] == nil }.sorted {
      ($1.processes, $0.file.inode) < ($0.processes, $1.file.inode)
    }
    for library in waiting.prefix(Self.triesAtOnce) where room > 0 {
      do {
        let number = try attach(probe, library, &links)
        attached[library.file] = number
        if number > 0 { room -= 1 }
      } catch {
        guard library.isMapped else {
          // The process has ended; another one may have mapped the file.
          if let process = library.process { known[process.rawValue] = nil }
          continue
        }
        attached[library.file] = 0
        failure = error as? BPFError ?? failure
        let owner = library.process.map { " of process \($0)" } ?? ""
        remarks.append("allocations in \(escaped(library.path))\(owner) are not seen: \(error)")
      }
    }
    if room == 0, !isFull, waiting.contains(where: { attached[$0.file] == nil }) {
      isFull = true
      remarks.append(
        "allocations in some C libraries are not seen: more than \(Self.limit) files of them are mapped; "
          + "those that most processes had mapped were attached to first")
    }
    return remarks
  }

  /// Begins anew, with links that are others.
  func forget() { (attached, failure, isFull) = ([:], nil, false) }

  var isEmpty: Bool { !attached.contains { $0.value > 0 } }

  private func attach(_ probe: borrowing LoadedProbe, _ library: Library, _ links: inout Links) throws -> UInt64 {
    // Some processes have it under another name, or under none any more.
    let others = known.values.lazy.compactMap(\.library).filter { $0.file == library.file }
    for other in [library] + others.prefix(Self.ways) {
      if let file = other.open() { return try attach(probe, library, file, &links) }
    }
    throw BPFError(
      "open", "the file", errno: .noSuchFileOrDirectory,
      reason: "it was deleted or replaced after it was mapped; only with CAP_CHECKPOINT_RESTORE can it be had")
  }

  /// - Parameter file: the library, which has this name while it is open.
  private func attach(
    _ probe: borrowing LoadedProbe, _ library: Library, _ file: borrowing Descriptor, _ links: inout Links
  ) throws -> UInt64 {
    let path = FilePath("/proc/self/fd/\(file.rawValue)")
    // None for 32-bit programs, which have their arguments elsewhere.
    let found: [String: UInt64]
    do {
      found = try ProbePoints.offsets(
        ofExported: library.kind.functions.map(\.name) + [library.kind.sign].compactMap(\.self), in: path)
    } catch {
      guard case .notELF = error.cause else { throw error }
      return 0
    }
    if let sign = library.kind.sign, found[sign] == nil { return 0 }
    last += 1
    // Some are one function with two names.
    var offsets: Set<UInt64> = []
    do {
      for function in library.kind.functions {
        guard let offset = found[function.name], offsets.insert(offset).inserted else { continue }
        if isMultiple {
          let places = [(offset: offset, semaphore: UInt64(0), target: last)]
          links.add(
            try probe.attach(function.program, toAll: places, of: path, atReturn: false, process: nil), group: last)
        } else {
          links.add(try Self.link(probe, function.program, path, offset, cookie: last), group: last)
        }
      }
    } catch {
      links.detach(group: last)
      throw error
    }
    return offsets.isEmpty ? 0 : last
  }

  /// Before 5.15 there are no cookies.
  private static func link(
    _ probe: borrowing LoadedProbe, _ program: String, _ path: FilePath, _ offset: UInt64, cookie: UInt64
  ) throws(BPFError) -> Link {
    do {
      return try probe.attach(program, uprobe: path, offset: offset, atReturn: false, process: nil, cookie: cookie)
    } catch {
      guard error.errno == .notSupportedOnSocket || error.errno == .notSupported else { throw error }
      return try probe.attach(program, uprobe: path, offset: offset, atReturn: false, process: nil)
    }
  }

  /// The libraries that processes have mapped now. Reads the maps of those only that are new or run another program.
  private func look() -> [File: Library] {
    var libraries: [File: Library] = [:]
    var now: [UInt32: Known] = [:]
    for name in Directory.names("/proc") {
      guard let process = UInt32(name), let program = Self.program(process) else { continue }
      var found = known[process].flatMap { $0.program == program ? $0 : nil } ?? Known(program: program, library: nil, looks: 0)
      if found.library == nil, found.looks < Self.looks {
        found.library = Self.library(process)
        found.looks += 1
      }
      if let library = found.library { libraries[library.file, default: library].processes += 1 }
      now[process] = found
    }
    known = now
    if let ofCommand, libraries[ofCommand.file] == nil { libraries[ofCommand.file] = ofCommand }
    return libraries
  }

  /// Nil for a thread of the kernel, and for a process that is gone or may not be looked at.
  private static func program(_ process: UInt32) -> File? {
    var status = stat()
    guard stat("/proc/\(process)/exe", &status) == 0 else { return nil }
    return File(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  /// musl's: what loads a program is the library itself.
  private static func library(interpreter path: String) -> Library? {
    guard (path.split(separator: "/").last ?? "").hasPrefix("ld-musl-"), let file = try? Linux.File.open(FilePath(path)),
      let identity = Linux.File.identity(of: file)
    else { return nil }
    return Library(file: File(device: identity.mappedDevice, inode: identity.inode), kind: musl, path: path)
  }

  private static func library(_ process: UInt32) -> Library? {
    for mapping in ProcessMaps(of: ProcessID(process))?.mappings ?? [] where mapping.isExecutable && mapping.inode != 0 {
      guard let kind = kind(of: mapping.name) else { continue }
      return Library(
        file: File(device: mapping.device, inode: mapping.inode), kind: kind, path: mapping.path, process: ProcessID(process),
        mapping: mapping)
    }
    return nil
  }

  private static func kind(of name: String) -> Kind? {
    if name == "libc.so.6" || name.hasPrefix("libc-2.") && name.hasSuffix(".so") { return glibc }
    // Debian links the second to the first.
    if name == "libc.so" || name.hasPrefix("ld-musl-") || name.hasPrefix("libc.musl-") { return musl }
    return nil
  }
}
