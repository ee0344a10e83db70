internal import Clibdw
internal import Clibelf
internal import Clibz
package import Linux
package import SystemPackage

/// Where to look for the symbols that were stripped from a file.
///
/// libdwfl can search too, but opens what it finds without checks: a FIFO beside a hostile program would stop us for good, a link in a
/// container would lead outside it, and debuginfod would be asked.
package struct DebugFileSearch {
  /// The file's own path in `roots[0]`, for `.gnu_debuglink`; nil looks at the build ID only.
  package var path: FilePath?
  /// Those of processes first, then swtrace's own, as long as somebody knows a process that sees them: a root that is held keeps the
  /// mounts of a container that has ended.
  package var roots: [RootDirectory] {
    get { heldElsewhere.compactMap(\.root) }
    set { heldElsewhere = newValue.map { WeakRoot(root: $0) } }
  }
  private var heldElsewhere: [WeakRoot]

  /// The first of the roots, as long as somebody knows it.
  package var root: RootDirectory? { heldElsewhere.first?.root }
  /// Whether the first of the roots is known to nobody any more.
  package var isRootGone: Bool { !heldElsewhere.isEmpty && root == nil }

  private struct WeakRoot {
    weak var root: RootDirectory?
  }

  /// Where packages put debug files, in each root.
  package var folders: [FilePath]

  /// Asked last, where the user wants that.
  package var servers: DebugInformationServers?

  /// DWARF of more bytes is not read of files that cannot be mapped, because others could cut them.
  package var copyLimit = Int.max

  package init(
    path: FilePath? = nil, roots: [RootDirectory] = [.own], folders: [FilePath] = ["/usr/lib/debug"],
    servers: DebugInformationServers? = nil
  ) {
    self.path = path
    heldElsewhere = roots.map { WeakRoot(root: $0) }
    self.folders = folders
    self.servers = servers
  }

  /// The debug file and its path: by build ID in the debug folders, else by `.gnu_debuglink` beside the file, in `.debug` and in the folders.
  ///
  /// A linked file must have the same build ID, or, where one has none, the CRC that the link names.
  func debugFile(of file: ELFFile) -> (file: ELFFile, path: String)? {
    if let local = localDebugFile(of: file) { return local }
    guard let servers, let identifier = file.buildID, let debug = servers.debugFile(of: identifier), debug.buildID == identifier else {
      return nil
    }
    return (debug, debug.name)
  }

  private func localDebugFile(of file: ELFFile) -> (file: ELFFile, path: String)? {
    if let id = file.buildID?.description, id.utf8.count > 2 {
      for root in roots {
        for folder in folders {
          let path = folder.appending(".build-id/\(id.prefix(2))/\(id.dropFirst(2)).debug")
          if let debug = open(path, root), debug.buildID == file.buildID { return (debug, path.string) }
        }
      }
    }
    guard let (name, checksum) = file.debugLink(), let folder = path?.removingLastComponent(), folder.isAbsolute else { return nil }
    let candidates =
      [folder.appending(name), folder.appending(".debug").appending(name)]
      + folders.map { $0.appending(folder.components).appending(name) }
    for root in roots {
      for candidate in candidates {
        guard let debug = open(candidate, root), debug.identity != file.identity else { continue }
        let isSame =
          if let id = file.buildID, let other = debug.buildID { id == other } else { Self.checksum(candidate, root) == checksum }
        if isSame { return (debug, candidate.string) }
      }
    }
    return nil
  }

  /// The file with what several debug files have in common (DWZ, `.gnu_debugaltlink`): by build ID, else by the name in the link.
  ///
  /// - Parameter path: the debug file's own.
  func sharedFile(of debug: ELFFile, at path: String) -> ELFFile? {
    guard let (name, id) = debug.sharedLink() else { return nil }
    let digits = id.description
    let byIdentifier = folders.map { $0.appending(".build-id/\(digits.prefix(2))/\(digits.dropFirst(2)).debug") }
    let link = FilePath(name)
    let byName = link.isAbsolute ? link : FilePath(path).removingLastComponent().pushing(link)
    for root in roots {
      for candidate in byIdentifier { if let file = open(candidate, root), file.buildID == id { return file } }
    }
    if let file = open(byName), file.buildID == id { return file }
    return nil
  }

  /// A file that debug information names, where its process would find it: only there, because the name is a stranger's.
  func open(_ path: FilePath) -> ELFFile? { root.flatMap { open(path, $0) } }

  /// Absence is the normal case, and a candidate that cannot be read is none.
  private func open(_ path: FilePath, _ root: RootDirectory) -> ELFFile? {
    guard let file = try? root.open(path) else { return nil }
    return try? ELFFile(file, name: path.string, isOurs: root === RootDirectory.own)
  }

  /// Larger debug files have build IDs; these here may be anybody's, as large as he likes.
  private static let checkedSize: UInt64 = 256 << 20

  /// The CRC-32 of a whole file, as `.gnu_debuglink` has it.
  private static func checksum(_ path: FilePath, _ root: RootDirectory) -> UInt32? {
    guard let file = try? root.open(path), let size = File.identity(of: file)?.size, size <= checkedSize else { return nil }
    var crc: CUnsignedLong = 0
    var offset: UInt64 = 0
    while offset < size {
      guard let bytes = try? File.read(file, at: offset, count: 1 << 20, name: path.string), !bytes.isEmpty else { return nil }
      crc = unsafe crc32(crc, bytes, CUnsignedInt(bytes.count))
      offset += UInt64(bytes.count)
    }
    return UInt32(truncatingIfNeeded: crc)
  }
}

