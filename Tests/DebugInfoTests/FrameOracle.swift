import TestSupport

/// What binutils reads from the call frame records of a file.
struct FrameOracle {
  struct Row {
    var address: UInt64
    /// By column, as printed: `rsp+16`, `c-16`, `u`, `exp`.
    var columns: [String: String]

    func text(_ column: String) -> String { columns[column] ?? "u" }
  }

  struct Function {
    var start: UInt64
    var end: UInt64
    var isSignalFrame: Bool
    /// What holds at its beginning by its CIE.
    var initial: Row
    /// None where nothing changes after the beginning, or where it has no instructions.
    var rows: [Row] = []
    /// Of those without rows only.
    var instructions: [String] = []
  }

  private(set) var functions: [Function] = []

  /// - Parameter section: of those that the file has.
  init(_ path: String, section: String = ".eh_frame") throws {
    var commons: [Substring: (row: Row, isSignalFrame: Bool)] = [:]
    var columns: [Substring] = []
    /// The CIE that rows belong to; else they do to the last function.
    var common: Substring?
    for (record, fields) in try Self.lines(path, section, "frames-interp") {
      switch record {
      case .common:
        common = fields[0]
        commons[fields[0]] = (Row(address: 0, columns: [:]), fields[4].contains("S"))
      case .function:
        common = nil
        let (range, cie) = (fields[5].dropFirst(3).split(separator: "."), fields[4].dropFirst(4))
        guard let start = UInt64(range[0], radix: 16), let end = UInt64(range[1], radix: 16), let known = commons[cie] else {
          throw RunError("\(fields)")
        }
        functions.append(Function(start: start, end: end, isSignalFrame: known.isSignalFrame, initial: known.row))
      case .other where fields[0] == "LOC": columns = Array(fields.dropFirst())
      case .other:
        guard let address = UInt64(fields[0], radix: 16), fields.count == columns.count + 1 else { continue }
        let row = Row(
          address: address,
          columns: Dictionary(uniqueKeysWithValues: zip(columns.map { String($0) }, fields.dropFirst().map { String($0) })))
        if let common { commons[common]?.row = row } else { functions[functions.count - 1].rows.append(row) }
      }
    }
    guard functions.contains(where: \.rows.isEmpty) else { return }
    var index = -1
    var isInFunction = false
    for (record, fields) in try Self.lines(path, section, "frames") {
      if record != .other { isInFunction = record == .function }
      if record == .function { index += 1 }
      if record == .other, isInFunction, functions[index].rows.isEmpty, fields[0].hasPrefix("DW_CFA"), fields[0] != "DW_CFA_nop" {
        functions[index].instructions.append(fields.joined(separator: " "))
      }
    }
    // Those that the linker left out.
    functions.removeAll { $0.start == 0 || $0.start == $0.end }
  }

  private enum Record { case common, function, other }

  /// The fields of each line that is not empty, from a section's heading on to the next.
  private static func lines(_ path: String, _ section: String, _ kind: String) throws -> [(Record, [Substring])] {
    let finished = try run(["readelf", "-W", "--debug-dump=no-follow-links,\(kind)", path])
    guard finished.status == 0 else { throw RunError(finished.errorText) }
    var isWanted = false
    var lines: [(Record, [Substring])] = []
    for line in finished.outputText.split(separator: "\n") {
      if line.hasPrefix("Contents of the ") {
        isWanted = line.hasPrefix("Contents of the \(section) section")
      } else if isWanted {
        // Registers are `r9 (r9)`.
        let fields = line.split(separator: " ").filter { kind == "frames" || !$0.hasPrefix("(") }
        guard !fields.isEmpty else { continue }
        let record: Record = fields.count > 3 && fields[3] == "CIE" ? .common : fields.count > 5 && fields[3] == "FDE" ? .function : .other
        // A terminator in the middle.
        if fields.count == 3, fields[1] == "ZERO" { continue }
        lines.append((record, fields))
      }
    }
    return lines
  }
}
