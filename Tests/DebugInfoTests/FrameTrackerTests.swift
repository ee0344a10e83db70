import CUnwind
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Rows made of instructions.
@Suite struct FrameTrackerTests {
  /// Functions that have records, read from their instructions all the same.
  struct Comparison {
    var functions = 0
    /// Given up.
    var failures = 0
    /// Of code, with the same CFA and without.
    var equal: UInt64 = 0
    var different: UInt64 = 0
    var examples: [String] = []

    var share: Double { Double(equal) / Double(equal + different) }
  }

  static func compare(_ path: String, isAsync: Bool? = nil) throws -> Comparison {
    let file = try ELFFile(path: FilePath(path))
    let table = try UnwindTable(file)
    let text = SegmentBytes(file)
    let swift = try #require(SwiftFunctions(file, text, debug: nil))
    var tracker = FrameTracker()
    var comparison = Comparison()
    for function in swift.functions where isAsync.map({ $0 == function.isAsync }) ?? true {
      guard let first = table.row(at: ELFAddress(function.start)), !table[first].rule.isGuessed,
        ![SWTRACE_CFA_GAP, SWTRACE_CFA_STOP].contains(table[first].rule.kind)
      else { continue }
      comparison.functions += 1
      guard tracker.follow(text.bytes(from: function.start, to: function.end)) else {
        comparison.failures += 1
        comparison.examples.insert("0x\(String(function.start, radix: 16)) is given up", at: 0)
        continue
      }
      let rows = tracker.rows
      // From each change of either on.
      var starts = rows.map { function.start + UInt64($0.offset) }
      var index = first
      while index < table.count, table[index].start.rawValue < function.end {
        starts.append(max(table[index].start.rawValue, function.start))
        index += 1
      }
      starts = Set(starts).sorted() + [function.end]
      var next = 0
      for (start, end) in zip(starts, starts.dropFirst()) {
        while next + 1 < rows.count, function.start + UInt64(rows[next + 1].offset) <= start { next += 1 }
        let (expected, found) = (table.rule(at: ELFAddress(start)), rows[next].rule)
        if expected.kind == found.kind, expected.cfa_offset == found.cfa_offset {
          comparison.equal += end - start
        } else {
          comparison.different += end - start
          if comparison.examples.count < 20 {
            comparison.examples.append("0x\(String(start, radix: 16)) +\(end - start): \(found.text), not \(expected.text)")
          }
        }
      }
    }
    return comparison
  }

  @Test(arguments: [
    ("libswiftCore.so", 0.999), ("libFoundation.so", 0.999), ("libFoundationEssentials.so", 0.999), ("libswift_Concurrency.so", 0.999),
  ])
  func instructionsSayWhatRecordsSay(_ name: String, share: Double) throws {
    let comparison = try Self.compare("\(SwiftLibraries.folder)/\(name)")
    #expect(comparison.functions > 1000 && comparison.failures == 0)
    #expect(comparison.share >= share, "\(comparison)")
  }
}
