package import Profiles

/// What an address stands for; decides which instruction is looked up.
package enum StackAddress: UInt8, Sendable {
  /// Where the task was.
  case programCounter
  /// Where it will go on: the call is the instruction before.
  case returnAddress
  /// Where a suspended async function will go on: exactly a function's start.
  case asyncResumePoint

  /// The address to look up.
  func instruction(_ address: UInt64) -> UInt64 { self == .returnAddress && address > 0 ? address - 1 : address }
}

/// What is known of an address. That nothing is known is an answer, not an error.
package enum Symbolized: Sendable {
  /// Innermost first; more than one where calls were inlined.
  case frames([Frame])
  case unknown(Reason)

  package enum Reason: String, Error, CaseIterable, Hashable, Sendable {
    case unmapped = "unmapped address"
    case processGone = "process gone before it could be read"
    case fileGone = "file not accessible"
    case fileChanged = "file replaced since it was mapped"
    case damagedFile = "damaged or oversized file"
    case noSymbols = "file without symbols"
    case outsideSymbols = "outside every symbol"
    case anonymous = "code without a file or perf map"
    case kernelHidden = "kernel addresses hidden"
  }
}

/// How many addresses got a name, and why others did not.
package struct SymbolizationReport: Sendable {
  package var named = 0
  /// Those of `named` whose source line is known, too.
  package var withLine = 0
  package var unknown: [Symbolized.Reason: Int] = [:]

  /// What an address counts as.
  package enum Outcome: Sendable {
    case named(hasLine: Bool)
    case unknown(Symbolized.Reason)

    package init(_ answer: Symbolized) {
      switch answer {
      case .frames(let frames): self = .named(hasLine: (frames.last?.line ?? 0) > 0)
      case .unknown(let reason): self = .unknown(reason)
      }
    }
  }

  package var total: Int { named + unknown.values.reduce(0, +) }

  /// Records of processes that the kernel had no room for; names may be missing or wrong since.
  package var lostRecords: UInt64 = 0

  /// One line for people.
  package var line: String {
    let reasons = Symbolized.Reason.allCases.compactMap { reason in unknown[reason].map { "\($0) \(reason.rawValue)" } }
    return "symbols: \(share(named)) of \(total) addresses, \(share(withLine)) with a source line"
      + (reasons.isEmpty ? "" : "; \(reasons.joined(separator: ", "))")
      + (lostRecords == 0 ? "" : "; \(lostRecords) records of processes were lost")
  }

  private func share(_ count: Int) -> String {
    let thousandths = total == 0 ? 1000 : count * 1000 / total
    return "\(thousandths / 10).\(thousandths % 10) %"
  }
}
