internal import Glibc
internal import Linux
internal import SystemPackage

/// What one ELF file and its debug files know of its addresses: functions, inlined calls, source lines.
///
/// Owned by one task.
@safe
package final class ObjectSymbols {
  package let file: ELFFile
  /// Where the names of functions come from, best first: `.symtab`, `.dynsym`, `.gnu_debugdata`, or a debug file's path.
  package let origins: [String]
  private let debug: DebugFile?
  private let search: DebugFileSearch
  private let hasFunctions: Bool
  /// Made again after a release.
  private var contents: Contents?

  fileprivate typealias DebugFile = (file: ELFFile, path: String)

  private final class Contents {
    let table: SymbolTable
    var names: [UInt32: String] = [:]
    /// Made when the first address is asked for: opening DWARF takes longer than the symbols.
    var information: DebugInformation??

    init(_ file: ELFFile, _ debug: DebugFile?) throws(ELFError) { table = try SymbolTable(file, debug: debug) }
  }

  /// - Throws: where the file's tables are too large.
  package init(_ file: ELFFile, searching search: DebugFileSearch = DebugFileSearch()) throws(ELFError) {
    self.file = file
    self.search = search
    let parts = file.strippedParts
    debug = parts.symbols || parts.debugInformation ? search.debugFile(of: file) : nil
    let contents = try Contents(file, debug)
    self.contents = contents
    (origins, hasFunctions) = (contents.table.origins, !contents.table.isEmpty)
  }

  /// Whether the file was read through a container that has ended, whose mounts it keeps.
  package var isRootGone: Bool { search.isRootGone }

  /// Gives up what was read of the file. What is asked for afterwards is read again.
  ///
  /// What libelf holds stays: sections that were compressed, which are used on, and DWARF of files that are not mapped.
  package func release() {
    guard !file.hasDecompressed, debug?.file.hasDecompressed != true else { return }
    contents = nil
    file.discardAll()
    debug?.file.discardAll()
  }

  /// Gives up what will be read again for what is asked for later: what is mapped of the file, and all but the beginnings of the indexes.
  package func settle() {
    contents?.names = [:]
    contents?.information??.index.settle()
    file.discardAll()
    debug?.file.discardAll()
  }

  /// Bytes of memory after `settle`, about: the indexes, and DWARF that had to be copied.
  package var memoryUse: Int {
    guard let contents else { return 0 }
    let information = (contents.information ?? nil).map { copiedDebugBytes + $0.index.memoryUse } ?? 0
    return contents.table.memoryUse + information
  }

  private lazy var copiedDebugBytes = file.copiedDebugBytes + (debug?.file.copiedDebugBytes ?? 0)

  /// What was read; read again after a release. That it is too large was found, and thrown, when it was read first; a file that was changed
  /// since has no names.
  private func prepare() -> Contents? {
    if contents == nil { contents = try? Contents(file, debug) }
    return contents
  }

  /// What was stripped from the file, where it was found.
  package var debugFile: ELFFile? { debug?.file }
  /// Whether there is nothing to find.
  package var isEmpty: Bool { !hasFunctions && information == nil }

  /// The name of the function that covers an address, as the linker knows it: mangled, without its version.
  ///
  /// - Returns: also a key that is equal for equal names.
  package func function(at address: ELFAddress) -> (name: String, key: UInt32)? {
    guard let contents = prepare(), let identifier = contents.table.name(at: address) else { return nil }
    if let known = contents.names[identifier.rawValue] { return (known, identifier.rawValue) }
    let name = contents.table.string(identifier)
    contents.names[identifier.rawValue] = name
    if contents.names.count % Self.namesAtOnce == 0 { contents.table.discardNames() }
    return (name, identifier.rawValue)
  }

  /// After so many, what was read of the file for them is given up: 64 KB each, and they lie anywhere.
  private static let namesAtOnce = 64

  /// The functions at an address with their source positions, innermost first; the last is the function itself, and only it is there,
  /// without a name, where just the line is known. Empty without debug information.
  package func calls(at address: ELFAddress) -> [SourceCall] {
    guard let information else { return [] }
    return information.index.calls(at: address.rawValue &- information.bias)
  }

  private var information: DebugInformation? {
    guard let contents = prepare() else { return nil }
    if let known = contents.information { return known }
    var found = DebugInformation(file, path: search.path?.string ?? "", bias: 0, search)
    if found == nil, let debug {
      found = DebugInformation(debug.file, path: debug.path, bias: file.bias(of: debug.file), search)
    }
    contents.information = .some(found)
    return found
  }
}

/// The index of one file's DWARF.
private struct DebugInformation {
  let index: CallIndex
  /// What to take from the object's addresses to get those of the DWARF.
  let bias: UInt64

  /// Nil without DWARF that can be used.
  init?(_ file: ELFFile, path: String, bias: UInt64, _ search: DebugFileSearch) {
    guard !file.strippedParts.debugInformation, let dwarf = DwarfFile(file, copyLimit: search.copyLimit) else { return nil }
    let shared = search.sharedFile(of: file, at: path).flatMap { DwarfFile($0, copyLimit: search.copyLimit) }
    index = CallIndex(dwarf, shared: shared, split: SplitUnits(path.isEmpty ? nil : FilePath(path), search))
    self.bias = bias
    if index.isEmpty { return nil }
  }
}
