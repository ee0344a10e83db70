import CUnwind
import Foundation
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo

/// Rows against those that binutils reads from the same records.
@Suite struct UnwindTableTests {
  /// What a comparison found.
  struct Tally: CustomStringConvertible {
    var equal = 0
    /// Rules that the table does not have: expressions, and places of the return address, that nobody else writes.
    var unsupported = 0
    var differences: [String] = []
    /// Rows within async functions that no record has, and of the padding behind them.
    var mended = 0
    /// Starts of rows where binutils sees no change.
    var additional: [String] = []

    var description: String {
      "\(equal) equal, \(unsupported) unsupported, \(mended) mended, \(differences.prefix(5)), \(additional.prefix(5))"
    }
  }

  static func table(_ path: String) throws -> UnwindTable { try UnwindTable(ELFFile(path: FilePath(path))) }

  /// Compares each function's rule at each of its boundaries.
  static func compare(_ path: String, section: String = ".eh_frame") throws -> Tally {
    let file = try ELFFile(path: FilePath(path))
    let table = try UnwindTable(file)
    let text = SegmentBytes(file)
    let oracle = try FrameOracle(path, section: section)
    #expect(table.functions == oracle.functions.count)
    var tally = Tally()
    var boundaries: Set<UInt64> = [table.code.lowerBound]
    var end: UInt64 = 0
    for (index, function) in oracle.functions.sorted(by: { ($0.start, $0.end) < ($1.start, $1.end) }).enumerated() {
      let isAsync = text.bytes(from: function.start, to: function.end).beginsAsync
      func check(_ address: UInt64, _ expected: String, _ isExpected: (UnwindRule) -> Bool) {
        boundaries.insert(address)
        // The first of two that overlap keeps its part.
        guard address >= end, address < function.end else { return }
        let rule = table.rule(at: ELFAddress(address))
        if isExpected(rule) {
          if rule.kind == SWTRACE_CFA_UNSUPPORTED { tally.unsupported += 1 } else { tally.equal += 1 }
        } else if isAsync || rule.isAsync, rule.kind == SWTRACE_CFA_RSP, rule.rbp == UInt8(SWTRACE_RBP_SAME.rawValue) {
          // Behind `pop %rbp`.
          tally.mended += 1
        } else {
          tally.differences.append("\(index) 0x\(String(address, radix: 16)): \(rule.text), not \(expected)")
        }
      }
      if function.start <= file.entry, file.entry < function.end {
        check(function.start, "stop") { $0.kind == SWTRACE_CFA_STOP }
      } else if function.isSignalFrame {
        check(function.start, "signal") { $0.kind == SWTRACE_CFA_SIGNAL }
      } else if function.rows.isEmpty {
        let isStop = function.instructions == ["DW_CFA_undefined: r16 (rip)"]
        #expect(isStop || function.instructions.isEmpty, "\(function)")
        check(function.start, isStop ? "stop" : "the initial rule") { isStop ? $0.kind == SWTRACE_CFA_STOP : $0.says(function.initial) }
      } else {
        for (index, row) in function.rows.enumerated() {
          // The later one of two holds.
          if index + 1 < function.rows.count, function.rows[index + 1].address == row.address { continue }
          check(max(row.address, end), "\(row.columns)") { $0.says(row) }
        }
      }
      end = max(end, function.end)
      boundaries.insert(end)
    }
    // Outside of functions there is what no record says.
    let functions = oracle.functions.sorted { $0.start < $1.start }
    var next = 0
    for index in 0..<table.count {
      let (start, rule) = (table[index].start.rawValue, table[index].rule)
      while next < functions.count, functions[next].end <= start { next += 1 }
      let isInside = next < functions.count && functions[next].start <= start
      let isExpected =
        isInside ? boundaries.contains(start) : [SWTRACE_CFA_GAP, SWTRACE_CFA_STOP].contains(rule.kind) || rule.isGuessed
      // `push %rbp; push %r14; lea 8(%rsp), %rbp`, of functions in C++ too.
      let isAsync = isInside && text.bytes(from: functions[next].start, to: functions[next].end).beginsAsync
      let isPadding = next > 0 && start - functions[next - 1].end < 16
      if !isExpected, isAsync || rule.isAsync || isPadding {
        tally.mended += 1
      } else if !isExpected {
        tally.additional.append("0x\(String(start, radix: 16)) \(rule.text)")
      }
    }
    return tally
  }

