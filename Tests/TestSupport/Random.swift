/// Numbers that are the same in every run: SplitMix64.
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}

/// Damages a text or file: a few bytes changed, a piece cut out, doubled, or the end missing.
package func mutated(_ bytes: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
  var result = bytes
  guard !result.isEmpty else { return result }
  for _ in 0..<Int.random(in: 1...4, using: &generator) {
    if result.isEmpty { break }
    let place = Int.random(in: 0..<result.count, using: &generator)
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: result.removeSubrange(place...)
    case 1: result.removeSubrange(place..<min(result.count, place + Int.random(in: 1...64, using: &generator)))
    case 2: result.insert(contentsOf: result[place..<min(result.count, place + 32)], at: place)
    case 3: result[place] = [0, 0xFF, 0x7F, 0x80].randomElement(using: &generator)!
    default: result[place] = UInt8.random(in: 0...255, using: &generator)
    }
  }
  return result
}
