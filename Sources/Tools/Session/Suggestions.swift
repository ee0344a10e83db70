/// Names that someone may have meant.
package enum Suggestions {
  /// The nearest of the names, best first: those that differ in few letters, and those that have the word within them.
  package static func nearest(_ wanted: String, among names: some Sequence<String>, count: Int = 3) -> [String] {
    let word = Array(wanted.utf8)
    // One letter in three may be wrong.
    let limit = max(1, min(word.count / 3, 8))
    var best: [(distance: Int, name: String)] = []
    for name in names {
      let other = Array(name.utf8)
      var found = distance(word, other, limit: limit)
      // `sys_getppid` for `__x64_sys_getppid`: after all that differ by letters.
      if found == nil, word.count >= 4, contains(other, word) { found = limit + other.count - word.count }
      guard let found, !best.contains(where: { $0.name == name }) else { continue }
      guard best.count < count || found < best[best.count - 1].distance else { continue }
      best.insert((found, name), at: best.firstIndex { $0.distance > found } ?? best.count)
      if best.count > count { best.removeLast() }
    }
    return best.map(\.name)
  }

  /// `; did you mean a, b or c?`, or nothing.
  package static func question(_ wanted: String, among names: some Sequence<String>) -> String {
    let found = nearest(wanted, among: names)
    guard let last = found.last else { return "" }
    return "; did you mean \(found.count == 1 ? last : "\(found.dropLast().joined(separator: ", ")) or \(last)")?"
  }

  /// How many letters have to be inserted, removed, exchanged or swapped with their neighbor; nil above the limit.
  static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int? {
    guard abs(left.count - right.count) <= limit else { return nil }
    var earlier: [Int] = []
    var previous = Array(0...right.count)
    for i in left.indices {
      var current = [i + 1]
      current.reserveCapacity(right.count + 1)
      var least = i + 1
      for j in right.indices {
        var cost = min(previous[j + 1] + 1, current[j] + 1, previous[j] + (left[i] == right[j] ? 0 : 1))
        if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] { cost = min(cost, earlier[j - 1] + 1) }
        current.append(cost)
        least = min(least, cost)
      }
      guard least <= limit else { return nil }
      earlier = previous
      previous = current
    }
    return previous[right.count] <= limit ? previous[right.count] : nil
  }

  private static func contains(_ text: [UInt8], _ part: [UInt8]) -> Bool {
    guard text.count > part.count else { return false }
    return (0...text.count - part.count).contains { text[$0...].starts(with: part) }
  }
}
