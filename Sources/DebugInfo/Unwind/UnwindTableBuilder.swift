internal import CUnwind

/// Collects rows in the order of their addresses.
struct UnwindTableBuilder {
  let code: Range<UInt64>
  /// Where the kernel begins to run the file; 0 for nowhere.
  private let entry: UInt64
  private(set) var rules: [UnwindRule] = []
  /// The rules' bits, which are compared one after the other: few rules that differ have the same place.
  private var keys: [(low: UInt64, high: UInt64)] = []
  private(set) var starts: [UInt32] = []
  private(set) var numbers: [UInt16] = []
  /// The last row, which nearly every further one is compared with.
  private var last: (start: UInt32, number: UInt16) = (.max, .max)
  /// Up to where functions have been added.
  private var end: UInt64
  /// The numbers of rules by a hash of them, from 1; 0 for a free place. Twice as many as rules, or more.
  private var places = [UInt16](repeating: 0, count: 1 << 10)
  /// The last states of each of 256 hashes, without expressions, which are places in a section. No rule has the number `.max`.
  private var knownStates = [(words: (UInt64, UInt64, UInt64, UInt64), number: UInt16)](repeating: ((0, 0, 0, 0), .max), count: 256)
  /// For what lies between the functions.
  private var debugFrames: Remaining<CallFrames.Function>?
  private var debugSource: CallFrames?
  private var swift: Remaining<SwiftFunctions.Function>?
  private var text: SegmentBytes?
  private var tracker = FrameTracker()
  private var machine = FrameMachine()
  /// How many of the Swift functions have been marked, and how many rows there were then.
  private var marked = (functions: 0, rows: 0)
  private let rowsAtOnce: Int
  static let maximumRules = 1 << 15
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

  init(code: Range<UInt64>, entry: UInt64, rowsAtOnce: Int) {
    self.code = code
    self.entry = entry
    self.rowsAtOnce = rowsAtOnce
    end = code.lowerBound
    append(end, number(of: .gap))
  }

  /// Makes all rows, best source first: `.eh_frame`; `.debug_frame` where that has nothing; the instructions of Swift functions where
  /// neither has.
  mutating func build(_ frames: CallFrames?, _ debugFrames: CallFrames?, _ swift: SwiftFunctions?, _ text: SegmentBytes) {
    debugSource = debugFrames
    self.debugFrames = debugFrames.map { Remaining(elements: $0.functions) }
    self.swift = swift.map { Remaining(elements: $0.functions) }
    self.text = text
    // Most files have fewer; what is not used of it is never in memory.
    let expected = (frames?.functions.count ?? 0) * 12 + (swift?.functions.count ?? 0) * 2
    starts.reserveCapacity(expected)
    numbers.reserveCapacity(expected)
    if let frames {
      for function in frames.functions {
        // Functions that overlap are rare, and wrong: the first keeps its part.
        let start = max(function.start, end)
        guard start < min(function.end, code.upperBound) else { continue }
        fill(until: start)
        add(function, frames)
        if starts.count - marked.rows > rowsAtOnce { finishRows(frames) }
      }
    }
    fill(until: code.upperBound)
    if end < code.upperBound { append(end, 0) }
    end = code.upperBound
    finishRows(frames)
  }

  /// Marks the Swift functions whose rows are complete, and gives up what was read of the file.
  private mutating func finishRows(_ frames: CallFrames?) {
    if let swift, let text {
      var last = marked.functions
      while last < swift.elements.count, swift.elements[last].end <= end || end == code.upperBound { last += 1 }
      mark(swift.elements[marked.functions..<last], text)
      marked.functions = last
      text.discard()
    }
    frames?.discard()
    marked.rows = starts.count
  }

  /// Takes the last rows away: those from an address on, and what holds before.
  mutating func removeRows(from address: UInt64) -> (before: UInt16, rows: [(start: UInt64, number: UInt16)]) {
    var first = starts.count
    while first > 0, code.lowerBound + UInt64(starts[first - 1]) >= address { first -= 1 }
    let rows = (first..<starts.count).map { (start: code.lowerBound + UInt64(starts[$0]), number: numbers[$0]) }
    starts.removeSubrange(first...)
    numbers.removeSubrange(first...)
    noteLast()
    return (numbers.last ?? 0, rows)
  }

