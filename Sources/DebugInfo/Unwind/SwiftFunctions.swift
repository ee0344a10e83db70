internal import Clibdw
internal import Clibelf

/// What the symbols of a Swift program or library say of its functions.
///
/// swiftc writes no call frame records for functions that cannot fail, unless it also writes debug information; and where an async
/// function keeps its context, it never says.
struct SwiftFunctions {
  struct Function: Placed {
    let start: UInt64
    /// The length and a bit: there are tens of thousands.
    private var shape: UInt64

    init(start: UInt64, end: UInt64, isAsync: Bool) {
      self.start = start
      shape = (end &- start) << 1 | (isAsync ? 1 : 0)
    }

    var end: UInt64 { start &+ shape >> 1 }
    /// Runs with an async context: an async function, or a part of one between two places where it waits.
    var isAsync: Bool { shape & 1 != 0 }

    mutating func noteAsync() { shape |= 1 }

    func comesBefore(_ other: Self) -> Bool { end != other.end ? end > other.end : isAsync && !other.isAsync }
  }

  /// Ascending, without overlaps.
  private(set) var functions: [Function] = []
  /// `swift_task_getCurrent` of the concurrency runtime, where it is in this file, and the variable that says how large a task is.
  private(set) var taskGetter: Range<UInt64>?
  private(set) var taskSize: UInt64?

  /// A program has hundreds, or thousands.
  private static let maximumAsync = 1 << 20

  /// Nil where there is no Swift.
  ///
  /// The file decides, by the sections that every Swift object has, and not the names: swiftc also makes functions whose names look like
  /// those of C (`block_copy_helper`). What is C in the same file has records; only names of C++ are left out.
  init?(_ file: ELFFile, _ bytes: SegmentBytes, debug: ELFFile?) {
    var isSwift = false
    unsafe file.forEachSection { _, section, _ in if section.name.hasPrefix("swift5_") { isSwift = true } }
    guard isSwift else { return nil }
    // As for names: the whole table of the file, or what others know besides the dynamic linker's.
    var asyncEntries: [UInt64] = []
    func add(_ file: ELFFile, _ type: Int32, bias: UInt64 = 0) -> Bool { self.add(file, type, bias: bias, bytes, &asyncEntries) }
    if !add(file, SHT_SYMTAB) {
      if let debug {
        _ = add(debug, SHT_SYMTAB, bias: file.bias(of: debug))
      } else if let mini = file.miniDebugInfo() {
        _ = add(mini, SHT_SYMTAB)
      }
      _ = add(file, SHT_DYNSYM)
    }
    functions.sortByStart()
    asyncEntries.sort()
    var next = asyncEntries[...]
    for index in functions.indices {
      while let entry = next.first, entry < functions[index].start { next.removeFirst() }
      if next.first == functions[index].start { functions[index].noteAsync() }
    }
    var end: UInt64 = 0
    functions.removeAll { function in
      if function.start < end { return true }
      end = function.end
      return false
    }
  }

  /// Adds the functions of one table, and where async functions begin; false when it has no functions, or is damaged.
  private mutating func add(
    _ file: ELFFile, _ type: Int32, bias: UInt64, _ bytes: SegmentBytes, _ asyncEntries: inout [UInt64]
  ) -> Bool {
    let before = functions.count
    functions.reserveCapacity(before + file.countSymbols(type))
    _ = try? file.forEachSymbol(type) { symbol, strings in
      let kind = Int32(symbol.st_info & 0xf)
      let start = symbol.st_value &+ bias
      if kind == STT_OBJECT {
        strings.withWholeName(at: Int(symbol.st_name)) { name in
          if Self.isAsyncRecord(name) {
            if asyncEntries.count < Self.maximumAsync, let entry = Self.entry(ofRecordAt: start, bytes) { asyncEntries.append(entry) }
          } else if name.equals("_swift_concurrency_debug_asyncTaskSize") {
            taskSize = bytes.word(at: start)
          }
        }
      } else if kind == STT_FUNC, symbol.st_size > 0, functions.count < SymbolTable.maximumSymbols,
        case (let end, let overflows) = start.addingReportingOverflow(symbol.st_size), !overflows
      {
        strings.withWholeName(at: Int(symbol.st_name)) { name in
          guard !name.hasPrefix("_Z") else { return }
          if name.equals("swift_task_getCurrent") { taskGetter = start..<end }
          functions.append(Function(start: start, end: end, isAsync: Self.isAsyncPart(name)))
        }
      }
    }
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

  /// Whether a name is that of an async function's record: `…Tu`.
  private static func isAsyncRecord(_ name: Span<UInt8>) -> Bool {
    name.count > 3 && name[name.count - 1] == UInt8(ascii: "u") && name[name.count - 2] == UInt8(ascii: "T") && name[0] == UInt8(ascii: "$")
  }

  /// The function that a record begins with, by the distance from there (AsyncFunctionPointer in include/swift/ABI/Executor.h of Swift).
  private static func entry(ofRecordAt address: UInt64, _ bytes: SegmentBytes) -> UInt64? {
    bytes.word(at: address).map { address &+ UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: $0))) }
  }
}

extension Span<UInt8> {
  fileprivate func hasPrefix(_ text: StaticString) -> Bool {
    guard count >= text.utf8CodeUnitCount else { return false }
    for index in 0..<text.utf8CodeUnitCount where unsafe self[index] != text.utf8Start[index] { return false }
    return true
  }

  fileprivate func equals(_ text: StaticString) -> Bool { count == text.utf8CodeUnitCount && hasPrefix(text) }
}
