internal import AgentModel
internal import AgentServer
internal import Tools

/// What a scrape shows of the metrics of the machine and of their probes.
extension MetricCollector.Current {
  /// The metrics themselves, each that is measured, since the agent began.
  var families: [MetricFamily] {
    series.map { metric, totals in
      MetricFamily(
        metric,
        totals.map { total in
          let labels = total.labels.all.map { (name: $0.name, value: $0.value) }
          switch total.value {
          case .count(let count): return .init(Double(count), labels: labels)
          case .histogram(let histogram): return .init(ExposedHistogram(histogram, bounds: metric.bounds ?? 0...63), labels: labels)
          }
        })
    }
  }

  func perProbe(_ value: (ProbeStanding) -> UInt64) -> [MetricFamily.Sample] {
    probes.map { .init(Double(value($0.standing)), labels: [("probe", $0.name)]) }
  }

  /// Each probe with each reason, also those that did not occur.
  var losses: [MetricFamily.Sample] {
    probes.flatMap { probe in
      LossReport.Reason.allCases.map { reason in
        .init(Double(probe.standing.lost[reason] ?? 0), labels: [("probe", probe.name), ("reason", reason.key)])
      }
    }
  }
}
