internal import ArgumentParser
internal import Formats
internal import Linux

/// A length of time as people write it: `500ms`, `10s`, `2m`, `1h`, or plain seconds.
package struct TimeSpan: ExpressibleByArgument, Codable, Sendable, CustomStringConvertible {
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  package init?(argument: String) {
    let units: [(String, UInt64)] = [
      ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
      ("", 1_000_000_000),
    ]
    guard let (suffix, unit) = units.first(where: { argument.hasSuffix($0.0) }),
      let number = Double(argument.dropLast(suffix.count)), number.isFinite, number > 0,
      number * Double(unit) < 3.2e17, argument.first.map({ $0.isNumber || $0 == "." }) == true,
      // Hexadecimal numbers are none that people write times in.
      !argument.contains("x")
    else { return nil }
    nanoseconds = UInt64((number * Double(unit)).rounded())
    guard nanoseconds > 0 else { return nil }
  }

  package var description: String {
    nanoseconds % 1_000_000_000 == 0 ? "\(nanoseconds / 1_000_000_000)s" : "\(Double(nanoseconds) / 1_000_000)ms"
  }
}

/// Process ids separated by commas.
package struct ProcessList: ExpressibleByArgument, Codable, Sendable {
  package var ids: [UInt32]

  package init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { UInt32($0) }
    guard parts.allSatisfy({ $0 != nil && $0 != 0 }) else { return nil }
    ids = parts.compactMap { $0 }
  }
}

/// What a tool prints.
package enum OutputFormat: String, Sendable {
  case table, json, csv, stacks, folded, svg, html, pprof, speedscope, firefox

  /// By the ending of a file's name; nil where it says nothing.
  package init?(ending path: String) {
    let name = path.split(separator: "/").last ?? ""
    let endings: [(String, OutputFormat)] = [
      (".pb.gz", .pprof), (".speedscope.json", .speedscope), (".firefox.json", .firefox), (".txt", .table), (".ndjson", .json),
    ]
    if let known = endings.first(where: { name.hasSuffix($0.0) }) {
      self = known.1
    } else {
      guard let ending = name.split(separator: ".").dropFirst().last, let format = OutputFormat(rawValue: String(ending)) else {
        return nil
      }
      self = format
    }
  }
}

/// A command that prints in several formats.
package protocol FormattedOutput {
  /// What it can write, its default first.
  static var formats: [OutputFormat] { get }
}

/// A format that a command has; its help and its errors list no others.
package struct FormatOption<Owner: FormattedOutput>: ExpressibleByArgument, Sendable {
  package var format: OutputFormat

  package init?(argument: String) {
    guard let format = OutputFormat(rawValue: argument), Owner.formats.contains(format) else { return nil }
    self.format = format
  }

  package static var allValueStrings: [String] { Owner.formats.map(\.rawValue) }
}

extension RowWriter.Format {
  init(_ format: OutputFormat) { self = format == .json ? .json : format == .csv ? .csv : .table }
}
