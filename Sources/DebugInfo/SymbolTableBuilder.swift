internal import Clibdw
internal import Clibelf

/// One symbol as a file has it, of those that name code.
struct RawSymbol {
  var address: UInt64
  /// The end by its own size, or the section's end where it has none.
  var end: UInt64
  /// In the string table.
  var name: UInt32
  /// Of the name, which is read once, in the order of the file: at random, all of a large string table would be in memory.
  var length: UInt16
  var underscores: UInt8
  /// The table, whether it has a size, whether it is a function, and its binding: 24 bytes a symbol count where there are 300,000.
  private var properties: UInt8

  init(address: UInt64, end: UInt64, name: UInt32, shape: (length: Int, underscores: Int), isSized: Bool, isFunction: Bool, binding: UInt8)
  {
    (self.address, self.end, self.name) = (address, end, name)
    (length, underscores) = (UInt16(clamping: shape.length), UInt8(clamping: shape.underscores))
    properties = binding << 4 | (isFunction ? 8 : 0) | (isSized ? 4 : 0)
  }

  /// Of at most four.
  var table: UInt8 {
    get { properties & 3 }
    set { properties = properties & ~3 | newValue & 3 }
  }
  var isSized: Bool { properties & 4 != 0 }
  var isFunction: Bool { properties & 8 != 0 }
  var binding: UInt8 { properties >> 4 }
}

extension ELFFile {
  /// Visits the symbols of one table that name code in this file; false when there is no such table.
  ///
  /// Data, undefined and absolute symbols are left out, and of the typeless all but those in executable sections.
  func forEachCodeSymbol(_ type: Int32, bias: UInt64, _ body: (RawSymbol, StringTable) -> Void) throws(ELFError) -> Bool {
    // The first executable address that is not in the section any more, by section number; 0 for the others.
    var codeEnds: [UInt64] = []
    unsafe forEachSection { _, section, _ in
      let (end, overflows) = section.address.addingReportingOverflow(section.size)
      codeEnds.append(section.flags & UInt64(SHF_EXECINSTR) != 0 && !overflows ? end : 0)
    }
    return try forEachSymbol(type) { symbol, strings in
      let kind = Int32(symbol.st_info & 0xF)
      let isFunction = kind == STT_FUNC || kind == STT_GNU_IFUNC
      guard isFunction || kind == STT_NOTYPE else { return }
      let number = Int(symbol.st_shndx)
      let codeEnd = number < codeEnds.count ? codeEnds[number] : 0
      if !isFunction && codeEnd == 0 { return }
      let (end, overflows) = symbol.st_value.addingReportingOverflow(symbol.st_size)
      if overflows { return }
      body(
        RawSymbol(
          address: symbol.st_value &+ bias, end: (symbol.st_size > 0 ? end : max(codeEnd, symbol.st_value)) &+ bias, name: symbol.st_name,
          shape: strings.shape(at: Int(symbol.st_name)), isSized: symbol.st_size > 0, isFunction: isFunction, binding: symbol.st_info >> 4),
        strings)
    }
  }

  /// Visits the symbols of one table that have a name and lie in this file; false when there is no such table.
  func forEachSymbol(_ type: Int32, _ body: (GElf_Sym, StringTable) -> Void) throws(ELFError) -> Bool {
    var table: (section: Section, pointer: OpaquePointer)?
    unsafe forEachSection { _, section, pointer in
      if unsafe table == nil, section.type == UInt32(type) { unsafe table = (section, pointer) }
    }
    guard let (section, pointer) = unsafe table else { return false }
    let count = count(ofSymbolsIn: section)
    guard count <= UInt64(SymbolTable.maximumSymbols) else {
      throw ELFError(name, .tooMany("symbols", count: count, limit: UInt64(SymbolTable.maximumSymbols)))
    }
    guard let part = unsafe part(section, pointer), let strings = try stringTable(section.link) else { return false }
    let size = unsafe gelf_getclass(handle) == ELFCLASS64 ? 24 : 16
    let isForeign = !hasHostByteOrder
    for index in 0..<min(Int(count), part.bytes.count / size) {
      if index % Self.symbolsInMemory == 0 { part.load(index * size..<(index + Self.symbolsInMemory) * size, keepingOthers: false) }
      var cursor = part.bytes.cursor(at: UInt64(index * size))
      let symbol = GElf_Sym(&cursor, isWide: size == 24, isForeign: isForeign)
      guard symbol.st_name != 0, symbol.st_name < UInt32(clamping: strings.count) else { continue }
      let number = Int(symbol.st_shndx)
      // Numbers from SHN_LORESERVE on are no sections, but SHN_XINDEX means one with a large number.
      guard number != SHN_UNDEF, number < SHN_LORESERVE || number == SHN_XINDEX else { continue }
      body(symbol, strings)
      // Names follow each other as their symbols do.
      if index % Self.symbolsAtOnce == 0 { strings.discard() }
    }
    // Addresses and sizes are in the index now.
    part.discard()
    strings.discard()
    return true
  }