  /// Of the C and C++ libraries of every machine, and of libcrypto, which has assembly by hand, where it is installed.
  @Test(arguments: [
    ("libc.so.6", true, 8), ("ld-linux-x86-64.so.2", true, 2), ("libstdc++.so.6", true, 0), ("libcrypto.so.3", false, 0),
  ])
  func systemLibrariesHaveTheRulesOfTheirRecords(_ name: String, isRequired: Bool, unsupported: Int) throws {
    let path = try run(["cc", "-print-file-name=\(name)"]).lines[0]
    guard path != name || isRequired else { return }
    let tally = try Self.compare(path)
    #expect(tally.differences.isEmpty && tally.additional.isEmpty && tally.unsupported <= unsupported, "\(tally)")
    #expect(tally.equal > 1000)
  }

  @Test(arguments: [("libswiftCore.so", 0), ("libswift_Concurrency.so", 0), ("libFoundation.so", 0), ("libFoundationEssentials.so", 0)])
  func swiftLibrariesHaveTheRulesOfTheirRecords(_ name: String, unsupported: Int) throws {
    let tally = try Self.compare("\(SwiftLibraries.folder)/\(name)")
    #expect(tally.differences.isEmpty && tally.additional.isEmpty && tally.unsupported <= unsupported, "\(tally)")
    #expect(tally.equal > 1000)
  }
}

/// Those of the toolchain.
enum SwiftLibraries {
  private struct Target: Decodable {
    struct Paths: Decodable { var runtimeLibraryPaths: [String] }
    var paths: Paths
  }

  static let folder: String = {
    let finished = try? run(["swiftc", "-print-target-info"])
    let target = finished.flatMap { try? JSONDecoder().decode(Target.self, from: Data($0.output)) }
    return target?.paths.runtimeLibraryPaths.first ?? ""
  }()
}

extension Bytes {
  var beginsAsync: Bool {
    var cursor = cursor()
    return cursor.u64() == 0x0824_6c8d_4856_4155
  }
}

extension UnwindRule {
  var isGuessed: Bool { flags & UInt8(SWTRACE_RULE_GUESSED.rawValue) != 0 }
  var isAsync: Bool { flags & UInt8(SWTRACE_RULE_ASYNC.rawValue) != 0 }

  /// Whether this is what a row of binutils means, with the columns that a rule has.
  func says(_ row: FrameOracle.Row) -> Bool {
    let (cfa, rbp, r14) = (row.text("CFA"), row.text("rbp"), row.text("r14"))
    switch row.text("ra") {
    case "u": return kind == SWTRACE_CFA_STOP
    case "c-8": break
    default: return kind == SWTRACE_CFA_UNSUPPORTED
    }
    guard cfa != "exp" else {
      return [
        SWTRACE_CFA_PLT, SWTRACE_CFA_RBP_DEREF, SWTRACE_CFA_RSP_DEREF, SWTRACE_CFA_RSP_INDEXED, SWTRACE_CFA_UNSUPPORTED,
      ].contains(kind)
    }
    let words = text.split(separator: " ").map(String.init)
    guard words.first == cfa else { return false }
    let found = swtrace_unwind_rbp(rawValue: UInt32(self.rbp))
    let hasRBP =
      switch rbp {
      case "exp": found == SWTRACE_RBP_AT_RBP || found == SWTRACE_RBP_LOST
      // binutils does not tell unchanged from undefined.
      case "u", "s": found == SWTRACE_RBP_SAME || found == SWTRACE_RBP_LOST
      case _ where rbp.hasPrefix("c"): words.contains("rbp=\(rbp)")
      default: found == SWTRACE_RBP_LOST
      }
    // Of async functions, it is where the context is.
    return hasRBP && (isAsync || (r14.hasPrefix("c") ? words.contains("r14=\(r14)") : r14_offset == 0))
  }
}
