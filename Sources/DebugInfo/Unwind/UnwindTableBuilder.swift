internal import CUnwind

/// Collects rows in the order of their addresses.
struct UnwindTableBuilder {
  let code: Range<UInt64>
  /// Where the kernel begins to run the file; 0 for nowhere.
  private let entry: UInt64
  private(set) var rules: [UnwindRule] = []
  /// The rules' bits, which are compared one after the other: few rules that differ have the same place.
  private var keys: [(low: UInt64, high: UInt64)] = []
  var starts: [UInt32] = []
  var numbers: [UInt16] = []
  /// Up to where functions have been added.
  private var end: UInt64
  /// The numbers of rules by a hash of them; 0 for a free place.
  private var places = [UInt16](repeating: 0, count: 1 << 16)
  /// For what lies between the functions.
  private var debugFrames: Remaining<CallFrames.Function>?
  private var debugSource: CallFrames?
  private var swift: Remaining<SwiftFunctions.Function>?
  private var text: CodeBytes?

  /// Shorter holes between functions are padding.
  private static let padding: UInt64 = 16
  /// What is after the entry point of a file that has no rules for it (ld.so) belongs to it.
  private static let entryLength: UInt64 = 256

  /// What has not been looked at yet of a list in the order of addresses.
  private struct Remaining<Element> {
    let elements: [Element]
    var position = 0

    var first: Element? { position < elements.count ? elements[position] : nil }
  }

  init(code: Range<UInt64>, entry: UInt64) {
    self.code = code
    self.entry = entry
    end = code.lowerBound
    append(end, number(of: .gap))
  }

  /// Makes all rows, best source first: `.eh_frame`; `.debug_frame` where that has nothing; the instructions of Swift functions where
  /// neither has.
  mutating func build(_ frames: CallFrames?, _ debugFrames: CallFrames?, _ swift: SwiftFunctions?, _ text: CodeBytes?) {
    debugSource = debugFrames
    self.debugFrames = debugFrames.map { Remaining(elements: $0.functions) }
    self.swift = swift.map { Remaining(elements: $0.functions) }
    self.text = text
    if let frames {
      starts.reserveCapacity(frames.functions.count * 8)
      numbers.reserveCapacity(frames.functions.count * 8)
      for function in frames.functions {
        // Functions that overlap are rare, and wrong: the first keeps its part.
        let start = max(function.start, end)
        guard start < min(function.end, code.upperBound) else { continue }
        fill(until: start)
        add(function, frames)
      }
    }
    fill(until: code.upperBound)
    if end < code.upperBound { append(end, 0) }
    if let swift, let text { mark(swift.functions, text) }
  }

  private mutating func add(_ function: CallFrames.Function, _ frames: CallFrames) {
    let start = max(function.start, end)
    let last = min(function.end, code.upperBound)
    guard start < last, starts.count < UnwindTable.maximumRows else { return }
    end = last
    if function.start <= entry, entry < function.end {
      append(start, number(of: .stop))
      return
    }
    let isSignalFrame = frames.commons[Int(function.common)].isSignalFrame
    var machine = frames.machine(function)
    var position = function.start
    var known: (state: FrameState, number: UInt16)?
    while position < last {
      let stop = machine.next()
      if stop == .failure {
        append(max(position, start), number(of: .unsupported))
        return
      }
      // Many records change registers only that no rule has.
      if known?.state != machine.state {
        known = (machine.state, number(of: UnwindRule(machine.state, isSignalFrame: isSignalFrame, in: frames.section)))
      }
      append(max(position, start), known?.number ?? 0)
      guard case .advance(let distance) = stop else { return }
      let next = position.addingReportingOverflow(distance)
      position = next.overflow ? .max : next.partialValue
    }
  }

  /// Adds what is known of the code between the functions of the best source.
  private mutating func fill(until next: UInt64) {
    if let debugSource {
      while let function = debugFrames?.first, function.start < next {
        debugFrames?.position += 1
        guard function.start >= end, function.end <= next else { continue }
        fillGap(until: function.start)
        add(function, debugSource)
      }
    }
    fillGap(until: next)
  }

  /// What lies between functions has no rule, unless it is only padding, the entry point, or Swift.
  private mutating func fillGap(until next: UInt64) {
    guard isHole(until: next) else { return }
    if entry > 0, end <= entry, entry < next {
      readInstructions(until: entry)
      if isHole(until: entry) { append(end, 0) }
      append(entry, number(of: .stop))
      end = min(next, entry + Self.entryLength)
    }
    readInstructions(until: next)
    if isHole(until: next) { append(end, 0) }
  }

  private func isHole(until next: UInt64) -> Bool { next - end >= Self.padding || end == code.lowerBound }

  private mutating func readInstructions(until next: UInt64) {
    guard let text else { return }
    while let function = swift?.first, function.start < next {
      swift?.position += 1
      guard function.start >= end, function.end <= next, starts.count < UnwindTable.maximumRows,
        let rows = FrameTracker.rows(text.bytes(from: function.start, to: function.end)), !rows.isEmpty
      else { continue }
      if isHole(until: function.start) { append(end, 0) }
      for row in rows { append(function.start + UInt64(row.offset), number(of: row.rule)) }
      end = function.end
    }
  }

  mutating func append(_ address: UInt64, _ number: UInt16) {
    let start = UInt32(address - code.lowerBound)
    if starts.last == start {
      // The later one wins.
      starts.removeLast()
      numbers.removeLast()
    }
    if numbers.last != number {
      starts.append(start)
      numbers.append(number)
    }
  }

  /// Equal rules have one number. When there are none left, further ones are not supported.
  mutating func number(of rule: UnwindRule) -> UInt16 {
    let bits = rule.bits
    let mixed = (bits[0] ^ (bits[1] &* 0x9e37_79b9_7f4a_7c15)) &* 0xd6e8_feb8_6659_fd93
    var place = Int(mixed >> 48)
    while places[place] != 0 {
      let number = places[place] - 1
      if keys[Int(number)] == (bits[0], bits[1]) { return number }
      place = (place + 1) & 0xffff
    }
    guard rules.count < 1 << 15 else { return number(of: .unsupported) }
    rules.append(rule)
    keys.append((bits[0], bits[1]))
    places[place] = UInt16(rules.count)
    return UInt16(rules.count - 1)
  }
}
