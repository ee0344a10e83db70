/// Rows as text: aligned columns, JSON lines, or CSV (RFC 4180).
///
/// Not generic over the row: it asks for cells by their column's number, so that its code is compiled once and fast.
package struct RowWriter: Sendable {
  package enum Format: Sendable { case table, json, csv }

  package let format: Format
  private let columns: [ColumnLayout]
  /// The numbers of the columns that this format has.
  private let shown: [Int]
  /// `{"type":"event"` and, for each column, `,"key":`.
  private let prefix: [UInt8]
  private let keys: [[UInt8]]
  /// Turns nanoseconds since 1970 into the local `(hour, minute, second)`; passed in, as this module knows no operating system.
  private let localTime: @Sendable (Int64) -> (Int, Int, Int)

  /// - Parameter kind: the value of `type` in JSON.
  package init(
    _ format: Format, columns: [ColumnLayout], kind: String = "event",
    localTime: @escaping @Sendable (Int64) -> (Int, Int, Int) = { ns in
      let seconds = Int(ns / 1_000_000_000 % 86_400)
      return (seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
  ) {
    self.format = format
    self.columns = columns
    shown = columns.indices.filter { format == .table ? columns[$0].isInTable : columns[$0].isInRecords }
    prefix = Array("{\"type\":\"\(kind)\"".utf8)
    keys = columns.map { Array(",\"\($0.key)\":".utf8) }
    self.localTime = localTime
  }

  /// The heading line; none in JSON.
  package func writeHeader(into out: inout [UInt8]) {
    switch format {
    case .json: return
    case .csv: out.append(contentsOf: shown.map { columns[$0].key }.joined(separator: ",").utf8)
    case .table:
      for index in shown {
        let start = out.count
        out.append(contentsOf: columns[index].title.utf8)
        pad(&out, from: start, index)
      }
    }
    out.append(0x0a)
  }

  /// One row with its line end.
  ///
  /// - Parameter cell: the value of the column with that number.
  package func write(into out: inout [UInt8], _ cell: (Int) -> Cell) {
    switch format {
    case .table: writeTable(cell, &out)
    case .csv: writeCSV(cell, &out)
    case .json: writeJSON(cell, &out)
    }
    out.append(0x0a)
  }

  private func writeTable(_ cell: (Int) -> Cell, _ out: inout [UInt8]) {
    for index in shown {
      let start = out.count
      switch cell(index) {
      case .none: break
      case .integer(let value): append(value, columns[index].style, &out)
      case .unsigned(let value): append(value, columns[index].style, &out)
      case .text(let text): out.append(escaped: text)
      case .texts(let texts):
        for (index, text) in texts.enumerated() {
          if index > 0 { out.append(0x20) }
          out.append(escaped: text)
        }
      case .flag(let value): out.append(contentsOf: (value ? "yes" : "no").utf8)
      }
      pad(&out, from: start, index)
    }
  }

  private func append(_ value: Int64, _ style: ColumnLayout.Style, _ out: inout [UInt8]) {
    switch style {
    case .plain: out.append(decimal: value)
    case .scaled(let divisor, let decimals): out.append(value, dividedBy: divisor, decimals: decimals)
    case .octal: out.append(contentsOf: "0\(String(value, radix: 8))".utf8)
    case .hexadecimal: out.append(contentsOf: "0x\(String(value, radix: 16))".utf8)
    case .clock: out.append(timeOfDay: localTime(value))
    }
  }

  private func append(_ value: UInt64, _ style: ColumnLayout.Style, _ out: inout [UInt8]) {
    switch style {
    case .plain: out.append(decimal: value)
    case .octal: out.append(contentsOf: "0\(String(value, radix: 8))".utf8)
    // The kernel's addresses have the highest bit set.
    case .hexadecimal: out.append(contentsOf: "0x\(String(value, radix: 16))".utf8)
    case .scaled, .clock: append(Int64(clamping: value), style, &out)
    }
  }

  /// Fills a cell up to its width and adds the gap to the next; nothing follows the last one.
  private func pad(_ out: inout [UInt8], from start: Int, _ index: Int) {
    var length = 0
    for position in start..<out.count where out[position] & 0xc0 != 0x80 { length += 1 }
    let missing = max(0, columns[index].width - length)
    let isLeft = columns[index].alignment == .left
    if !isLeft, missing > 0 { out.insert(contentsOf: repeatElement(0x20, count: missing), at: start) }
    guard index != shown[shown.count - 1] else { return }
    for _ in 0..<(isLeft ? missing : 0) + 1 { out.append(0x20) }
  }

  private func writeCSV(_ cell: (Int) -> Cell, _ out: inout [UInt8]) {
    for index in shown {
      if index != shown[0] { out.append(0x2c) }
      switch cell(index) {
      case .none: break
      case .integer(let value): out.append(decimal: value)
      case .unsigned(let value): out.append(decimal: value)
      case .flag(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
      case .text(let text): out.append(csv: text.bytes)
      case .texts(let texts): out.append(csv: Array(texts.map(\.bytes).joined(separator: [0x20])))
      }
    }
  }

  private func writeJSON(_ cell: (Int) -> Cell, _ out: inout [UInt8]) {
    out.append(contentsOf: prefix)
    for index in shown {
      out.append(contentsOf: keys[index])
      out.append(json: cell(index))
    }
    out.append(0x7d)
  }
}

extension [UInt8] {
  /// Appends a CSV field; quoted when it has a separator, quote or space at its ends. Escaped like a table cell first, so a line stays
  /// a line.
  package mutating func append(csv bytes: [UInt8]) {
    var field: [UInt8] = []
    field.append(escaped: bytes)
    guard field.contains(where: { $0 == 0x2c || $0 == 0x22 }) || field.first == 0x20 || field.last == 0x20 else {
      return append(contentsOf: field)
    }
    append(0x22)
    for byte in field {
      if byte == 0x22 { append(0x22) }
      append(byte)
    }
    append(0x22)
  }

  /// Appends a JSON value (RFC 8259).
  package mutating func append(json cell: Cell) {
    switch cell {
    case .none: append(contentsOf: "null".utf8)
    case .integer(let value): append(decimal: value)
    case .unsigned(let value): append(decimal: value)
    case .flag(let value): append(contentsOf: (value ? "true" : "false").utf8)
    case .text(let text): append(jsonString: text.bytes)
    case .texts(let texts):
      append(0x5b)
      for (index, text) in texts.enumerated() {
        if index > 0 { append(0x2c) }
        append(jsonString: text.bytes)
      }
      append(0x5d)
    }
  }

  /// Appends a JSON string. Bytes that are not UTF-8 become the four characters `\xHH`.
  package mutating func append(jsonString bytes: [UInt8]) {
    append(0x22)
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      switch byte {
      case 0x22, 0x5c: append(contentsOf: [0x5c, byte])
      case 0x0a: append(contentsOf: "\\n".utf8)
      case 0x09: append(contentsOf: "\\t".utf8)
      case 0x0d: append(contentsOf: "\\r".utf8)
      case 0x20..<0x7f: append(byte)
      case 0x00..<0x20, 0x7f:
        append(contentsOf: "\\u00".utf8)
        append(contentsOf: [hexDigit(byte >> 4), hexDigit(byte & 15)])
      default:
        let length = UTF8Sequence.length(in: bytes, at: index)
        if length > 1, UTF8Sequence.isControl(bytes, at: index) {
          // All of these are in the first plane.
          for unit in String(decoding: bytes[index..<index + length], as: UTF8.self).utf16 {
            append(contentsOf: [0x5c, 0x75] + stride(from: 12, through: 0, by: -4).map { hexDigit(UInt8(unit >> $0 & 15)) })
          }
          index += length - 1
        } else if length > 1 {
          append(contentsOf: bytes[index..<index + length])
          index += length - 1
        } else {
          append(0x5c)
          append(hexEscaped: byte)
        }
      }
      index += 1
    }
    append(0x22)
  }
}
