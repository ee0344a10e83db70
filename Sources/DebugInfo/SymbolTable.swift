internal import Clibdw
internal import Clibelf
internal import Glibc

/// The functions of one ELF file by address, from its own symbol tables and those of its debug files.
///
/// Built once, immutable, found by binary search. Names stay in the files, which the table keeps open, until one is asked for.
package struct SymbolTable {
  package static let maximumSymbols = 8 << 20
  /// Longer names are cut.
  package static let maximumNameLength = 4096

  /// A function's name in the table; equal for equal functions, so that what is made of it can be kept.
  package struct NameID: Hashable, Sendable {
    let rawValue: UInt32
  }

  /// The sections that answered, best first, for reports: `.symtab`, `.dynsym`, `.gnu_debugdata`, or a debug file's path.
  package let origins: [String]

  private let strings: [StringTable]
  private let starts: [UInt64]
  /// Clamped; no function is larger than 4 GB.
  private let lengths: [UInt32]
  private let names: [NameID]

  /// Indexes a file.
  ///
  /// Fails where a table is too large; a damaged one is left out.
  ///
  /// - Parameter debug: what was stripped from it, and where that was found.
  package init(_ file: ELFFile, debug: (file: ELFFile, path: String)? = nil) throws(ELFError) {
    var origins: [String] = []
    var builder = SymbolTableBuilder()
    if try builder.add(file, section: SHT_SYMTAB, bias: 0) {
      origins.append(".symtab")
    } else {
      if let (debug, path) = debug, try builder.add(debug, section: SHT_SYMTAB, bias: file.bias(of: debug)) {
        origins.append(path)
      } else if let mini = file.miniDebugInfo(), try builder.add(mini, section: SHT_SYMTAB, bias: 0) {
        origins.append(".gnu_debugdata")
      }
      if try builder.add(file, section: SHT_DYNSYM, bias: 0) { origins.append(".dynsym") }
    }
    (starts, lengths, names) = builder.build()
    strings = builder.strings
    self.origins = origins
  }

  /// The number of ranges, about that of functions.
  package var count: Int { starts.count }
  package var isEmpty: Bool { starts.isEmpty }
  /// Bytes of memory, without the files' own.
  package var memoryUse: Int { starts.count * 16 }

  /// The function that covers an address.
  package func name(at address: ELFAddress) -> NameID? {
    let wanted = address.rawValue
    var low = 0
    var high = starts.count
    while low < high {
      let middle = (low &+ high) >> 1
      if starts[middle] <= wanted { low = middle &+ 1 } else { high = middle }
    }
    guard low > 0, wanted &- starts[low - 1] < UInt64(lengths[low - 1]) else { return nil }
    return names[low - 1]
  }

  /// The name as the linker knows it, without the version (`glob@@GLIBC_2.27` is `glob`).
  package func string(_ name: NameID) -> String {
    let (table, offset) = name.place
    return strings[table].string(at: offset)
  }

  /// Gives up what was read of the file for names; reading more of them works.
  func discardNames() { for table in strings { table.discard() } }
}

extension SymbolTable.NameID {
  /// A quarter of the space for each string table: of the file, a debug file or the mini debug information, and `.dynsym`.
  static let maximumStrings = 1 << 30

  init(table: Int, offset: Int) { rawValue = UInt32(table) << 30 | UInt32(offset) }

  var place: (table: Int, offset: Int) { (Int(rawValue >> 30), Int(rawValue & (1 << 30 - 1))) }
}

/// The names of one symbol table, in its file's memory or read as they are needed.
struct StringTable {
  private let part: FilePart

  init(_ part: FilePart) { self.part = part }

  var count: Int { part.bytes.count }

  /// The name's first bytes, to its end, its version or the limit.
  func withName<Result>(at offset: Int, _ body: (Span<UInt8>) -> Result) -> Result {
    unsafe withText(at: offset) { text in
      var name = unsafe text
      if let start = name.baseAddress, let version = unsafe memchr(start, Int32(UInt8(ascii: "@")), name.count) {
        let cut = unsafe version - UnsafeMutableRawPointer(mutating: start)
        if cut > 0 { unsafe name = UnsafeBufferPointer(rebasing: name[..<cut]) }
      }
      return unsafe body(name.span)
    }
  }

  /// The name's first bytes, with its version, to its end or the limit: for names that are not shown.
  func withWholeName<Result>(at offset: Int, _ body: (Span<UInt8>) -> Result) -> Result {
    unsafe withText(at: offset) { unsafe body($0.span) }
  }

  private func withText<Result>(at offset: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    part.load(offset..<offset + SymbolTable.maximumNameLength)
    return unsafe part.bytes.withText(at: offset, limit: SymbolTable.maximumNameLength, body)
  }

  /// How long a name is, and how many underscores it begins with.
  func shape(at offset: Int) -> (length: Int, underscores: Int) {
    withName(at: offset) { name in
      var underscores = 0
      while underscores < name.count && name[underscores] == UInt8(ascii: "_") { underscores += 1 }
      return (name.count, underscores)
    }
  }

  /// Gives up its memory until a name is read again: few of them are.
  func discard() { part.discard() }

  func string(at offset: Int) -> String {
    withName(at: offset) { name in unsafe name.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) } }
  }
}
