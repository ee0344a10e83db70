internal import CUnwind
internal import Clibdw
internal import Clibelf
internal import Linux

/// How to unwind from each instruction of one ELF file, x86-64.
///
/// Made of `.eh_frame`; of `.debug_frame` and, in Swift, of the instructions themselves where that says nothing. Immutable; found by
/// binary search.
package struct UnwindTable: Sendable {
  /// Where a rule begins to hold; it does so until the next row.
  package struct Row: Hashable, Sendable {
    package var start: ELFAddress
    package var rule: UnwindRule

    package static func == (left: Row, right: Row) -> Bool { left.start == right.start && left.rule.bits == right.rule.bits }
    package func hash(into hasher: inout Hasher) { hasher.combine(start) }
  }

  /// Why a file has no table.
  package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is for another kind of processor, or of 32 bits.
    case otherArchitecture
    /// It has no code.
    case noCode
    /// It has more code than the table can stand for.
    case tooLarge

    package var description: String {
      switch self {
      case .otherArchitecture: "is not for x86-64, the only processor whose stacks are unwound by rows"
      case .noCode: "has no code; name the program or library itself, not its debug file or one of its objects"
      case .tooLarge: "has more than \(UnwindTable.maximumCode >> 20) MiB of code; its stacks are unwound by frame pointers"
      }
    }
  }

  /// The largest span of code: of Chromium it is 250 MB.
  package static let maximumCode: UInt64 = 1 << 30
  /// The largest section of records: that of the Swift compiler has 10 MB.
  static let maximumRecords: UInt64 = 256 << 20
  /// The most rows: a large compiler has 2.3 million.
  package static let maximumRows = 16 << 20

  /// The executable segments' addresses, from the first page to the last.
  package let code: Range<UInt64>
  /// Functions that had rules.
  package let functions: Int
  /// Different rules, by the numbers in the rows. The first is for what has none.
  package let rules: [UnwindRule]
  /// From the beginning of `code`, ascending.
  package let starts: [UInt32]
  /// Of the rules that begin there.
  package let numbers: [UInt16]
  /// Where the Swift runtime in this file keeps the task that a thread runs.
  package let tasks: SwiftTasks?

  /// - Throws: `Failure`.
  package init(_ file: ELFFile, debug: ELFFile? = nil) throws(Failure) { try self.init(file, debug: debug, rowsAtOnce: 1 << 16) }

  /// - Parameter rowsAtOnce: after so many, what was read for them is given up.
  init(_ file: ELFFile, debug: ELFFile? = nil, rowsAtOnce: Int) throws(Failure) {
    guard file.isForX8664 else { throw .otherArchitecture }
    let executable = file.segments.filter { $0.isExecutable && $0.memorySize > 0 }
    guard let low = executable.map(\.address.rawValue).min(), let high = executable.map(\.end).max(), low < high else { throw .noCode }
    guard high - low < Self.maximumCode, high <= .max - 0xfff else { throw .tooLarge }
    code = low & ~0xfff..<(high + 0xfff) & ~0xfff
    // Where it was prelinked, its addresses are others.
    let debug = debug.flatMap { file.bias(of: $0) == 0 ? $0 : nil }
    let frames = file.callFrames(".eh_frame") ?? debug?.callFrames(".eh_frame")
    let debugFrames = file.callFrames(".debug_frame") ?? debug?.callFrames(".debug_frame")
    functions = (frames?.functions.count ?? 0) + (debugFrames?.functions.count ?? 0)
    let bytes = SegmentBytes(file)
    let swift = SwiftFunctions(file, bytes, debug: debug)
    var builder = UnwindTableBuilder(code: code, entry: file.entry, rowsAtOnce: rowsAtOnce)
    builder.build(frames, debugFrames, swift, bytes)
    tasks = swift?.taskGetter.flatMap { getter in
      SwiftTasks(bytes.bytes(from: getter.lowerBound, to: getter.upperBound), at: getter.lowerBound, size: swift?.taskSize)
    }
    (rules, starts, numbers) = (builder.rules, builder.starts, builder.numbers)
    file.discardAll()
  }

  package var count: Int { starts.count }

  package subscript(index: Int) -> Row {
    Row(start: ELFAddress(code.lowerBound + UInt64(starts[index])), rule: rules[Int(numbers[index])])
  }

  /// What holds at an address.
  package func rule(at address: ELFAddress) -> UnwindRule {
    guard code.contains(address.rawValue), let index = row(at: address) else { return .gap }
    return rules[Int(numbers[index])]
  }

  /// The last row that begins at or before an address of the code.
  package func row(at address: ELFAddress) -> Int? {
    let wanted = address.rawValue &- code.lowerBound
    var (low, high) = (0, starts.count)
    while low < high {
      let middle = (low + high) / 2
      if UInt64(starts[middle]) <= wanted { low = middle + 1 } else { high = middle }
    }
    return low > 0 ? low - 1 : nil
  }
}

extension ELFFile.Segment {
  fileprivate var end: UInt64 { address.rawValue.addingReportingOverflow(memorySize).overflow ? .max : address.rawValue + memorySize }
}

extension ELFFile {
  /// Whether it is a program or library for x86-64.
  package var isForX8664: Bool {
    var header = GElf_Ehdr()
    guard unsafe gelf_getehdr(handle, &header) != nil, hasHostByteOrder else { return false }
    return unsafe gelf_getclass(handle) == ELFCLASS64 && Int32(header.e_machine) == EM_X86_64
  }

  /// Where the kernel begins to run it; 0 for nowhere.
  var entry: UInt64 {
    var header = GElf_Ehdr()
    return unsafe gelf_getehdr(handle, &header) != nil ? header.e_entry : 0
  }

  /// The records in a section; nil when there are none.
  func callFrames(_ name: String) -> CallFrames? {
    var found: CallFrames?
    unsafe forEachSection { _, section, pointer in
      guard found == nil, section.name == name, section.type != UInt32(SHT_NOBITS), section.size > 0,
        section.size <= UnwindTable.maximumRecords, identity.map({ section.size <= $0.size }) ?? true
      else { return }
      var part: FilePart?
      if section.flags & UInt64(SHF_COMPRESSED) != 0 {
        // In memory from now on, of whatever file.
        guard name.hasPrefix(".debug_"), decompressesWithinLimit, unsafe decompress(pointer),
          let data = unsafe elf_rawdata(pointer, nil), let start = unsafe data.pointee.d_buf
        else { return }
        part = unsafe FilePart(self, UnsafeRawBufferPointer(start: start, count: data.pointee.d_size))
      } else {
        part = unsafe self.part(section, pointer)
      }
      found = part.map { CallFrames($0, address: section.address, isDebugFrame: name == ".debug_frame") }
    }
    return found.flatMap { $0.functions.isEmpty ? nil : $0 }
  }
}
