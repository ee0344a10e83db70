internal import AgentModel

/// The series of one metric: what each has been since it was first shown, and in the window that is open.
///
/// A series that has been shown keeps its place while there are places. When there are as many series as may be, a new one gets the place
/// of the one that has had no value for the longest time, an hour at least: containers and sessions come and go. Where there is none such,
/// the values of new ones go to series whose owner (the service, the disk, the system call) is `other`; labels that say what happened stay.
///
/// What a series was that has lost its place is not added to `other`: `rate` would show events that did not happen then. If it comes back,
/// it begins at 0, which `rate` takes for a counter that began anew. Windows have everything in any case.
struct SeriesTable {
  /// One series, since it has its place.
  struct Total: Sendable {
    var labels: Labels
    var value: MetricValue
  }

  let metric: Metric
  private let host: String
  private let limit: Int
  private var rules: LabelRules
  private(set) var totals: [Total] = []
  private var places: [Labels: Int] = [:]
  /// What became of labels in this window; nil for those that are left out.
  private var prepared: [Labels: Int?] = [:]
  private var window: [Int: MetricValue] = [:]
  /// The windows before this one, and for each place in which of them it had a value last.
  private var windows = 0
  private var lastUsed: [Int] = []

  /// Windows without a value, after which another series may have the place: an hour.
  static let patience = Int(3600 / MetricWindow.length)

  /// Labels that tell who; the others of a metric have few values.
  private static let owners: Set<String> = ["service", "disk", "syscall"]
  private static let ownersParts: Set<String> = ["container", "pod"]

  /// - Parameter rules: make of labels what is shown and kept.
  init(_ metric: Metric, host: String, limit: Int, rules: LabelRules = LabelRules()) {
    self.metric = metric
    self.host = host
    self.limit = limit
    self.rules = rules
  }

  /// Has other rules from now on. Call it between windows: what is in an open one is gone.
  ///
  /// All series begin anew: of one that is shown it is not known which labels it was made of, and what is hidden now must not be seen
  /// any longer.
  mutating func use(_ rules: LabelRules) {
    self.rules = rules
    (totals, places, lastUsed) = ([], [:], [])
    // They name places that are no more.
    (prepared, window) = ([:], [:])
  }

  mutating func add(_ pairs: [(String, String)], _ value: MetricValue) {
    guard value.count > 0 else { return }
    let labels = Labels(pairs + [("host", host)])
    let known = prepared[labels]
    guard let place = known ?? rules.apply(to: labels).map({ place($0) }) else {
      prepared[labels] = .some(nil)
      return
    }
    if known == nil { prepared[labels] = place }
    totals[place].value.add(value)
    lastUsed[place] = windows
    window[place, default: .nothing(metric.kind)].add(value)
  }

  private mutating func place(_ labels: Labels) -> Int {
    if let known = places[labels] { return known }
    if places.count < limit { return newPlace(labels) }
    if let idle = idlePlace {
      places[totals[idle].labels] = nil
      places[labels] = idle
      totals[idle] = Total(labels: labels, value: .nothing(metric.kind))
      return idle
    }
    let kept = labels.all.filter { !Self.ownersParts.contains($0.name) }
    let other = Labels(kept.map { ($0.name, Self.owners.contains($0.name) ? "other" : $0.value) })
    return places[other] ?? newPlace(other)
  }

  private mutating func newPlace(_ labels: Labels) -> Int {
    places[labels] = totals.count
    totals.append(Total(labels: labels, value: .nothing(metric.kind)))
    lastUsed.append(windows)
    return totals.count - 1
  }

  /// The one that has had no value for the longest time, if that is long enough.
  private var idlePlace: Int? {
    guard let oldest = lastUsed.indices.min(by: { lastUsed[$0] < lastUsed[$1] }), windows - lastUsed[oldest] >= Self.patience else {
      return nil
    }
    return oldest
  }

  /// What was added since the last time.
  mutating func takeWindow() -> [MetricWindow.Series] {
    defer {
      window.removeAll(keepingCapacity: true)
      prepared.removeAll(keepingCapacity: true)
      windows += 1
    }
    return window.sorted { $0.key < $1.key }.map { .init(labels: totals[$0.key].labels, value: $0.value) }
  }
}
