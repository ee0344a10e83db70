/// The units of a file, in the order of their places.
final class UnitList {
  let file: DwarfFile
  let headers: [DwarfUnit.Header]
  private var units: [Int: DwarfUnit] = [:]

  private static let limit = 1 << 20

  init(_ file: DwarfFile) {
    self.file = file
    var headers: [DwarfUnit.Header] = []
    var offset: UInt64 = 0
    while headers.count < Self.limit, let header = DwarfUnit.Header(file.info, at: offset) {
      headers.append(header)
      offset = header.end
    }
    self.headers = headers
  }

  /// A unit, read when it is first asked for; nil for those that cannot be used.
  subscript(_ index: Int) -> DwarfUnit? {
    if let known = units[index] { return known }
    guard headers[index].isUsable else { return nil }
    let unit = DwarfUnit(file, headers[index])
    units[index] = unit
    return unit
  }

  /// Gives up what is read again when it is needed; units stay the same.
  func settle() {
    for unit in units.values { unit.settle() }
    file.settle()
  }

  /// Bytes of memory, about.
  var memoryUse: Int { headers.count * 64 + units.count * 300 }

  /// The unit that an entry is in.
  func unit(containing offset: UInt64) -> DwarfUnit? {
    var (low, high) = (0, headers.count)
    while low < high {
      let middle = (low + high) / 2
      if headers[middle].offset <= offset { low = middle + 1 } else { high = middle }
    }
    guard low > 0, offset < headers[low - 1].end else { return nil }
    return self[low - 1]
  }
}
