import Formats
import Foundation
import Testing

@Suite struct RowWriterTests {
  private struct Row: Sendable {
    var name: [UInt8]
    var age: Int64
  }

  private static let columns: [Column<Row>] = [
    Column("NAME", key: "name", width: 6) { .text(Text($0.name)) },
    Column("AGE(s)", key: "age_ns", width: 8, alignment: .right, style: .scaled(by: 1_000_000_000, decimals: 2)) { .integer($0.age) },
    Column("HIDDEN", key: "hidden", width: 1, inTable: false) { _ in .none },
    Column("LAST", key: "last", width: 0) { .texts([Text($0.name), Text("b,\"c")]) },
  ]

  private func text(_ format: RowWriter.Format, _ rows: [Row]) -> String {
    let writer = RowWriter(format, columns: Self.columns.map(\.layout))
    var out: [UInt8] = []
    writer.writeHeader(into: &out)
    for row in rows { writer.write(into: &out) { Self.columns[$0].value(row) } }
    return String(decoding: out, as: UTF8.self)
  }

  private let rows = [Row(name: Array("ab".utf8), age: 1_234_567_890), Row(name: [0x61, 0x0a, 0x1b, 0xff], age: -5_000_000)]

  @Test func tablesAreAligned() {
    #expect(
      text(.table, rows) == """
        NAME     AGE(s) LAST
        ab         1.23 ab b,"c
        a\\n\\x1b\\xff    -0.01 a\\n\\x1b\\xff b,"c

        """)
  }

  @Test func csvIsQuotedWhereNeeded() {
    #expect(
      text(.csv, rows) == """
        name,age_ns,hidden,last
        ab,1234567890,,"ab b,""c"
        a\\n\\x1b\\xff,-5000000,,"a\\n\\x1b\\xff b,""c"

        """)
  }

  @Test func jsonIsOneObjectALine() throws {
    let lines = text(.json, rows).split(separator: "\n")
    #expect(lines.first == #"{"type":"event","name":"ab","age_ns":1234567890,"hidden":null,"last":["ab","b,\"c"]}"#)
    for line in lines { _ = try JSONSerialization.jsonObject(with: Data(line.utf8)) }
  }

  /// Columns of tables only leave no gap in records, and numbers of 64 bits are whole.
  @Test func columnsOfOneFormat() {
    let columns: [Column<UInt64>] = [
      Column("A", width: 2, inRecords: false) { .unsigned($0) }, Column("B", key: "b", width: 2, style: .hexadecimal) { .unsigned($0) },
      Column("C", key: "c", width: 2) { .unsigned($0) },
    ]
    func text(_ format: RowWriter.Format) -> String {
      var out: [UInt8] = []
      let writer = RowWriter(format, columns: columns.map(\.layout), kind: "row")
      writer.writeHeader(into: &out)
      writer.write(into: &out) { columns[$0].value(.max) }
      return String(decoding: out, as: UTF8.self)
    }
    #expect(text(.csv) == "b,c\n18446744073709551615,18446744073709551615\n")
    #expect(text(.json) == #"{"type":"row","b":18446744073709551615,"c":18446744073709551615}"# + "\n")
    #expect(text(.table) == "A  B  C\n18446744073709551615 0xffffffffffffffff 18446744073709551615\n")
  }

  /// What terminals obey and what turns text around is written by number, and is the same when read.
  @Test func controlsOfUnicodeAreWrittenByNumber() throws {
    let name = "a\u{9b}31m\u{202e}b\u{7f}"
    let json = text(.json, [Row(name: Array(name.utf8), age: 0)])
    #expect(json.contains(#""a\u009b31m\u202eb\u007f""#), "\(json)")
    let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
    #expect(object?["name"] as? String == name)
  }

  /// Whatever bytes a name has, JSON parses, and no control character reaches a terminal.
  @Test func anyNameIsHarmless() throws {
    var state: UInt64 = 42
    for _ in 0..<2000 {
      var name: [UInt8] = []
      for _ in 0..<12 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        name.append(UInt8(truncatingIfNeeded: state >> 40))
      }
      let row = Row(name: name, age: 0)
      let json = text(.json, [row])
      #expect(json.utf8.count(where: { $0 < 0x20 }) == 1)
      #expect(json.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
      let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
      #expect(object?["name"] is String)
      for format in [RowWriter.Format.table, .csv] {
        let text = text(format, [row])
        #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control })
        #expect(text.split(separator: "\n").count == 2)
      }
    }
  }

  @Test(
    arguments: [
      (0, 1_000, 2, "0.00"), (999, 1_000, 0, "1"), (1_499, 1_000, 0, "1"), (Int64.max, 1, 0, "9223372036854775807"),
      (Int64.min, 1, 0, "-9223372036854775808"), (-1, 1_000, 2, "0.00"), (5, 1_000, 2, "0.01"),
      (Int64.max, 1_000_000_000, 3, "9223372036.855"),
    ] as [(Int64, UInt64, Int, String)])
  func fractionsAreRounded(_ value: Int64, _ divisor: UInt64, _ decimals: Int, _ expected: String) {
    var out: [UInt8] = []
    out.append(value, dividedBy: divisor, decimals: decimals)
    #expect(String(decoding: out, as: UTF8.self) == expected)
  }
}
