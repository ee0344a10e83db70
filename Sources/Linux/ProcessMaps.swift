/// One line of /proc/PID/maps (proc_pid_maps(5)).
package struct Mapping: Hashable, Sendable {
  package var start: VirtualAddress
  package var end: VirtualAddress
  package var isExecutable: Bool
  package var offset: FileOffset
  /// Major and minor number as the kernel prints them.
  package var device: UInt64
  package var inode: UInt64
  /// The path in the process's own mount namespace, a name such as `[vdso]`, or empty for anonymous memory.
  package var path: String

  /// Whether it is code that the process made itself.
  package var isAnonymousCode: Bool { isExecutable && inode == 0 && path != "[vdso]" && path != "[vsyscall]" }

  package init(
    start: VirtualAddress, end: VirtualAddress, isExecutable: Bool, offset: FileOffset, device: UInt64, inode: UInt64, path: String
  ) {
    self.start = start
    self.end = end
    self.isExecutable = isExecutable
    self.offset = offset
    self.device = device
    self.inode = inode
    self.path = path
  }

  /// The file's name without its folder, for people.
  package var name: String {
    let last = path.split(separator: "/").last.map(String.init) ?? path
    return last.hasSuffix(" (deleted)") ? String(last.dropLast(" (deleted)".count)) : last
  }
}

/// The mappings of a process at one moment, sorted by address.
package struct ProcessMaps: Sendable {
  package private(set) var mappings: [Mapping] = []

  /// More lines than any process may have by default (vm.max_map_count) are not read.
  private static let limit = 1 << 17

  /// Reads the mappings of a process; nil when it is gone or may not be read.
  package init?(of process: ProcessID) { self.init(path: "/proc/\(process)/maps") }

  /// Reads swtrace's own mappings.
  package init?(ofOwnProcess: Void) { self.init(path: "/proc/self/maps") }

  private init?(path: String) {
    guard let text = ProcFile.bytes(path, limit: 64 << 20) else { return nil }
    self.init(parsing: text)
  }

  /// Reads the text of the file. Lines of another form are left out.
  package init(parsing text: [UInt8]) {
    for line in text.split(separator: 0x0a) {
      guard mappings.count < Self.limit else { break }
      if let mapping = Self.mapping(line) { mappings.append(mapping) }
    }
    mappings.sort { $0.start < $1.start }
  }

  private static func mapping(_ line: ArraySlice<UInt8>) -> Mapping? {
    // start-end perms offset major:minor inode   path: the path is the rest of the line and may have spaces.
    let fields = line.split(separator: 0x20, maxSplits: 5, omittingEmptySubsequences: true)
    guard fields.count >= 5, let dash = fields[0].firstIndex(of: 0x2d), let start = number(fields[0][..<dash]),
      let end = number(fields[0][(dash + 1)...]), start < end, fields[1].count >= 3, let offset = number(fields[2]),
      let colon = fields[3].firstIndex(of: 0x3a), let major = number(fields[3][..<colon]), let minor = number(fields[3][(colon + 1)...]),
      let inode = UInt64(String(decoding: fields[4], as: UTF8.self))
    else { return nil }
    return Mapping(
      start: VirtualAddress(start), end: VirtualAddress(end), isExecutable: fields[1][fields[1].startIndex + 2] == 0x78,
      offset: FileOffset(offset), device: major << 32 | minor, inode: inode,
      path: fields.count > 5 ? String(decoding: fields[5].drop { $0 == 0x20 }, as: UTF8.self) : "")
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? { UInt64(String(decoding: digits, as: UTF8.self), radix: 16) }

  /// The mapping that covers an address.
  package subscript(_ address: VirtualAddress) -> Mapping? {
    var low = 0
    var high = mappings.count
    while low < high {
      let middle = (low + high) / 2
      if mappings[middle].start <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, address < mappings[low - 1].end else { return nil }
    return mappings[low - 1]
  }
}
