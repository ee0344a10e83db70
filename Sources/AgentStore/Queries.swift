package import AgentModel
internal import GRDB
package import Profiles

extension Store: ProfileSource {
  /// How many steps a timeline may have, and steps of all its rows.
  static let mostSteps: Int64 = 100_000
  static let mostSums = 4_000_000
  /// The same of a metric, whose histograms take a thousand times as much as a sum.
  static let mostMetricValues = 150_000

  package func series(_ query: Query) async throws -> [Labels] {
    let conditions = try Conditions(query.matchers)
    return try await read { database in
      try database.series(conditions).filter { series in
        var isThere = false
        try database.parts(query.type, series: series.id, in: query.range) { part in
          if query.range ~= part.start { isThere = true }
        }
        return isThere
      }.map(\.labels).sorted()
    }
  }

  /// An hour that is kept as its sum is spread evenly over the steps that it touches.
  package func timeline(_ query: Query, step: Int64, by label: String) async throws -> Timeline {
    guard step > 0, step % ProfileWindow.length == 0, step <= Self.times.upperBound else {
      throw StoreError.question(reason: "a step is a multiple of \(ProfileWindow.length) seconds")
    }
    let conditions = try Conditions(query.matchers)
    let range = query.range.clamped(to: Self.times)
    let start = range.lowerBound / step * step
    let count = range.isEmpty ? 0 : (range.upperBound - start + step - 1) / step
    guard count <= Self.mostSteps else { throw StoreError.question(reason: "\(count) steps are too many; ask for longer steps") }
    let steps = Steps(start: start, step: step, count: Int(count))
    return try await read { database in
      var sums: [String: [UInt64]] = [:]
      for series in try database.series(conditions) {
        try database.parts(query.type, series: series.id, in: steps.range) { part in
          let value = series.labels[label] ?? ""
          guard (sums.count + 1) * steps.count <= Self.mostSums else {
            throw StoreError.question(reason: "too many values of \(label); ask for longer steps")
          }
          steps.add(part, to: &sums[value, default: steps.zeros])
        }
      }
      var timeline = Timeline(start: start, step: step, covered: steps.zeros, lost: steps.zeros, period: steps.zeros)
      try database.coverage(query.type, in: steps.range) { start, length, coverage in
        steps.add(PartTotal(start: start, length: length, total: coverage.covered), to: &timeline.covered)
        steps.add(PartTotal(start: start, length: length, total: coverage.lost), to: &timeline.lost)
        steps.raise(start: start, length: length, to: coverage.period, in: &timeline.period)
      }
      let rows = sums.map {
        (row: Timeline.Row(value: $0.key, sums: $0.value), sum: $0.value.reduce(into: UInt64(0)) { $0.addSaturating($1) })
      }
      timeline.rows = rows.sorted { ($1.sum, $0.row.value) < ($0.sum, $1.row.value) }.map(\.row)
      return timeline
    }
  }

  /// What is kept as a sum counts in the range that holds its beginning, so that ranges one after the other count everything once.
  package func profile(_ query: Query) async throws -> Profile {
    let conditions = try Conditions(query.matchers)
    return try await read { database in
      var services: [String: Values] = [:]
      for series in try database.series(conditions) {
        try database.add(query.type, series: series.id, in: query.range, to: &services[series.labels["service"] ?? "", default: [:]])
      }
      var profile = Profile(unit: query.type.unit)
      var reader = StackReader()
      for (service, values) in services.sorted(by: { $0.key < $1.key }) {
        let process = Profile.Process(command: Array(service.utf8))
        for (stack, value) in values.sorted(by: { $0.key < $1.key }) {
          let id = try reader.read(stack, from: database, into: &profile.stacks)
          // Each sample was one measurement; of other values it is not known how many there were.
          profile.add(value, count: query.type.unit == .samples ? value : 1, stack: id, process: process)
        }
      }
      return profile
    }
  }

  package func extent(of type: ProfileType) async throws -> Range<Int64>? {
    try await read { try $0.extent(of: type) }
  }

  /// Reads one state of the file.
  func read<Result: Sendable>(_ body: @escaping @Sendable (Database) throws -> Result) async throws -> Result {
    do {
      return try await database().read(body)
    } catch {
      throw StoreError.wrapping(error)
    }
  }
}

/// Matchers that are ready to be asked.
struct Conditions: Sendable {
  private let all: [(name: String, isWanted: Bool, condition: Condition)]

  private enum Condition: Sendable {
    case equal(String)
    case pattern(LabelPattern)
  }

  init(_ matchers: [Matcher]) throws(PatternError) {
    var all: [(String, Bool, Condition)] = []
    for matcher in matchers {
      switch matcher.comparison {
      case .equal: all.append((matcher.name, true, .equal(matcher.value)))
      case .notEqual: all.append((matcher.name, false, .equal(matcher.value)))
      case .matches: all.append((matcher.name, true, .pattern(try LabelPattern(matcher.value))))
      case .doesNotMatch: all.append((matcher.name, false, .pattern(try LabelPattern(matcher.value))))
      }
    }
    self.all = all
  }

  func hold(for labels: Labels) -> Bool {
    all.allSatisfy { name, isWanted, condition in
      let value = labels[name] ?? ""
      switch condition {
      case .equal(let wanted): return (value == wanted) == isWanted
      case .pattern(let pattern): return pattern.matches(value) == isWanted
      }
    }
  }
}

/// The sum of a part of a block, which stands for some seconds.
struct PartTotal {
  var start: Int64
  var length: Int64
  var total: UInt64
}

/// The steps of a timeline.
private struct Steps {
  let start: Int64
  let step: Int64
  let count: Int

  var range: Range<Int64> { start..<start + step * Int64(count) }
  var zeros: [UInt64] { Array(repeating: 0, count: count) }

  /// Adds to each step its share of the seconds of the part.
  func add(_ part: PartTotal, to sums: inout [UInt64]) {
    let end = part.start + part.length
    var from = max(part.start, range.lowerBound)
    while from < min(end, range.upperBound) {
      let index = (from - start) / step
      let to = min(end, start + (index + 1) * step)
      sums[Int(index)].addSaturating(share(part, to) - share(part, from))
      from = to
    }
  }

  /// Makes each step that is touched at least as much.
  func raise(start: Int64, length: Int64, to value: UInt64, in values: inout [UInt64]) {
    let (from, end) = (max(start, range.lowerBound), min(start + length, range.upperBound))
    guard from < end else { return }
    for index in Int((from - self.start) / step)...Int((end - 1 - self.start) / step) { values[index] = max(values[index], value) }
  }

  /// How much of the total was there by a time.
  private func share(_ part: PartTotal, _ time: Int64) -> UInt64 {
    let product = part.total.multipliedFullWidth(by: UInt64(time - part.start))
    return UInt64(part.length).dividingFullWidth(product).quotient
  }
}
