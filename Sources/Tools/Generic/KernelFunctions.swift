internal import Glibc
internal import Linux

/// The kernel's functions by name, as far as a probe can be put on them.
struct KernelFunctions {
  struct Function {
    /// As in /proc/kallsyms, with the compiler's suffix.
    var name: String
    /// More than one where static functions share the name. 0: the kernel hides its addresses.
    var addresses: [UInt64]

    /// Without the suffixes of copies that the compiler made: `.isra.0`, `.constprop.0`, `.part.0`.
    var plainName: String { String(name.prefix { $0 != "." }) }
  }

  /// Those that a pattern means; for one name, its copies when it has none of its own.
  ///
  /// - Throws: `ToolError` when there is none, with the nearest names.
  static func find(_ pattern: borrowing NamePattern) throws -> [Function] {
    var exact: [String: [UInt64]] = [:]
    var copies: [String: [UInt64]] = [:]
    let wanted = pattern.text
    let isOneName = pattern.isOneName
    // One name is compared as bytes: making strings of 200,000 names takes longer than all the rest.
    try forEach { name, address in
      if isOneName {
        let length = strlen(wanted)
        guard strncmp(name, wanted, length) == 0 else { return }
        if name[length] == 0 {
          exact[wanted, default: []].append(address)
        } else if name[length] == 0x2e, strstr(name, ".cold") == nil {
          copies[String(cString: name), default: []].append(address)
        }
      } else if pattern.matches(name), strncmp(name, "__pfx_", 6) != 0, strncmp(name, "__cfi_", 6) != 0, strstr(name, ".cold") == nil {
        exact[String(cString: name), default: []].append(address)
      }
    }
    if !isOneName, let traceable = try traceable() {
      // The list has one name for each place; an alias (`__x64_sys_getppid`) may be listed by another name.
      let unlisted = Set(exact.filter { !traceable.contains($0.key) }.values.joined())
      var reachable: Set<UInt64> = []
      try forEach { name, address in
        if unlisted.contains(address), traceable.contains(String(cString: name)) { reachable.insert(address) }
      }
      exact = exact.filter { traceable.contains($0.key) || $0.value.contains { reachable.contains($0) } }
    }
    let found = (exact.isEmpty ? copies : exact).map { Function(name: $0, addresses: Array(Set($1)).sorted()) }
    guard found.isEmpty else { return found.sorted { $0.name < $1.name } }
    guard isOneName else { throw ToolError("no kernel function that can be traced matches '\(wanted)'") }
    var names: [String] = []
    try forEach { name, _ in
      // Only names of a similar length or with the word inside can be near.
      if strstr(name, wanted) != nil || abs(strlen(name) - strlen(wanted)) <= 3 { names.append(String(cString: name)) }
    }
    throw ToolError("this kernel has no function '\(wanted)'\(Suggestions.question(wanted, among: names))")
  }

  /// The names that the function tracer knows: others refuse probes. Nil when the list cannot be read.
  private static func traceable() throws -> Set<String>? {
    guard let root = KernelFeatures.tracefs, var text = TextFile("\(root)/available_filter_functions") else { return nil }
    var names: Set<String> = []
    text.forEachLine { line in
      // `name` or `name [module]`.
      if let end = strchr(line, 0x20) { end.pointee = 0 }
      names.insert(String(cString: line))
    }
    return names
  }

  private static func forEach(_ body: (UnsafeMutablePointer<CChar>, UInt64) -> Void) throws {
    guard var text = TextFile("/proc/kallsyms") else { throw ToolError("cannot read /proc/kallsyms, the list of kernel functions") }
    text.forEachLine { line in
      // `ffffffff81000000 T name` and, for modules, a tab and `[module]`.
      guard strlen(line) > 19 else { return }
      let type = line[17]
      guard type == 0x74 || type == 0x54 || type == 0x77 || type == 0x57 else { return }
      let name = line + 19
      if let end = strchr(name, 0x09) { end.pointee = 0 }
      body(name, strtoull(line, nil, 16))
    }
  }
}

/// A large text file of the kernel's, read at once and handed out line by line.
struct TextFile: ~Copyable {
  private let bytes: UnsafeMutablePointer<CChar>
  private let count: Int

  /// Nil when it cannot be read.
  init?(_ path: String) {
    guard let (bytes, count) = Self.read(path) else { return nil }
    self.bytes = bytes
    self.count = count
  }

  private static func read(_ path: String) -> (UnsafeMutablePointer<CChar>, Int)? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    // The largest, kallsyms, has 8 to 14 MB; pages that stay unused cost nothing.
    let limit = 64 << 20
    guard let room = malloc(limit + 1) else { return nil }
    var count = 0
    while count < limit {
      let got = Glibc.read(descriptor, room + count, min(limit - count, 1 << 20))
      guard got > 0 else { break }
      count += got
    }
    guard count > 0 else {
      free(room)
      return nil
    }
    let bytes = room.assumingMemoryBound(to: CChar.self)
    bytes[count] = 0
    return (bytes, count)
  }

  deinit { free(bytes) }

  /// Each line, ended by a zero; the body may write into it.
  mutating func forEachLine(_ body: (UnsafeMutablePointer<CChar>) -> Void) {
    var start = bytes
    let end = bytes + count
    while start < end {
      let line = start
      if let next = memchr(start, 0x0a, end - start) {
        start = next.assumingMemoryBound(to: CChar.self)
        start.pointee = 0
        start += 1
      } else {
        start = end
      }
      body(line)
    }
  }
}
