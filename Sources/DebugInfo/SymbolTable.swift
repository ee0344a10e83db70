internal import Clibdw
internal import Clibelf
internal import Glibc
package import Linux
internal import SystemPackage

/// The functions of one ELF file, by address: from `.symtab`, a separate debug file, `.gnu_debugdata` or `.dynsym`.
///
/// libdwfl opens the file and finds its debug file; look-ups are in our own sorted arrays, because libdwfl's walk all symbols each time.
/// Names stay where libdw has mapped them until one is asked for.
@safe
package final class SymbolTable {
  /// A function that covers an address.
  package struct Match: Sendable {
    /// As the file has it: mangled, without the version that follows `@`.
    package var name: String
    /// Bytes from the function's start.
    package var offset: UInt64
  }

  @safe
  private struct Symbol {
    var address: UInt64
    var size: UInt64
    var name: UnsafePointer<CChar>
    /// Global before weak before local.
    var rank: UInt8
  }

  private struct Segment {
    var offset: UInt64
    var fileSize: UInt64
    var address: UInt64
  }

  /// Null when the file is no ELF file or has nothing to offer.
  private let dwfl: OpaquePointer?
  private let callbacks: UnsafeMutablePointer<Dwfl_Callbacks>
  private var module: OpaquePointer?
  /// Made when the first address is asked for: opening debug information takes longer than the symbols.
  private var callIndex: (index: CallIndex, bias: UInt64)??
  private var symbols: [Symbol] = []
  private var segments: [Segment] = []
  /// The note NT_GNU_BUILD_ID; empty without one.
  package private(set) var buildID: [UInt8] = []
  /// Why there are no symbols.
  package private(set) var problem: String?

  /// A file with more is not indexed to its end.
  private static let symbolLimit = 8 << 20
  private static let sizeLimit: Int64 = 8 << 30

  /// Reads a file through a descriptor, which is left open.
  ///
  /// - Parameter name: for people, and for finding a debug file in the same folder.
  package init(descriptor: CInt, name: String) {
    unsafe callbacks = .allocate(capacity: 1)
    unsafe callbacks.initialize(
      to: Dwfl_Callbacks(
        find_elf: { unsafe dwfl_build_id_find_elf($0, $1, $2, $3, $4, $5) },
        find_debuginfo: { unsafe dwfl_standard_find_debuginfo($0, $1, $2, $3, $4, $5, $6, $7) },
        section_address: { unsafe dwfl_offline_section_address($0, $1, $2, $3, $4, $5, $6, $7) }, debuginfo_path: nil))
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= Self.sizeLimit else {
      unsafe dwfl = nil
      problem = "not a regular file"
      return
    }
    unsafe dwfl = unsafe dwfl_begin(callbacks)
    guard let dwfl = unsafe dwfl else {
      problem = "no memory"
      return
    }
    unsafe dwfl_report_begin(dwfl)
    // libdw closes what it is given.
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    guard let module = unsafe dwfl_report_elf(dwfl, name, name, copy, 0, false) else {
      close(copy)
      problem = "not an ELF file"
      return
    }
    unsafe dwfl_report_end(dwfl, nil, nil)
    unsafe self.module = unsafe module
    unsafe readSegments(module)
    unsafe readBuildID(module)
    unsafe readSymbols(module)
  }

  deinit {
    unsafe dwfl_end(dwfl)
    unsafe callbacks.deallocate()
  }

  private func readSegments(_ module: OpaquePointer) {
    var bias: GElf_Addr = 0
    guard let elf = unsafe dwfl_module_getelf(module, &bias) else { return }
    var count = 0
    guard unsafe elf_getphdrnum(elf, &count) == 0 else { return }
    for index in 0..<min(count, 4096) {
      var header = GElf_Phdr()
      guard unsafe gelf_getphdr(elf, Int32(index), &header) != nil, header.p_type == PT_LOAD else { continue }
      segments.append(Segment(offset: header.p_offset, fileSize: header.p_filesz, address: header.p_vaddr))
    }
  }

  private func readBuildID(_ module: OpaquePointer) {
    var bits: UnsafePointer<UInt8>?
    var address: GElf_Addr = 0
    let count = unsafe dwfl_module_build_id(module, &bits, &address)
    guard count > 0, count <= 64, let bits = unsafe bits else { return }
    buildID = unsafe Array(UnsafeBufferPointer(start: bits, count: Int(count)))
  }

  private func readSymbols(_ module: OpaquePointer) {
    let count = unsafe dwfl_module_getsymtab(module)
    guard count > 0 else {
      problem = "no symbols"
      return
    }
    symbols.reserveCapacity(Int(min(count, 1 << 16)))
    for index in 1..<max(1, min(count, Int32(Self.symbolLimit))) {
      var symbol = GElf_Sym()
      var address: GElf_Addr = 0
      guard let name = unsafe dwfl_module_getsym_info(module, index, &symbol, &address, nil, nil, nil), unsafe name.pointee != 0,
        symbol.st_shndx != SHN_UNDEF
      else { continue }
      let type = symbol.st_info & 0xf
      guard type == STT_FUNC || type == STT_GNU_IFUNC else { continue }
      let binding = symbol.st_info >> 4
      let rank: UInt8 = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2
      unsafe symbols.append(Symbol(address: address, size: symbol.st_size, name: name, rank: rank))
    }
    symbols.sort(by: Self.isBefore)
    if symbols.isEmpty { problem = "no symbols" }
  }

  /// By address; of several names for one address the one that people know comes first.
  private static func isBefore(_ left: Symbol, _ right: Symbol) -> Bool {
    if left.address != right.address { return left.address < right.address }
    // `getcwd`, a weak name, before `__GI___getcwd`.
    let underscores = unsafe (strspn(left.name, "_"), strspn(right.name, "_"))
    if underscores.0 != underscores.1 { return underscores.0 < underscores.1 }
    if left.rank != right.rank { return left.rank < right.rank }
    let lengths = unsafe (strlen(left.name), strlen(right.name))
    return lengths.0 != lengths.1 ? lengths.0 < lengths.1 : unsafe strcmp(left.name, right.name) < 0
  }

  /// The number of functions.
  package var count: Int { symbols.count }

  /// The address that the file's headers give to a byte of it; nil outside every loaded segment.
  package func address(of offset: FileOffset) -> UInt64? {
    for segment in segments where offset.rawValue >= segment.offset && offset.rawValue - segment.offset < segment.fileSize {
      return segment.address &+ (offset.rawValue - segment.offset)
    }
    return nil
  }

  /// The function that covers an address of the file.
  package func match(_ address: UInt64) -> Match? {
    var low = 0
    var high = symbols.count
    while low < high {
      let middle = (low + high) / 2
      if symbols[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return nil }
    var index = low - 1
    // Back to the best name of this address; and past functions that end before it, inside one that does not.
    var steps = 0
    while true {
      let symbol = symbols[index]
      // A size of 0 (assembly) reaches up to the next symbol.
      if symbol.size == 0 || address - symbol.address < symbol.size {
        while index > 0, symbols[index - 1].address == symbol.address { index -= 1 }
        let best = symbols[index]
        return Match(name: unsafe Self.name(best.name), offset: address - best.address)
      }
      steps += 1
      guard index > 0, steps < 16 else { return nil }
      index -= 1
    }
  }

  /// The functions at an address of the file with their source positions, innermost first; the last is the function itself, and only it
  /// is there, without a name, where just the line is known. Empty without debug information.
  package func calls(at address: UInt64) -> [SourceCall] {
    guard let (index, bias) = debugCalls() else { return [] }
    let calls = index.calls(at: address &- bias)
    guard calls.isEmpty else { return calls }
    let (file, line) = index.line(at: address &- bias)
    return line == 0 ? [] : [SourceCall(name: nil, file: file, line: line, isInlined: false)]
  }

  /// Whether the file or its debug file has DWARF.
  package var hasDebugInformation: Bool { debugCalls() != nil }

  private func debugCalls() -> (index: CallIndex, bias: UInt64)? {
    if let callIndex { return callIndex }
    var found: (index: CallIndex, bias: UInt64)?
    var bias: Dwarf_Addr = 0
    if let module = unsafe module, let dwarf = unsafe dwfl_module_getdwarf(module, &bias) {
      let index = unsafe CallIndex(dwarf)
      if !index.isEmpty { found = (index, bias) }
    }
    callIndex = .some(found)
    return found
  }

  /// Names are cut at their version and at 4 KB: longer ones are of no use to people.
  private static func name(_ pointer: UnsafePointer<CChar>) -> String {
    let length = unsafe strnlen(pointer, 4096)
    let bytes = unsafe UnsafeRawBufferPointer(start: pointer, count: length)
    let name = unsafe String(decoding: bytes, as: UTF8.self)
    guard !name.hasPrefix("@"), let at = name.firstIndex(of: "@") else { return name }
    return String(name[..<at])
  }
}

/// Keeps libdw from asking servers for debug files: it does so by itself when the environment names some.
package func disableDebugInformationServers() { unsafe unsetenv("DEBUGINFOD_URLS") }
