internal import AgentModel

/// The series of one metric: what each has been since the agent began, and in the window that is open.
///
/// A series that has been shown keeps its place. When there are as many as may be, the values of further ones go to series whose owner (the
/// service, the disk, the system call) is `other`; labels that say what happened stay.
struct SeriesTable {
  /// One series, since the agent began.
  struct Total: Sendable {
    var labels: Labels
    var value: MetricValue
  }

  let metric: Metric
  private let host: String
  private let limit: Int
  private let prepare: (Labels) -> Labels?
  private(set) var totals: [Total] = []
  private var places: [Labels: Int] = [:]
  /// What became of labels in this window; nil for those that are left out.
  private var prepared: [Labels: Int?] = [:]
  private var window: [Int: MetricValue] = [:]

  /// Labels that tell who; the others of a metric have few values.
  private static let owners: Set<String> = ["service", "disk", "syscall"]
  private static let ownersParts: Set<String> = ["container", "pod"]

  /// - Parameter prepare: makes of labels what is shown and kept, by rules that may change from window to window; nil to leave them out.
  init(_ metric: Metric, host: String, limit: Int, prepare: @escaping (Labels) -> Labels? = { $0 }) {
    self.prepare = prepare
    self.metric = metric
    self.host = host
    self.limit = limit
  }

  mutating func add(_ pairs: [(String, String)], _ value: MetricValue) {
    guard value.count > 0 else { return }
    let labels = Labels(pairs + [("host", host)])
    let known = prepared[labels]
    guard let place = known ?? prepare(labels).map({ place($0) }) else {
      prepared[labels] = .some(nil)
      return
    }
    if known == nil { prepared[labels] = place }
    totals[place].value.add(value)
    window[place, default: .nothing(metric.kind)].add(value)
  }

  private mutating func place(_ labels: Labels) -> Int {
    if let known = places[labels] { return known }
    guard places.count >= limit else { return newPlace(labels) }
    let kept = labels.all.filter { !Self.ownersParts.contains($0.name) }
    let other = Labels(kept.map { ($0.name, Self.owners.contains($0.name) ? "other" : $0.value) })
    return places[other] ?? newPlace(other)
  }

  private mutating func newPlace(_ labels: Labels) -> Int {
    places[labels] = totals.count
    totals.append(Total(labels: labels, value: .nothing(metric.kind)))
    return totals.count - 1
  }

  /// What was added since the last time.
  mutating func takeWindow() -> [MetricWindow.Series] {
    defer {
      window.removeAll(keepingCapacity: true)
      prepared.removeAll(keepingCapacity: true)
    }
    return window.sorted { $0.key < $1.key }.map { .init(labels: totals[$0.key].labels, value: $0.value) }
  }
}