  /// After so many, what was read of their names is given up: some megabytes.
  private static let symbolsAtOnce = 1 << 15
  /// So many are read at once where they have to be copied.
  private static let symbolsInMemory = 1 << 12

  /// How many symbols a table can have, as its size says; not more than a reader takes.
  func countSymbols(_ type: Int32) -> Int {
    var count: UInt64 = 0
    unsafe forEachSection { _, section, _ in if count == 0, section.type == UInt32(type) { count = self.count(ofSymbolsIn: section) } }
    return Int(min(count, UInt64(SymbolTable.maximumSymbols)))
  }

  private func count(ofSymbolsIn section: Section) -> UInt64 {
    unsafe section.size / max(1, UInt64(gelf_fsize(handle, ELF_T_SYM, 1, UInt32(EV_CURRENT))))
  }

  private func stringTable(_ number: Int) throws(ELFError) -> StringTable? {
    var header = GElf_Shdr()
    guard let section = unsafe elf_getscn(handle, number), unsafe gelf_getshdr(section, &header) != nil,
      header.sh_type == UInt32(SHT_STRTAB)
    else { return nil }
    let limit = UInt64(SymbolTable.NameID.maximumStrings)
    guard header.sh_size < limit else { throw ELFError(name, .tooLarge(bytes: header.sh_size, limit: limit)) }
    return unsafe part(Section(header, name: ""), section).map { StringTable($0) }
  }

  /// What to add to a debug file's addresses to get this file's: not 0 where one of them was prelinked.
  func bias(of debug: ELFFile) -> UInt64 {
    guard let own = segments.first, let other = debug.segments.first else { return 0 }
    return own.address.rawValue &- other.address.rawValue
  }
}

extension GElf_Sym {
  /// Reads a symbol as a file has it (System V ABI, Symbol Table).
  fileprivate init(_ cursor: inout Cursor, isWide: Bool, isForeign: Bool) {
    func ordered<Number: FixedWidthInteger>(_ number: Number) -> Number { isForeign ? number.byteSwapped : number }
    self.init()
    st_name = ordered(cursor.u32())
    if !isWide { (st_value, st_size) = (UInt64(ordered(cursor.u32())), UInt64(ordered(cursor.u32()))) }
    (st_info, st_other) = (cursor.u8(), cursor.u8())
    st_shndx = ordered(cursor.u16())
    if isWide { (st_value, st_size) = (ordered(cursor.u64()), ordered(cursor.u64())) }
  }
}

/// Collects symbols, then makes the sorted ranges of a `SymbolTable`.
struct SymbolTableBuilder {
  private(set) var strings: [StringTable] = []
  private var symbols: [RawSymbol] = []

  /// Adds one file's table; false when it has none or none of its symbols is a function.
  mutating func add(_ file: ELFFile, section: Int32, bias: UInt64) throws(ELFError) -> Bool {
    let before = symbols.count
    let table = strings.count
    guard table < 4 else { return false }
    var found: StringTable?
    var symbols = self.symbols
    self.symbols = []
    defer { self.symbols = symbols }
    _ = try file.forEachCodeSymbol(section, bias: bias) { symbol, strings in
      if found == nil {
        found = strings
        symbols.reserveCapacity(symbols.count + file.countSymbols(section))
      }
      var symbol = symbol
      symbol.table = UInt8(table)
      symbols.append(symbol)
    }
    guard let found, symbols.count > before else { return false }
    guard symbols.count <= SymbolTable.maximumSymbols else {
      throw ELFError(file.name, .tooMany("symbols", count: UInt64(symbols.count), limit: UInt64(SymbolTable.maximumSymbols)))
    }
    strings.append(found)
    return true
  }

