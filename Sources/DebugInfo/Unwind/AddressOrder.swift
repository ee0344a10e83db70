/// Functions of a file that are to be in the order of their addresses.
protocol Placed: BitwiseCopyable {
  var start: UInt64 { get }

  /// Whether it comes before another one that begins at the same address.
  func comesBefore(_ other: Self) -> Bool
}

extension Array where Element: Placed {
  /// Sorts by the beginning, digit by digit: there are tens of thousands, in a few megabytes, and comparing them took longer than
  /// reading them.
  mutating func sortByStart() {
    guard !zip(self, dropFirst()).allSatisfy({ $0.start < $1.start || $0.start == $1.start && !$1.comesBefore($0) }) else { return }
    var (lowest, highest) = (UInt64.max, UInt64.min)
    for element in self { (lowest, highest) = (Swift.min(lowest, element.start), Swift.max(highest, element.start)) }
    var other = self
    var shift: UInt64 = 0
    while shift < 64, (highest - lowest) >> shift > 0 {
      Self.sort(self, into: &other, lowest, shift)
      swap(&self, &other)
      shift += Self.digit
    }
    sortEqualStarts()
  }

  private static var digit: UInt64 { 12 }

  /// Sorts by one digit, and leaves those in order that have the same one.
  private static func sort(_ elements: [Element], into sorted: inout [Element], _ lowest: UInt64, _ shift: UInt64) {
    let mask = UInt64(1) << digit - 1
    var counts = [Int](repeating: 0, count: 1 << Int(digit))
    var places = counts.mutableSpan
    for element in elements { places[Int(truncatingIfNeeded: (element.start - lowest) >> shift & mask)] &+= 1 }
    var next = 0
    for digit in places.indices { (places[digit], next) = (next, next &+ places[digit]) }
    var target = sorted.mutableSpan
    for element in elements {
      let digit = Int(truncatingIfNeeded: (element.start - lowest) >> shift & mask)
      target[places[digit]] = element
      places[digit] &+= 1
    }
  }

  private mutating func sortEqualStarts() {
    var start = 0
    while start < count {
      var end = start + 1
      while end < count, self[end].start == self[start].start { end += 1 }
      if end - start > 1 { self[start..<end].sort { $0.comesBefore($1) } }
      start = end
    }
  }
}
