internal import BPF
internal import CProbes
internal import Formats

/// What became of every event: seen = filtered + delivered + lost.
package struct LossReport: Equatable, Sendable {
  package var seen: UInt64 = 0
  package var filtered: UInt64 = 0
  package var delivered: UInt64 = 0
  /// Every reason, also those that did not occur.
  package var lost: [Reason: UInt64] = [:]
  /// Remarks about events that are counted above.
  package var remarks: [Remark: UInt64] = [:]
  /// What the tool lacks on this kernel, one line each.
  package var lacking: [String] = []

  package enum Reason: String, CaseIterable, Sendable {
    case ring, mapFull, scratch
    /// The kernel did not run the probe for its beginning or its end, as the scheduler's numbers show.
    case hidden
    /// The kernel did not run the probe, because it was already running on that processor.
    case missed
    /// The kernel had stopped the clock of samples, because there were too many.
    case throttled
    /// Delivered by the kernel, but never read.
    case unread

    /// The key in JSON.
    package var key: String { self == .mapFull ? "map_full" : rawValue }

    var words: String {
      switch self {
      case .ring: "ring buffer full"
      case .mapFull: "map full"
      case .scratch: "no working memory"
      case .hidden: "hidden by the kernel"
      case .missed: "probe busy"
      case .throttled: "throttled by the kernel: see kernel.perf_event_max_sample_rate"
      case .unread: "not read"
      }
    }
  }

  package enum Remark: String, CaseIterable, Sendable {
    case truncatedText, missingKernelStack, missingUserStack, unfollowed, unreturned, unfinished
    /// Counted above as well.
    case stillBlocked

    package var key: String {
      switch self {
      case .truncatedText: "truncated_text"
      case .missingKernelStack: "missing_kernel_stack"
      case .missingUserStack: "missing_user_stack"
      case .unfollowed: "unfollowed_children"
      case .unreturned: "unreturned_calls"
      case .unfinished: "unfinished"
      case .stillBlocked: "still_blocked"
      }
    }

    var words: String {
      switch self {
      case .truncatedText: "with text that could not be read completely"
      case .missingKernelStack: "without a kernel stack"
      case .missingUserStack: "without a user stack"
      case .unfollowed: "children of the command not traced"
      case .unreturned: "calls whose return was not seen"
      case .unfinished: "that began but never ended"
      case .stillBlocked: "still blocked at the end"
      }
    }
  }

  package init(
    seen: UInt64 = 0, filtered: UInt64 = 0, delivered: UInt64 = 0, lost: [Reason: UInt64] = [:], remarks: [Remark: UInt64] = [:]
  ) {
    (self.seen, self.filtered, self.delivered) = (seen, filtered, delivered)
    (self.lost, self.remarks) = (lost, remarks)
  }

  package var totalLost: UInt64 { lost.values.reduce(0, +) }
  package var isExact: Bool { seen == filtered + delivered + totalLost }

  package static func += (left: inout LossReport, right: LossReport) {
    left.seen += right.seen
    left.filtered += right.filtered
    left.delivered += right.delivered
    left.lost.merge(right.lost, uniquingKeysWith: +)
    left.remarks.merge(right.remarks, uniquingKeysWith: +)
  }

  /// One line for people.
  package var line: String {
    var parts = ["seen \(seen)", "filtered \(filtered)", "delivered \(delivered)", "lost \(totalLost)"]
    let reasons = Reason.allCases.compactMap { reason in lost[reason].flatMap { $0 > 0 ? "\($0) \(reason.words)" : nil } }
    if !reasons.isEmpty { parts[3] += " (\(reasons.joined(separator: ", ")))" }
    if !isExact { parts.append("UNACCOUNTED \(Int64(seen) - Int64(filtered + delivered + totalLost))") }
    for remark in Remark.allCases {
      if let count = remarks[remark], count > 0 { parts.append("\(count) \(remark.words)") }
    }
    return parts.joined(separator: ", ")
  }

  /// The last record of JSON output.
  package func writeJSON(into out: inout [UInt8], durationNanoseconds: UInt64) {
    out.append(contentsOf: "{\"type\":\"summary\",\"seen\":\(seen),\"filtered\":\(filtered),\"delivered\":\(delivered),\"lost\":{".utf8)
    out.append(contentsOf: Reason.allCases.map { "\"\($0.key)\":\(lost[$0] ?? 0)" }.joined(separator: ",").utf8)
    out.append(contentsOf: "},\"remarks\":{".utf8)
    out.append(contentsOf: Remark.allCases.map { "\"\($0.key)\":\(remarks[$0] ?? 0)" }.joined(separator: ",").utf8)
    out.append(contentsOf: "},\"lacking\":".utf8)
    out.append(json: .texts(lacking.map { Text($0) }))
    out.append(contentsOf: ",\"duration_ns\":\(durationNanoseconds)}\n".utf8)
  }
}

extension LossReport {
  /// From the counters of enum swtrace_counter.
  init(counters: [UInt64]) {
    func value(_ counter: swtrace_counter) -> UInt64 { counters[Int(counter.rawValue)] }
    self.init(seen: value(SWTRACE_SEEN), filtered: value(SWTRACE_FILTERED), delivered: value(SWTRACE_DELIVERED))
    lost = [
      .ring: value(SWTRACE_LOST_RING), .mapFull: value(SWTRACE_LOST_MAP_FULL), .scratch: value(SWTRACE_LOST_SCRATCH),
      .hidden: value(SWTRACE_LOST_HIDDEN),
    ]
    remarks = [
      .truncatedText: value(SWTRACE_TRUNCATED_TEXT), .missingKernelStack: value(SWTRACE_MISSING_KERNEL_STACK),
      .missingUserStack: value(SWTRACE_MISSING_USER_STACK), .unfollowed: value(SWTRACE_UNFOLLOWED),
      .unreturned: value(SWTRACE_UNRETURNED), .unfinished: value(SWTRACE_UNFINISHED),
    ]
  }
}