extension ELFFile {
  private static let maximumCompressed: UInt64 = 16 << 20
  private static let maximumDecompressed = 64 << 20

  /// The debug file's name and CRC; nil for a name that leads elsewhere.
  fileprivate func debugLink() -> (name: String, checksum: UInt32)? {
    guard let bytes = content(ofSection: ".gnu_debuglink", limit: 8192), let end = bytes.firstIndex(of: 0), 1...255 ~= end else {
      return nil
    }
    let position = (end + 4) & ~3
    guard bytes.count >= position + 4, !bytes[..<end].contains(UInt8(ascii: "/")) else { return nil }
    // In the file's byte order, which is ours.
    let checksum = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[position + $1]) << UInt32(8 * $1) }
    let name = String(decoding: bytes[..<end], as: UTF8.self)
    return name == "." || name == ".." ? nil : (name, checksum)
  }

  /// The name and build ID of the file that this one shares DWARF with.
  fileprivate func sharedLink() -> (name: String, id: BuildID)? {
    guard let bytes = content(ofSection: ".gnu_debugaltlink", limit: 8192), let end = bytes.firstIndex(of: 0), end > 0,
      let id = BuildID(Array(bytes[(end + 1)...]))
    else { return nil }
    return (String(decoding: bytes[..<end], as: UTF8.self), id)
  }

  /// The compressed ELF image in `.gnu_debugdata`, which Fedora's stripped files carry.
  ///
  /// Decompressed here and not by libdw, which sets no limit to what a small section may become.
  func miniDebugInfo() -> ELFFile? {
    guard let compressed = content(ofSection: ".gnu_debugdata", limit: Self.maximumCompressed) else { return nil }
    var capacity = max(1 << 20, compressed.count * 8)
    while capacity <= Self.maximumDecompressed {
      var memory: UInt64 = 128 << 20
      var read = 0
      var result = LZMA_OK
      let image = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        result = unsafe lzma_stream_buffer_decode(
          &memory, 0, nil, compressed, &read, compressed.count, buffer.baseAddress, &count, capacity)
      }
      if result == LZMA_OK { return try? ELFFile(image: image, name: name + " (.gnu_debugdata)") }
      guard result == LZMA_BUF_ERROR else { return nil }
      capacity *= 2
      read = 0
    }
    return nil
  }
}
