internal import AgentModel

/// Writes metrics in the form that a scraper asks for.
enum MetricsWriter {
  enum Format {
    /// Prometheus, version 0.0.4.
    case text
    /// OpenMetrics 1.0.0.
    case openMetrics
    /// `io.prometheus.client.MetricFamily`, the only one with native histograms.
    case protobuf

    var contentType: String {
      switch self {
      case .text: "text/plain; version=0.0.4; charset=utf-8"
      case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
      case .protobuf: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
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
          case "application/vnd.google.protobuf":
            parameters["proto"] == "io.prometheus.client.metricfamily" && parameters["encoding"] == "delimited" ? .protobuf : nil
          case "text/plain", "text/*", "*/*": .text
          default: nil
          }
        if let format, weight > best.weight, weight <= 1 { best = (format, weight) }
      }
      self = best.format
    }
  }

  static func write(_ families: [MetricFamily], as format: Format) -> [UInt8] {
    format == .protobuf ? families.flatMap(Self.delimited) : Array(text(families, as: format).utf8)
  }

  private static func text(_ families: [MetricFamily], as format: Format) -> String {
    var text = ""
    for family in families {
      let suffix = family.kind == .counter ? "_total" : ""
      let name = format == .text ? family.name + suffix : family.name
      text += "# HELP \(name) \(escaped(family.help, quotes: format == .openMetrics))\n# TYPE \(name) \(family.kind.rawValue)\n"
      // OpenMetrics wants the unit as the name's end.
      if format == .openMetrics, let unit = family.unit, family.name.hasSuffix("_\(unit)") { text += "# UNIT \(name) \(unit)\n" }
      for sample in family.samples {
        switch sample.value {
        case .number(let value): text += line(family.name + suffix, sample.labels, number(value))
        case .histogram(let histogram):
          for bucket in histogram.buckets {
            text += line(family.name + "_bucket", sample.labels + [("le", number(bucket.bound))], "\(bucket.count)")
          }
          text += line(family.name + "_bucket", sample.labels + [("le", "+Inf")], "\(histogram.count)")
          text += line(family.name + "_sum", sample.labels, number(histogram.sum))
          text += line(family.name + "_count", sample.labels, "\(histogram.count)")
        }
      }
    }
    return format == .openMetrics ? text + "# EOF\n" : text
  }

  private static func line(_ name: String, _ labels: [(name: String, value: String)], _ value: String) -> String {
    let labels = labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }.joined(separator: ",")
    return "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(value)\n"
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
