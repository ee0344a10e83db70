internal import Glibc

/// How long a readable name can become.
///
/// Mangled names refer back to types that came before, so that each level of nesting can double what is printed: a name of 200 bytes can
/// stand for gigabytes. Demanglers print it all.
enum NameGrowth {
  enum Mangling { case swift, itanium }

  /// Bytes; names of real programs stay below by their nature, and most far below.
  private static let limit = 0x1p28
  /// The largest number of times that one reference may stand for (Swift's `A2047x`).
  private static let largestRepeat = 2048

  /// Whether the readable form is short enough to be made.
  ///
  /// With `g` types that have parts, and `r` references in them, it has at most `(1 + r/g)^g` times the name's length.
  static func isBounded(_ name: UnsafeBufferPointer<UInt8>, _ mangling: Mangling) -> Bool {
    var parts = Parts(name: name)
    switch mangling {
    case .swift: parts.countSwift()
    case .itanium: parts.countItanium()
    }
    guard parts.types > 0 else { return true }
    // It is less than e^r times the length: most names have few references.
    if parts.references <= 8, name.count + parts.repeated < 1 << 16 { return true }
    let (types, references) = (Double(parts.types), Double(parts.references))
    return pow(1 + references / types, types) * Double(name.count + parts.repeated) < limit
  }

  private struct Parts {
    let name: UnsafeBufferPointer<UInt8>
    var index = 0
    /// Types with parts that may be references.
    var types = 0
    var references = 0
    /// Standard types that stand for many (`S9i`).
    var repeated = 0

    init(name: UnsafeBufferPointer<UInt8>) { self.name = name }

    /// The number here, and what follows it.
    private mutating func number() -> Int {
      var number = 0
      while index < name.count, name[index] >= UInt8(ascii: "0"), name[index] <= UInt8(ascii: "9") {
        number = min(number * 10 + Int(name[index] - UInt8(ascii: "0")), max(name.count, largestRepeat))
        index += 1
      }
      return number
    }

    /// An identifier in which letters stand for words that came before: `04TestA3Kit`.
    private mutating func skipWords() {
      index += 1
      var hasWords = true
      repeat {
        while hasWords, index < name.count, name[index] >= UInt8(ascii: "A") {
          hasWords = name[index] >= UInt8(ascii: "a")
          index += 1
        }
        if index < name.count, name[index] == UInt8(ascii: "0") {
          index += 1
          return
        }
        index += max(number(), 1)
      } while hasWords && index < name.count
    }

    mutating func countSwift() {
      // Local types repeat the types of the functions that they are in.
      var functions = 0
      defer { types = max(types, functions) }
      index = 2
      while index < name.count {
        switch name[index] {
        case UInt8(ascii: "0"): skipWords()
        case UInt8(ascii: "1")...UInt8(ascii: "9"): index += number()
        case let letter where letter == UInt8(ascii: "A") || letter == UInt8(ascii: "S"):
          // `A3bC`, `S2i`, `A12_`: capitals and `_` end it.
          var isLast = false
          index += 1
          while !isLast, index < name.count {
            // Before `_` the number says which, before a letter how many.
            let number = number()
            isLast = letter == UInt8(ascii: "S") || index >= name.count || name[index] < UInt8(ascii: "a")
            let count = index < name.count && name[index] == UInt8(ascii: "_") ? 1 : max(number, 1)
            if letter == UInt8(ascii: "A") { references += count } else { repeated += count }
            index += 1
          }
        case UInt8(ascii: "G"), UInt8(ascii: "Q"):
          types += 1
          index += 1
        case UInt8(ascii: "F"):
          functions += 1
          index += 1
        default: index += 1
        }
      }
    }

    mutating func countItanium() {
      index = 2
      while index < name.count {
        switch name[index] {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): index += number()
        case UInt8(ascii: "S"), UInt8(ascii: "T"):
          index += 1
          let start = index
          while index < name.count, name[index] >= UInt8(ascii: "0"), name[index] <= UInt8(ascii: "Z") { index += 1 }
          // `S_`, `S1A_`, `T0_`; but `St` and `TV` are no references.
          if index < name.count, name[index] == UInt8(ascii: "_") { references += 1 } else { index = start }
        case UInt8(ascii: "I"), UInt8(ascii: "F"), UInt8(ascii: "M"), UInt8(ascii: "J"), UInt8(ascii: "X"):
          types += 1
          index += 1
        case UInt8(ascii: "D"):
          // `DT…E`, `Dt…E`: the type of an expression.
          index += 1
          if index < name.count, name[index] | 0x20 == UInt8(ascii: "t") { types += 1 }
        default: index += 1
        }
      }
    }
  }
}
