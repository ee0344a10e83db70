internal import BPF
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

  /// A function, and the program that finds the size in its arguments (allocs.bpf.c).
  private typealias Function = (name: String, program: String)

  private struct Library {
    var file: File
    var functions: [Function]
    /// Where the kernel shows the very file that is mapped, under whatever name and root.
    var path: String
    /// How many have it mapped.
    var processes = 0
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
  private static let ofGlibc: [Function] = [
    ("malloc", "enter_malloc"), ("calloc", "enter_calloc"), ("realloc", "enter_realloc_of_some"), ("memalign", "enter_aligned_more"),
    ("aligned_alloc", "enter_aligned_more"), ("posix_memalign", "enter_posix_more"),
  ]
  /// musl since 1.2.1: calloc calls malloc, and the others call aligned_alloc.
  private static let ofMusl: [Function] = [("malloc", "enter_malloc"), ("realloc", "enter_realloc"), ("aligned_alloc", "enter_aligned")]
  static let programs = Set((ofGlibc + ofMusl).map(\.program)).sorted()

  /// A process maps its library soon after it has begun: what was not found twice is not there.
  private static let looks = 2
  /// Files that are attached to at most; six events of the kernel each.
  private static let limit = 64
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
        // Not access(2), which asks for the real user. Without CAP_CHECKPOINT_RESTORE the file cannot be had at all.
        var status = stat()
        if stat(library.path, &status) == 0 || errno == EPERM {
          attached[library.file] = 0
          failure = error as? BPFError ?? failure
          remarks.append("allocations in \(library.path) are not seen: \(error)")
        } else {
          // The process has ended; another one may have mapped the file.
          known = known.filter { $0.value.library?.path != library.path }
        }
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
    // None for 32-bit programs, which have their arguments elsewhere.
    let found: [String: UInt64]
    do {
      found = try ProbePoints.offsets(ofExported: library.functions.map(\.name), in: FilePath(library.path))
    } catch {
      guard case .notELF = error.cause else { throw error }
      return 0
    }
    last += 1
    // Some are one function with two names.
    var offsets: Set<UInt64> = []
    do {
      for function in library.functions {
        guard let offset = found[function.name], offsets.insert(offset).inserted else { continue }
        if isMultiple {
          let places = [(offset: offset, semaphore: UInt64(0), target: last)]
          links.add(
            try probe.attach(function.program, toAll: places, of: FilePath(library.path), atReturn: false, process: nil), group: last)
        } else {
          links.add(try Self.link(probe, function.program, library.path, offset, cookie: last), group: last)
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
    _ probe: borrowing LoadedProbe, _ program: String, _ path: String, _ offset: UInt64, cookie: UInt64
  ) throws(BPFError) -> Link {
    do {
      return try probe.attach(program, uprobe: FilePath(path), offset: offset, atReturn: false, process: nil, cookie: cookie)
    } catch {
      guard error.errno == .notSupportedOnSocket || error.errno == .notSupported else { throw error }
      return try probe.attach(program, uprobe: FilePath(path), offset: offset, atReturn: false, process: nil)
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
    return libraries
  }

  /// Nil for a thread of the kernel, and for a process that is gone or may not be looked at.
  private static func program(_ process: UInt32) -> File? {
    var status = stat()
    guard stat("/proc/\(process)/exe", &status) == 0 else { return nil }
    return File(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  private static func library(_ process: UInt32) -> Library? {
    for mapping in ProcessMaps(of: ProcessID(process))?.mappings ?? [] where mapping.isExecutable && mapping.inode != 0 {
      guard let functions = functions(of: mapping.name) else { continue }
      let range = "\(String(mapping.start.rawValue, radix: 16))-\(String(mapping.end.rawValue, radix: 16))"
      return Library(
        file: File(device: mapping.device, inode: mapping.inode), functions: functions, path: "/proc/\(process)/map_files/\(range)")
    }
    return nil
  }

  private static func functions(of name: String) -> [Function]? {
    if name == "libc.so.6" || name.hasPrefix("libc-2.") && name.hasSuffix(".so") { return ofGlibc }
    if name.hasPrefix("ld-musl-") || name.hasPrefix("libc.musl-") { return ofMusl }
    return nil
  }
}
