import AgentModel
import Profiles
import Testing

@testable import Agent

@Suite struct SeriesTableTests {
  private func labels(_ pairs: (String, String)...) -> Labels { Labels(pairs + [("host", "h")]) }

  @Test func whatIsBeyondTheLimitIsOther() {
    var table = SeriesTable(MetricCatalog.pageFaults, host: "h", limit: 2)
    table.add([("service", "a"), ("kind", "minor")], .count(3))
    table.add([("service", "b"), ("container", "c1"), ("pod", "p"), ("kind", "minor")], .count(5))
    table.add([("service", "c"), ("container", "c2"), ("kind", "minor")], .count(7))
    table.add([("service", "d"), ("kind", "major")], .count(11))
    table.add([("service", "e"), ("pod", "q"), ("kind", "minor")], .count(13))
    // A series that has been shown keeps its place.
    table.add([("service", "a"), ("kind", "minor")], .count(17))
    table.add([("service", "f"), ("kind", "minor")], .count(0))
    #expect(
      table.totals.map(\.labels) == [
        labels(("service", "a"), ("kind", "minor")), labels(("service", "b"), ("container", "c1"), ("pod", "p"), ("kind", "minor")),
        labels(("service", "other"), ("kind", "minor")), labels(("service", "other"), ("kind", "major")),
      ])
    #expect(table.totals.map(\.value) == [.count(20), .count(5), .count(20), .count(11)])
    // Nothing is lost by it.
    #expect(table.totals.reduce(UInt64(0)) { $0 + $1.value.count } == 56)
  }

  @Test func labelsAreRelabelledAndRedacted() throws {
    let rules = [
      try RelabelRule(.drop, sources: ["service"], regex: "secret"),
      try RelabelRule(sources: ["service"], regex: "(a).*", target: "service"),
    ]
    let redaction = [try RedactionRule(regex: "p4ss", replacement: "***")]
    var table = SeriesTable(MetricCatalog.oomKills, host: "h", limit: 3, rules: LabelRules(relabelling: rules, redaction: redaction))
    for service in ["a1", "a2", "secret", "p4ssword", "a1"] { table.add([("service", service)], .count(2)) }
    #expect(table.totals.map(\.labels) == [labels(("service", "a")), labels(("service", "***word"))])
    #expect(table.totals.map(\.value) == [.count(6), .count(2)])
    #expect(table.takeWindow().map(\.value) == [.count(6), .count(2)])
  }

  /// Sessions and containers come and go, and do not keep what comes later from being seen.
  @Test func placesOfWhatIsGoneAreGivenToOthers() {
    var table = SeriesTable(MetricCatalog.pageFaults, host: "h", limit: 2)
    func add(_ service: String, _ count: UInt64) { table.add([("service", service), ("kind", "minor")], .count(count)) }
    func shown() -> [String: UInt64] {
      Dictionary(uniqueKeysWithValues: table.totals.map { ($0.labels["service"] ?? "", $0.value.count) })
    }
    add("session-1", 3)
    add("session-2", 5)
    _ = table.takeWindow()
    for _ in 1..<SeriesTable.patience {
      add("session-2", 1)
      _ = table.takeWindow()
    }
    // One window less than an hour without a value: nobody has it yet but `other`.
    #expect(SeriesTable.patience == 360)
    _ = table.takeWindow()
    add("web", 7)
    let windows = [table.takeWindow()]
    #expect(shown() == ["session-2": 364, "web": 7])
    #expect(windows.last?.map { $0.labels["service"] } == ["web"])
    // The other one is still there, and idle for a moment only.
    add("db", 11)
    add("session-1", 13)
    #expect(shown() == ["session-2": 364, "web": 7, "other": 24])
    _ = table.takeWindow()
    for _ in 0..<SeriesTable.patience {
      add("web", 1)
      _ = table.takeWindow()
    }
    // What comes back begins at 0: nothing that happened earlier seems to happen now.
    add("session-1", 2)
    #expect(shown() == ["session-1": 2, "web": 367, "other": 24])
  }

  @Test func otherRulesBeginAnew() throws {
    var table = SeriesTable(MetricCatalog.oomKills, host: "h", limit: 3)
    table.add([("service", "secret")], .count(3))
    table.add([("service", "web")], .count(5))
    #expect(table.takeWindow().count == 2)
    table.use(LabelRules(redaction: [try RedactionRule(regex: "secret", replacement: "***")]))
    #expect(table.totals.isEmpty)
    table.add([("service", "secret")], .count(7))
    #expect(table.totals.map(\.labels) == [labels(("service", "***"))] && table.totals.map(\.value) == [.count(7)])
    #expect(table.takeWindow().map(\.labels) == [labels(("service", "***"))])
  }

  /// What is in the open window then has labels that are hidden now, and places that are no more.
  @Test func otherRulesEmptyAnOpenWindow() throws {
    var table = SeriesTable(MetricCatalog.oomKills, host: "h", limit: 3)
    for service in ["secret", "web"] { table.add([("service", service)], .count(3)) }
    table.use(LabelRules(redaction: [try RedactionRule(regex: "secret", replacement: "***")]))
    table.add([("service", "web")], .count(5))
    #expect(table.takeWindow() == [.init(labels: labels(("service", "web")), value: .count(5))])
    #expect(table.totals.map(\.value) == [.count(5)])
  }

  @Test func windowsAddUpToTheTotal() {
    var table = SeriesTable(MetricCatalog.blockLatency, host: "h", limit: 1)
    let histograms = (0..<4).map { Histogram(buckets: [Histogram.bucket(slot: 8 + $0, count: 2)], sum: UInt64($0), maximum: UInt64($0)) }
    table.add([("disk", "sda")], .histogram(histograms[0]))
    table.add([("disk", "sdb")], .histogram(histograms[1]))
    let first = table.takeWindow()
    #expect(
      first == [
        .init(labels: labels(("disk", "sda")), value: .histogram(histograms[0])),
        .init(labels: labels(("disk", "other")), value: .histogram(histograms[1])),
      ])
    #expect(table.takeWindow().isEmpty)
    table.add([("disk", "sdc")], .histogram(histograms[2]))
    #expect(table.takeWindow() == [.init(labels: labels(("disk", "other")), value: .histogram(histograms[2]))])
    var sum = histograms[1]
    sum.add(histograms[2])
    #expect(table.totals.map(\.value) == [.histogram(histograms[0]), .histogram(sum)])
  }

  @Test(arguments: [
    ("/", [("service", "/")]), ("/system.slice/nginx.service", [("service", "nginx")]),
    ("/user.slice/user-0.slice/session-1.scope", [("service", "session-1.scope")]),
    (
      "/system.slice/docker-\(String(repeating: "a", count: 64)).scope", [("service", "aaaaaaaaaaaa"), ("container", "aaaaaaaaaaaa")]
    ),
  ]) func servicesOfCgroups(path: String, pairs: [(String, String)]) {
    #expect(CgroupLabels.pairs(path: path).elementsEqual(pairs, by: ==))
  }

  @Test func metricsHaveNamesThatPrometheusTakes() {
    let all = MetricCatalog.measured + MetricCatalog.ofAgent
    #expect(Set(all.map(\.name)).count == all.count)
    for metric in all {
      #expect(metric.name.wholeMatch(of: /swtrace_[a-z_]+/) != nil && !metric.name.hasSuffix("_total"))
      #expect(metric.unit.map { metric.name.hasSuffix("_\($0.rawValue)") } ?? true, "\(metric.name)")
      #expect(metric.help.hasSuffix(".") && (metric.bounds != nil) == (metric.kind == .histogram))
      #expect(MetricCatalog.measured(named: metric.exposedName) == (MetricCatalog.measured.contains(metric) ? metric : nil))
    }
  }
}