  private mutating func noteLast() { last = (starts.last ?? .max, numbers.last ?? .max) }

  private mutating func add(_ function: CallFrames.Function, _ frames: CallFrames) {
    let start = max(function.start, end)
    let last = min(function.end, code.upperBound)
    guard start < last, starts.count < UnwindTable.maximumRows else { return }
    end = last
    if function.start <= entry, entry < function.end {
      append(start, number(of: .stop))
      return
    }
    frames.start(&machine, function)
    let isSignalFrame = frames.commons[Int(function.common)].isSignalFrame
    var position = function.start
    var number = UInt16.max
    while position < last {
      let stop = machine.next()
      if stop == .failure {
        append(max(position, start), self.number(of: .unsupported))
        return
      }
      // Many records change registers only that no rule has.
      if machine.hasChanged || number == .max { number = self.number(of: machine.state, isSignalFrame, frames) }
      append(max(position, start), number)
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
        tracker.follow(text.bytes(from: function.start, to: function.end)), !tracker.rows.isEmpty
      else { continue }
      if isHole(until: function.start) { append(end, 0) }
      for row in tracker.rows { append(function.start + UInt64(row.offset), number(of: row.rule)) }
      end = function.end
    }
  }

  mutating func append(_ address: UInt64, _ number: UInt16) {
    let start = UInt32(address - code.lowerBound)
    if start == last.start {
      // The later one wins.
      starts.removeLast()
      numbers.removeLast()
      noteLast()
    }
    if number != last.number {
      starts.append(start)
      numbers.append(number)
      last = (start, number)
    }
  }

  /// The number of a state's rule, mostly known: there are two million states, and few that differ.
  @inline(__always)
  private mutating func number(of state: FrameState, _ isSignalFrame: Bool, _ frames: CallFrames) -> UInt16 {
    let words = state.words
    let mixed = (words.0 &* 31) ^ (words.1 >> 29) ^ (words.2 >> 32) ^ (words.3 >> 16)
    let place = Int((mixed &* 0x9e37_79b9_7f4a_7c15) >> 56)
    if !isSignalFrame, knownStates[place].number != .max, knownStates[place].words == words { return knownStates[place].number }
    if state.hasExpressions { frames.loadExpressions(of: state) }
    let number = number(of: UnwindRule(state, isSignalFrame: isSignalFrame, in: frames.section))
    if !isSignalFrame, !state.hasExpressions { knownStates[place] = (words, number) }
    return number
  }

  /// Equal rules have one number. When there are none left, further ones are not supported.
  mutating func number(of rule: UnwindRule) -> UInt16 {
    let bits = rule.bits
    let place = place(of: (bits[0], bits[1]))
    if places[place] != 0 { return places[place] - 1 }
    // The last place is kept for what stands for all further ones.
    guard rules.count < Self.maximumRules - 1 || bits == UnwindRule.unsupported.bits else { return number(of: .unsupported) }
    rules.append(rule)
    keys.append((bits[0], bits[1]))
    places[place] = UInt16(rules.count)
    if rules.count > places.count / 2 {
      places = [UInt16](repeating: 0, count: places.count * 2)
      for (index, key) in keys.enumerated() { places[self.place(of: key)] = UInt16(index + 1) }
    }
    return UInt16(rules.count - 1)
  }

  /// Where the rule is, or would be.
  @inline(__always)
  private func place(of key: (low: UInt64, high: UInt64)) -> Int {
    let mixed = (key.low ^ (key.high &* 0x9e37_79b9_7f4a_7c15)) &* 0xd6e8_feb8_6659_fd93
    var place = Int(truncatingIfNeeded: mixed >> 48) & (places.count - 1)
    while places[place] != 0, keys[Int(places[place]) - 1] != key { place = (place + 1) & (places.count - 1) }
    return place
  }
}
