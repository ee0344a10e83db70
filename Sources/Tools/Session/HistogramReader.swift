internal import BPF
internal import CProbes
package import Formats
package import Profiles

/// A histogram and what it is of.
package struct KeyedHistogram: Sendable {
  /// The tool's key; 0 when there is one histogram for all.
  package var key: UInt64
  /// The command of the task that the key stands for; empty when the key is no task.
  package var command: Text
  package var histogram: Histogram
}

/// Reads the histograms of an interval that has ended, and empties them.
struct HistogramReader {
  private let all: ProbeMap<UInt32, swtrace_histogram>
  private let cells: ProbeMap<swtrace_histogram_key, swtrace_histogram_cell>
  /// The keys that have a row, and the rows; both as `histogram.bpf.h` says.
  private let keys: ProbeMap<UInt32, UInt64>
  private let rows: ProbeMap<UInt32, swtrace_histogram>
  /// Who has which row.
  private var owners: [UInt32: Owner] = [:]
  private let isKeyed: Bool
  private let unit: HistogramUnit
  /// Values read so far; what the probes delivered must be as many.
  private(set) var count: UInt64 = 0

  private struct Owner {
    var key: UInt64
    /// Intervals in a row in which it was not busy.
    var quiet = 0
    /// Whether the row was taken away when the last interval ended; the probe may still have used it then.
    var isLeaving = false
  }

  /// Values in an interval from which on a key is given a row.
  static let busy: UInt64 = 32
  /// Intervals with fewer values after which its row is taken away.
  static let quietLimit = 6
  /// Where two keys have the same row, it is taken from one that has fewer values than the other's by more than this factor.
  static let advantage: UInt64 = 2

  init(_ probe: borrowing LoadedProbe, unit: HistogramUnit, keyed: Bool) throws(BPFError) {
    all = try probe.map("histograms")
    cells = try probe.map("histogram_cells")
    keys = try probe.map("histogram_keys")
    rows = try probe.map("histogram_rows")
    isKeyed = keyed
    self.unit = unit
  }

  /// The histograms of a copy, in ascending order of their counts, as BCC prints them.
  mutating func take(copy: UInt32) throws(BPFError) -> [KeyedHistogram] {
    let histograms = isKeyed ? try takeKeyed(copy) : [try takeAll(copy)]
    count += histograms.reduce(0) { $0 + $1.histogram.count }
    return histograms
  }

  private func takeAll(_ copy: UInt32) throws(BPFError) -> KeyedHistogram {
    var histogram = Histogram()
    for part in all.values(of: copy) { histogram.add(part) }
    try all.set(copy, swtrace_histogram())
    histogram.settle(unit)
    return KeyedHistogram(key: 0, command: Text([]), histogram: histogram)
  }

  private mutating func takeKeyed(_ copy: UInt32) throws(BPFError) -> [KeyedHistogram] {
    var found = try takeRows(copy)
    takeCells(copy, &found)
    try moveRows(found)
    return found.values.map { entry in
      var entry = entry
      entry.histogram.settle(unit)
      return entry
    }
    .sorted { ($0.histogram.count, $0.key) < ($1.histogram.count, $1.key) }
  }

  /// What is in rows.
  private mutating func takeRows(_ copy: UInt32) throws(BPFError) -> [UInt64: KeyedHistogram] {
    var found: [UInt64: KeyedHistogram] = [:]
    for (row, owner) in owners {
      // One that was taken away has its last values in both copies.
      for place in [row + copy * UInt32(SWTRACE_HISTOGRAM_ROWS)]
        + (owner.isLeaving ? [row + (1 - copy) * UInt32(SWTRACE_HISTOGRAM_ROWS)] : [])
      {
        guard let part = rows[place] else { continue }
        var histogram = found[owner.key]?.histogram ?? Histogram()
        histogram.add(part)
        guard !histogram.buckets.isEmpty else { continue }
        found[owner.key] = KeyedHistogram(key: owner.key, command: Text([]), histogram: histogram)
        try rows.set(place, swtrace_histogram())
      }
      if owner.isLeaving { owners[row] = nil }
    }
    return found
  }

  /// Takes rows from keys that are not busy any more, and gives free ones to the busiest keys. Names have no place in rows.
  private mutating func moveRows(_ found: [UInt64: KeyedHistogram]) throws(BPFError) {
    guard keys.capacity == Int(SWTRACE_HISTOGRAM_ROWS) else { return }
    var wanted: [UInt32: (count: UInt64, key: UInt64)] = [:]
    for (key, entry) in found where key != 0 && entry.command.isEmpty && entry.histogram.count >= Self.busy {
      let row = swtrace_histogram_row(key)
      guard owners[row]?.key != key else { continue }
      if (entry.histogram.count, key) > wanted[row] ?? (0, 0) { wanted[row] = (entry.histogram.count, key) }
    }
    for (row, before) in owners {
      var owner = before
      let count = found[owner.key]?.histogram.count ?? 0
      owner.quiet = count < Self.busy ? owner.quiet + 1 : 0
      if owner.quiet == Self.quietLimit || wanted[row]?.count ?? 0 > Self.advantage * count {
        // The probe may still use it in the interval that has begun: nobody else has it in that one.
        try keys.set(row, 0)
        owner.isLeaving = true
      }
      owners[row] = owner
    }
    for (row, next) in wanted where owners[row] == nil {
      try keys.set(row, next.key)
      owners[row] = Owner(key: next.key)
    }
  }

  private func takeCells(_ copy: UInt32, _ found: inout [UInt64: KeyedHistogram]) {
    // A key's name is that of its fullest cell: the others may be from before a renaming.
    var fullest: [UInt64: UInt64] = [:]
    for key in cells.keys() where key.copy == copy {
      guard let cell = cells[key] else { continue }
      cells.remove(key)
      var entry = found[key.key] ?? KeyedHistogram(key: key.key, command: Text([]), histogram: Histogram())
      if cell.count > fullest[key.key, default: 0] {
        fullest[key.key] = cell.count
        entry.command = Text(comm: cell.comm)
      }
      entry.histogram.sum += cell.sum
      entry.histogram.maximum = max(entry.histogram.maximum, cell.maximum)
      if cell.count > 0 { entry.histogram.buckets.append(Histogram.bucket(slot: Int(key.slot), count: cell.count)) }
      found[key.key] = entry
    }
  }
}

extension Histogram {
  /// Adds what a probe counted, without an order of the buckets.
  fileprivate mutating func add(_ part: swtrace_histogram) {
    sum += part.sum
    maximum = max(maximum, part.maximum)
    withUnsafeBytes(of: part.slots) { bytes in
      for (slot, count) in bytes.bindMemory(to: UInt64.self).enumerated() where count > 0 {
        buckets.append(Histogram.bucket(slot: slot, count: count))
      }
    }
  }

  /// Puts the buckets in order, each once.
  fileprivate mutating func settle(_ unit: HistogramUnit) {
    buckets.sort { $0.low < $1.low }
    var settled: [Bucket] = []
    for bucket in buckets {
      if settled.last?.low == bucket.low { settled[settled.count - 1].count += bucket.count } else { settled.append(bucket) }
    }
    buckets = settled
    raiseMaximum(unit: unit.size)
  }
}