  /// Sorted starts, and the length and name of each.
  ///
  /// Where a function lies inside another, the outer one continues behind it; where a symbol has no size it lasts until the next.
  mutating func build() -> (starts: [UInt64], lengths: [UInt32], names: [SymbolTable.NameID]) {
    let order = sortedOrder()
    var starts: [UInt64] = []
    var lengths: [UInt32] = []
    var names: [SymbolTable.NameID] = []
    starts.reserveCapacity(order.count)
    lengths.reserveCapacity(order.count)
    names.reserveCapacity(order.count)
    func emit(_ start: UInt64, _ end: UInt64, _ name: SymbolTable.NameID) {
      guard start < end else { return }
      starts.append(start)
      lengths.append(UInt32(clamping: end - start))
      names.append(name)
    }
    var open: [(end: UInt64, name: SymbolTable.NameID)] = []
    func close(before address: UInt64) {
      while let ended = open.last, ended.end <= address {
        open.removeLast()
        while let outer = open.last, outer.end <= ended.end { open.removeLast() }
        // Another function that starts just there takes over by itself.
        if let outer = open.last, ended.end < address { emit(ended.end, outer.end, outer.name) }
      }
    }
    var position = 0
    while position < order.count {
      let address = symbols[Int(order[position])].address
      var best = symbols[Int(order[position])]
      var end = best.isSized ? best.end : address
      position += 1
      while position < order.count, symbols[Int(order[position])].address == address {
        let other = symbols[Int(order[position])]
        if other.isSized { end = max(end, other.end) }
        if isBetter(other, than: best) { best = other }
        position += 1
      }
      close(before: address)
      let name = SymbolTable.NameID(table: Int(best.table), offset: Int(best.name))
      if best.isSized {
        emit(address, end, name)
        open.append((end, name))
      } else if let outer = open.last {
        // A label inside a function is no function; what ended just here leaves the place to the outer one.
        emit(address, outer.end, outer.name)
      } else {
        let next = position < order.count ? symbols[Int(order[position])].address : .max
        emit(address, min(best.end, next), name)
      }
    }
    close(before: .max)
    symbols = []
    return (starts, lengths, names)
  }

  /// Which of two symbols at one address people expect to read.
  ///
  /// What has a size and is exported is better; then fewer leading underscores (`puts`, not `_IO_puts`), then strong before weak, then
  /// shorter. Underscores come before strength, because libc and the vDSO have their public names as weak aliases of private ones.
  private func isBetter(_ left: RawSymbol, than right: RawSymbol) -> Bool {
    if left.isSized != right.isSized { return left.isSized }
    if left.isFunction != right.isFunction { return left.isFunction }
    let isLocal = (left: left.binding == UInt8(STB_LOCAL), right: right.binding == UInt8(STB_LOCAL))
    if isLocal.left != isLocal.right { return isLocal.right }
    if left.underscores != right.underscores { return left.underscores < right.underscores }
    if left.binding != right.binding { return left.binding < right.binding }
    if left.length != right.length { return left.length < right.length }
    return (left.table, left.name) < (right.table, right.name)
  }

  /// The symbols' indices by address, in linear time: comparing costs more than all the rest of the index.
  ///
  /// A radix sort of `(address − lowest) << 23 | index`, 11 bits of the address a pass.
  private func sortedOrder() -> [UInt32] {
    guard let lowest = symbols.lazy.map(\.address).min() else { return [] }
    var span: UInt64 = 0
    for symbol in symbols { span |= symbol.address - lowest }
    let indexBits: UInt64 = 23
    precondition(SymbolTable.maximumSymbols <= 1 << indexBits)
    guard span >> (64 - indexBits) == 0 else {
      // Addresses all over the 64 bits: a hostile file, or a strange one.
      return symbols.indices.sorted { (symbols[$0].address, $0) < (symbols[$1].address, $1) }.map { UInt32($0) }
    }
    var keys = symbols.indices.map { (symbols[$0].address - lowest) << indexBits | UInt64($0) }
    var sorted = [UInt64](repeating: 0, count: keys.count)
    var shift = indexBits
    while shift < 64 && span >> (shift - indexBits) != 0 {
      var places = [Int](repeating: 0, count: 2049)
      for key in keys { places[Int(key >> shift & 2047) + 1] += 1 }
      for digit in 1...2048 { places[digit] += places[digit - 1] }
      for key in keys {
        let digit = Int(key >> shift & 2047)
        sorted[places[digit]] = key
        places[digit] += 1
      }
      swap(&keys, &sorted)
      shift += 11
    }
    return keys.map { UInt32($0 & (1 << indexBits - 1)) }
  }
}
