internal import AgentModel
package import ArgumentParser
internal import Foundation

extension AgentCommand {
  /// Prints what dashboards and alerts are made from.
  package struct Metrics: ParsableCommand {
    package static let configuration = CommandConfiguration(commandName: "metrics", abstract: "Print all metrics that there are, as JSON.")

    package init() {}

    package func run() throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      let entries = MetricCatalog.measured.map { Entry($0, isKept: true) } + MetricCatalog.ofAgent.map { Entry($0, isKept: false) }
      print(String(decoding: try encoder.encode(entries), as: UTF8.self))
    }

    private struct Entry: Encodable {
      /// As a scrape shows it.
      var name: String
      var help: String
      var kind: String
      var unit: String?
      var labels: [String]
      /// Whether the store keeps it, and `/api/v1/metrics/range` answers.
      var kept: Bool
      /// The upper bounds of the classic buckets, in the unit.
      var bounds: [Double]?

      init(_ metric: Metric, isKept: Bool) {
        name = metric.exposedName
        help = metric.help
        kind = metric.kind.rawValue
        unit = metric.unit?.rawValue
        labels = (isKept ? ["host"] : []) + metric.labels
        kept = isKept
        bounds = metric.bounds?.map { Double(UInt64(1) << UInt64($0) - 1) / 1e9 }
      }
    }
  }
}
