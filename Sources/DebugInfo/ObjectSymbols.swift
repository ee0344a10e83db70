internal import Glibc
internal import Linux
internal import SystemPackage

/// What one ELF file and its debug files know of its addresses: functions, inlined calls, source lines.
///
/// Owned by one task.
@safe
package final class ObjectSymbols {
  package let file: ELFFile
  private let table: SymbolTable
  private let debug: (file: ELFFile, path: String)?
  private let search: DebugFileSearch
  private var names: [UInt32: String] = [:]
  /// Made when the first address is asked for: opening DWARF takes longer than the symbols.
  private var opened: DebugInformation??

  /// - Throws: where the file's tables are too large.
  package init(_ file: ELFFile, searching search: DebugFileSearch = DebugFileSearch()) throws(ELFError) {
    self.file = file
    self.search = search
    let parts = file.strippedParts
    debug = parts.symbols || parts.debugInformation ? search.debugFile(of: file) : nil
    table = try SymbolTable(file, debug: debug)
  }

  /// Where the names of functions come from, best first: `.symtab`, `.dynsym`, `.gnu_debugdata`, or a debug file's path.
  package var origins: [String] { table.origins }
  /// What was stripped from the file, where it was found.
  package var debugFile: ELFFile? { debug?.file }
  /// Whether there is nothing to find.
  package var isEmpty: Bool { table.isEmpty && information == nil }

  /// The name of the function that covers an address, as the linker knows it: mangled, without its version.
  ///
  /// - Returns: also a key that is equal for equal names.
  package func function(at address: ELFAddress) -> (name: String, key: UInt32)? {
    guard let identifier = table.name(at: address) else { return nil }
    if let known = names[identifier.rawValue] { return (known, identifier.rawValue) }
    let name = table.string(identifier)
    names[identifier.rawValue] = name
    return (name, identifier.rawValue)
  }

  /// The functions at an address with their source positions, innermost first; the last is the function itself, and only it is there,
  /// without a name, where just the line is known. Empty without debug information.
  package func calls(at address: ELFAddress) -> [SourceCall] {
    guard let information else { return [] }
    return information.index.calls(at: address.rawValue &- information.bias)
  }

  private var information: DebugInformation? {
    if let opened { return opened }
    var found = DebugInformation(file, path: search.path?.string ?? "", bias: 0, search)
    if found == nil, let debug { found = DebugInformation(debug.file, path: debug.path, bias: file.bias(of: debug.file), search) }
    opened = .some(found)
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
    guard !file.strippedParts.debugInformation, let dwarf = DwarfFile(file) else { return nil }
    let shared = search.sharedFile(of: file, at: path).flatMap { DwarfFile($0) }
    index = CallIndex(dwarf, shared: shared, split: SplitUnits(path.isEmpty ? nil : FilePath(path), search))
    self.bias = bias
    if index.isEmpty { return nil }
  }
}
