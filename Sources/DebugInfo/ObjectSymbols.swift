internal import Clibdw
internal import Clibelf
internal import Glibc
internal import Linux
internal import SystemPackage

/// What one ELF file and its debug files know of its addresses: functions, inlined calls, source lines.
///
/// Owned by one task: libdw has no locks.
@safe
package final class ObjectSymbols {
  package let file: ELFFile
  private let table: SymbolTable
  private let debug: (file: ELFFile, path: String)?
  private let search: DebugFileSearch
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
  /// Whether there is nothing to find.
  package var isEmpty: Bool { table.isEmpty && information == nil }

  /// The name of the function that covers an address, as the linker knows it: mangled, without its version.
  package func function(at address: ELFAddress) -> String? { table.name(at: address).map { table.string($0) } }

  /// The functions at an address with their source positions, innermost first; the last is the function itself, and only it is there,
  /// without a name, where just the line is known. Empty without debug information.
  package func calls(at address: ELFAddress) -> [SourceCall] {
    guard let information else { return [] }
    let place = address.rawValue &- information.bias
    let calls = information.index.calls(at: place)
    guard calls.isEmpty else { return calls }
    let (file, line) = information.index.line(at: place)
    return line == 0 ? [] : [SourceCall(name: nil, file: file, line: line, isInlined: false)]
  }

  private var information: DebugInformation? {
    if let opened { return opened }
    var found = DebugInformation(file, path: search.path?.string ?? "", bias: 0, search)
    if found == nil, let debug { found = DebugInformation(debug.file, path: debug.path, bias: file.bias(of: debug.file), search) }
    opened = .some(found)
    return found
  }
}

/// The DWARF of one file, open, with its index.
@safe
private final class DebugInformation {
  let index: CallIndex
  /// What to take from the object's addresses to get those of the DWARF.
  let bias: UInt64
  /// Kept alive: libdw reads in its memory.
  private let file: ELFFile
  private let dwarf: OpaquePointer
  private let shared: (file: ELFFile, dwarf: OpaquePointer)?

  /// Nil without DWARF that can be used.
  init?(_ file: ELFFile, path: String, bias: UInt64, _ search: DebugFileSearch) {
    guard !file.strippedParts.debugInformation, file.decompressesWithinLimit,
      let dwarf = unsafe dwarf_begin_elf(file.handle, DWARF_C_READ, nil)
    else { return nil }
    self.file = file
    self.bias = bias
    unsafe self.dwarf = unsafe dwarf
    if let shared = search.sharedFile(of: file, at: path), shared.decompressesWithinLimit,
      let alternate = unsafe dwarf_begin_elf(shared.handle, DWARF_C_READ, nil)
    {
      unsafe self.shared = unsafe (shared, alternate)
      unsafe dwarf_setalt(dwarf, alternate)
    } else {
      unsafe shared = nil
      // libdw would look for it by itself and open whatever has that name. This is how it notes that there is none
      // (libdw/dwarf_getalt.c of elfutils).
      unsafe dwarf_setalt(dwarf, OpaquePointer(bitPattern: -1))
    }
    index = unsafe CallIndex(dwarf, opensSplit: file.isTrusted)
    // The index has nothing to ask for and goes with the rest.
    if index.isEmpty { return nil }
  }

  deinit {
    unsafe dwarf_end(dwarf)
    if let shared = unsafe shared { unsafe dwarf_end(shared.dwarf) }
  }
}

/// Keeps libdw from asking servers for debug files: it does so by itself when the environment names some.
package func disableDebugInformationServers() { unsafe unsetenv("DEBUGINFOD_URLS") }
