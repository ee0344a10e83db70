internal import Clibdw
internal import Clibelf
internal import Linux

/// What the symbols of a Swift program or library say of its functions.
///
/// swiftc writes no call frame records for functions that cannot fail, unless it also writes debug information; and where an async
/// function keeps its context, it never says.
struct SwiftFunctions {
  struct Function {
    var start: UInt64
    var end: UInt64
    /// Runs with an async context: an async function, or a part of one between two places where it waits.
    var isAsync: Bool
  }

  /// Ascending, without overlaps.
  private(set) var functions: [Function] = []

  /// Nil where there is no Swift.
  ///
  /// The file decides, by the sections that every Swift object has, and not the names: swiftc also makes functions whose names look like
  /// those of C (`block_copy_helper`). What is C in the same file has records; only names of C++ are left out.
  init?(_ file: ELFFile, debug: ELFFile?) {
    var isSwift = false
    unsafe file.forEachSection { _, section, _ in if section.name.hasPrefix("swift5_") { isSwift = true } }
    guard isSwift else { return nil }
    // As for names: the whole table of the file, or what others know besides the dynamic linker's.
    if !add(file, SHT_SYMTAB, bias: 0) {
      if let debug {
        _ = add(debug, SHT_SYMTAB, bias: file.bias(of: debug))
      } else if let mini = file.miniDebugInfo() {
        _ = add(mini, SHT_SYMTAB, bias: 0)
      }
      _ = add(file, SHT_DYNSYM, bias: 0)
    }
    functions.sort { ($0.start, $1.end, $0.isAsync ? 0 : 1) < ($1.start, $0.end, $1.isAsync ? 0 : 1) }
    var end: UInt64 = 0
    functions.removeAll { function in
      if function.start < end { return true }
      end = function.end
      return false
    }
  }

  /// Adds the functions of one table; false when it has none, or is damaged.
  private mutating func add(_ file: ELFFile, _ type: Int32, bias: UInt64) -> Bool {
    let before = functions.count
    var asyncEntries = Set<Int>()
    _ = try? file.forEachSymbol(type) { symbol, strings in
      guard Int32(symbol.st_info & 0xf) == STT_OBJECT else { return }
      strings.withName(at: Int(symbol.st_name)) { name in if let entry = Self.asyncEntry(name) { asyncEntries.insert(entry) } }
    }
    var found = functions
    functions = []
    _ = try? file.forEachSymbol(type) { symbol, strings in
      guard Int32(symbol.st_info & 0xf) == STT_FUNC, symbol.st_size > 0, found.count < SymbolTable.maximumSymbols else { return }
      let start = symbol.st_value &+ bias
      let (end, overflows) = start.addingReportingOverflow(symbol.st_size)
      guard !overflows else { return }
      strings.withName(at: Int(symbol.st_name)) { name in
        guard !name.hasPrefix("_Z") else { return }
        let isAsync = Self.isAsyncPart(name) || !asyncEntries.isEmpty && asyncEntries.contains(Self.hash(name, name.count))
        found.append(Function(start: start, end: end, isAsync: isAsync))
      }
    }
    functions = found
    return functions.count > before
  }

  /// Whether a name ends in `TY<number>_` or `TQ<number>_`: what runs from one place of waiting to the next.
  private static func isAsyncPart(_ name: Span<UInt8>) -> Bool {
    var last = name.count - 1
    guard last >= 4, name[last] == UInt8(ascii: "_") else { return false }
    last -= 1
    let digits = last
    while last > 1, 0x30...0x39 ~= name[last] { last -= 1 }
    return last < digits && name[last - 1] == UInt8(ascii: "T") && (name[last] == UInt8(ascii: "Y") || name[last] == UInt8(ascii: "Q"))
  }

  /// Of the name of an async function's record (`…Tu`), what the function's own name has as its hash.
  private static func asyncEntry(_ name: Span<UInt8>) -> Int? {
    guard name.count > 3, name[name.count - 1] == UInt8(ascii: "u"), name[name.count - 2] == UInt8(ascii: "T"),
      name[0] == UInt8(ascii: "$")
    else { return nil }
    return hash(name, name.count - 2)
  }

  private static func hash(_ name: Span<UInt8>, _ count: Int) -> Int {
    var hasher = Hasher()
    unsafe name.extracting(first: count).withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
    return hasher.finalize()
  }
}

extension Span<UInt8> {
  fileprivate func hasPrefix(_ text: StaticString) -> Bool {
    guard count >= text.utf8CodeUnitCount else { return false }
    for index in 0..<text.utf8CodeUnitCount where unsafe self[index] != text.utf8Start[index] { return false }
    return true
  }
}

/// The instructions in a file's executable segments.
struct CodeBytes {
  private var parts: [(start: UInt64, bytes: Bytes)] = []

  /// More is not read: the file may be a stranger's, and is in memory then. The Swift compiler has 112 MB.
  private static let maximumSize: UInt64 = 256 << 20
  /// There is one, or there are two.
  private static let maximumParts = 16

  init(_ file: ELFFile) {
    var left = Self.maximumSize
    for segment in file.segments where segment.isExecutable && segment.fileSize <= left && parts.count < Self.maximumParts {
      left -= segment.fileSize
      guard let offset = Int64(exactly: segment.offset.rawValue),
        let data = unsafe elf_getdata_rawchunk(file.handle, offset, Int(segment.fileSize), ELF_T_BYTE),
        let start = unsafe data.pointee.d_buf
      else { continue }
      let bytes = unsafe Bytes(UnsafeRawBufferPointer(start: start, count: data.pointee.d_size))
      parts.append((segment.address.rawValue, bytes))
    }
  }

  /// Those between two addresses; empty when not all are there.
  func bytes(from start: UInt64, to end: UInt64) -> Bytes {
    for part in parts where start >= part.start && end > start && start - part.start < UInt64(part.bytes.count) {
      return part.bytes.slice(start - part.start, end - start)
    }
    return Bytes()
  }
}
