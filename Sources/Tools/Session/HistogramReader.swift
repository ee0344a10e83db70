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
  private let isKeyed: Bool
  private let unit: HistogramUnit
  /// Values read so far; what the probes delivered must be as many.
  private(set) var count: UInt64 = 0

  init(_ probe: borrowing LoadedProbe, unit: HistogramUnit, keyed: Bool) throws(BPFError) {
    all = try probe.map("histograms")
    cells = try probe.map("histogram_cells")
    isKeyed = keyed
    self.unit = unit
  }

  /// The histograms of a copy, in ascending order of their counts, as BCC prints them.
  mutating func take(copy: UInt32) throws(BPFError) -> [KeyedHistogram] {
    let histograms = isKeyed ? takeKeyed(copy) : [try takeAll(copy)]
    count += histograms.reduce(0) { $0 + $1.histogram.count }
    return histograms
  }

  private func takeAll(_ copy: UInt32) throws(BPFError) -> KeyedHistogram {
    var slots = [UInt64](repeating: 0, count: Int(SWTRACE_SLOTS))
    var histogram = Histogram()
    for part in all.values(of: copy) {
      histogram.sum += part.sum
      histogram.maximum = max(histogram.maximum, part.maximum)
      withUnsafeBytes(of: part.slots) { bytes in
        for (slot, count) in bytes.bindMemory(to: UInt64.self).enumerated() { slots[slot] += count }
      }
    }
    try all.set(copy, swtrace_histogram())
    for (slot, count) in slots.enumerated() where count > 0 { histogram.buckets.append(Histogram.bucket(slot: slot, count: count)) }
    histogram.raiseMaximum(unit: unit.size)
    return KeyedHistogram(key: 0, command: Text([]), histogram: histogram)
  }

  private func takeKeyed(_ copy: UInt32) -> [KeyedHistogram] {
    var found: [UInt64: KeyedHistogram] = [:]
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
    var result = Array(found.values)
    for index in result.indices {
      result[index].histogram.buckets.sort { $0.low < $1.low }
      result[index].histogram.raiseMaximum(unit: unit.size)
    }
    return result.sorted { ($0.histogram.count, $0.key) < ($1.histogram.count, $1.key) }
  }
}
