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
  /// The numbers of rules by a hash of them; 0 for a free place.
  private var places = [UInt16](repeating: 0, count: 1 << 16)
  /// The last states of each of 256 hashes, without expressions, which are places in a section. No rule has the number `.max`.
  private var knownStates = [(state: FrameState, number: UInt16)](repeating: (FrameState(), .max), count: 256)
  /// For what lies between the functions.
  private var debugFrames: Remaining<CallFrames.Function>?
  private var debugSource: CallFrames?
  private var swift: Remaining<SwiftFunctions.Function>?
  private var text: SegmentBytes?
  private var tracker = FrameTracker()
  /// How many of the Swift functions have been marked, and how many rows there were then.
  private var marked = (functions: 0, rows: 0)
  private let rowsAtOnce: Int
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
        known = (machine.state, number(of: machine.state, function, frames))
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
  private mutating func number(of state: FrameState, _ function: CallFrames.Function, _ frames: CallFrames) -> UInt16 {
    let isSignalFrame = frames.commons[Int(function.common)].isSignalFrame
    let isPlain = !isSignalFrame && !state.hasExpressions
    let mixed = UInt64(bitPattern: state.cfaOffset) &* 31 &+ UInt64(UInt32(bitPattern: state.rbp.offset &* 7 &+ state.r14.offset))
    let place = Int(((mixed ^ UInt64(state.cfaRegister)) &* 0x9e37_79b9_7f4a_7c15) >> 56)
    if isPlain, knownStates[place].number != .max, knownStates[place].state == state { return knownStates[place].number }
    let number = number(of: UnwindRule(state, isSignalFrame: isSignalFrame, in: frames.section))
    if isPlain { knownStates[place] = (state, number) }
    return number
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
