/// A metric with its samples, as Prometheus and OpenMetrics read it.
package struct MetricFamily: Sendable {
  package enum Kind: String, Sendable {
    /// Only grows.
    case counter
    case gauge
  }

  /// One line.
  package struct Sample: Sendable {
    package var labels: [(name: String, value: String)]
    package var value: Double

    package init(_ value: Double, labels: [(name: String, value: String)] = []) {
      self.labels = labels
      self.value = value
    }
  }

  /// Without `_total`; ends in the unit where there is one.
  package var name: String
  package var help: String
  package var kind: Kind
  /// `seconds`, `bytes`, `ratio`; nil for counts.
  package var unit: String?
  package var samples: [Sample]

  package init(_ name: String, _ help: String, _ kind: Kind, unit: String? = nil, _ samples: [Sample]) {
    self.name = name
    self.help = help
    self.kind = kind
    self.unit = unit
    self.samples = samples
  }
}

/// Writes metrics as text.
enum MetricsWriter {
  enum Format {
    /// Prometheus, version 0.0.4.
    case text
    /// OpenMetrics 1.0.0.
    case openMetrics

    var contentType: String {
      switch self {
      case .text: "text/plain; version=0.0.4; charset=utf-8"
      case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
      }
    }

    /// What a client prefers of what there is; text when it says nothing or wants something else.
    init(accept: String) {
      var best = (format: Format.text, weight: 0.0)
      for choice in accept.lowercased().split(separator: ",") {
        let parts = choice.split(separator: ";").map { String($0.filter { $0 != " " && $0 != "\t" }) }
        let parameters = Dictionary(
          parts.dropFirst().compactMap { part in
            part.firstIndex(of: "=").map { (part[..<$0], part[part.index(after: $0)...].filter { $0 != "\"" }) }
          }, uniquingKeysWith: { first, _ in first })
        let weight = parameters["q"].map { Double($0) ?? 0 } ?? 1
        let format: Format? =
          switch parts.first {
          case "application/openmetrics-text": parameters["version"] ?? "1.0.0" == "1.0.0" ? .openMetrics : nil
          case "text/plain", "text/*", "*/*": .text
          default: nil
          }
        if let format, weight > best.weight, weight <= 1 { best = (format, weight) }
      }
      self = best.format
    }
  }

  static func write(_ families: [MetricFamily], as format: Format) -> String {
    var text = ""
    for family in families {
      let suffix = family.kind == .counter ? "_total" : ""
      let name = format == .text ? family.name + suffix : family.name
      text += "# HELP \(name) \(escaped(family.help, quotes: format == .openMetrics))\n# TYPE \(name) \(family.kind.rawValue)\n"
      // OpenMetrics wants the unit as the name's end.
      if format == .openMetrics, let unit = family.unit, family.name.hasSuffix("_\(unit)") { text += "# UNIT \(name) \(unit)\n" }
      for sample in family.samples {
        let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }.joined(separator: ",")
        text += "\(family.name)\(suffix)\(labels.isEmpty ? "" : "{\(labels)}") \(number(sample.value))\n"
      }
    }
    return format == .openMetrics ? text + "# EOF\n" : text
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += #"\\"#
      case "\n": result += #"\n"#
      case "\"" where quotes: result += #"\""#
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    return Int64(exactly: value).map(String.init) ?? "\(value)"
  }
}
