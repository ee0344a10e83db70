/// One value of a row, before any format has touched it.
package enum Cell: Hashable, Sendable {
  /// Not known, or not applicable: empty in tables and CSV, null in JSON.
  case none
  case integer(Int64)
  case unsigned(UInt64)
  case text(Text)
  case texts([Text])
  case flag(Bool)

  package static func string(_ string: String) -> Cell { .text(Text(string)) }
}

/// How one column looks, in all formats.
package struct ColumnLayout: Sendable {
  /// How a table shows the number; JSON and CSV always have the number itself.
  package enum Style: Sendable {
    case plain
    /// Divided, with so many decimals: nanoseconds as `AGE(s)`.
    case scaled(by: UInt64, decimals: Int)
    /// Nanoseconds since 1970 as local time `HH:MM:SS`.
    case clock
    case octal
    case hexadecimal
  }
  package enum Alignment: Sendable { case left, right }

  /// The table's heading, BCC's where BCC has the column.
  package var title: String
  /// The name in JSON and CSV: snake_case with the unit.
  package var key: String
  /// Characters in a table; longer values push the line to the right. 0 for the last column.
  package var width: Int
  package var alignment: Alignment
  package var style: Style
  /// Whether tables have the column.
  package var isInTable: Bool
  /// Whether JSON and CSV have the column: all but those that another one says better to programs.
  package var isInRecords: Bool
}

/// One column, declared once for the table, CSV and JSON: how it looks, and its value in a row.
package struct Column<Row>: Sendable {
  package var layout: ColumnLayout
  package var value: @Sendable (Row) -> Cell

  package init(
    _ title: String, key: String? = nil, width: Int, alignment: ColumnLayout.Alignment = .left, style: ColumnLayout.Style = .plain,
    inTable: Bool = true, inRecords: Bool = true, value: @escaping @Sendable (Row) -> Cell
  ) {
    layout = ColumnLayout(
      title: title, key: key ?? title.lowercased(), width: width, alignment: alignment, style: style, isInTable: inTable,
      isInRecords: inRecords)
    self.value = value
  }
}
