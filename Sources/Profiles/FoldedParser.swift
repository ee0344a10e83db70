/// The first line of folded text that cannot be read, and why.
package struct FoldedError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Reason: Hashable, Sendable {
    case noCount
    case badCount(String)
    case noStack
    case lineTooLong
    case tooDeep
    case sumTooLarge
    case empty
  }
  /// From 1; 0 when the text as a whole is meant.
  package let line: Int
  package let reason: Reason

  package var description: String {
    let limits = FoldedParser.self
    let text =
      switch reason {
      case .noCount: "no count after the last space; a line is \"command;caller;callee 12\""
      case .badCount(let count): "\"\(count)\" is not a count of at least 0, such as 12 or 12.5"
      case .noStack: "there is a count but no stack before it"
      case .lineTooLong: "longer than \(limits.lineLimit) bytes"
      case .tooDeep: "more than \(limits.depthLimit) frames"
      case .sumTooLarge: "the counts up to here add up to more than 64 bits hold"
      case .empty: "no stacks in it; a line is \"command;caller;callee 12\""
      }
    return line > 0 ? "line \(line): \(text)" : text
  }
}

/// Reads folded text, the form in which flame-graph tools exchange stacks: `command;root;…;leaf count`, one stack a line.
///
/// - The count is what follows the last space or tab, an integer or a decimal; so names may contain spaces. Differential lines with two counts
///   are not told apart from names that end in a number, as nothing in the text does.
/// - What stands before the first `;` becomes the process's command, as BCC's tools and `swtrace` write it.
/// - `_[k]` at a frame's end makes it a kernel frame and `_[i]` an inlined one; `-`, `--` and names in brackets such as `[unknown]`
///   are markers. Other suffixes stay part of the name.
/// - Empty lines, lines that start with `#`, empty frames and stacks counted 0 times are skipped; lines may end in CRLF.
/// - Control characters and bytes that are not UTF-8 are read as the text `\xHH`.
package enum FoldedParser {
  /// The longest line, in bytes; longer ones are refused.
  package static let lineLimit = 1 << 20
  /// The deepest stack, in frames, the command included; deeper ones are refused.
  package static let depthLimit = 4096
  /// Digits after the decimal point that are kept; the rest are dropped.
  static let decimalLimit = 9

  /// Throws for the first line that cannot be read, and for text without any stack. Time and memory are linear in the text.
  package static func parse(_ bytes: [UInt8], unit: Profile.Unit = .samples) throws(FoldedError) -> Profile {
    let decimals = decimals(bytes)
    var profile = Profile(unit: unit, decimals: decimals)
    var frames: [BytesKey: Frame.ID] = [:]
    var sum: UInt64 = 0
    var lines = Lines(bytes)
    while let line = try lines.next() {
      let count = try line.count(decimals: decimals)
      let (newSum, overflow) = sum.addingReportingOverflow(count)
      if overflow { throw line.error(.sumTooLarge) }
      sum = newSum
      try add(line, count: count, to: &profile, frames: &frames)
    }
    guard !profile.samples.isEmpty else { throw FoldedError(line: 0, reason: .empty) }
    return profile
  }

  /// How many digits after the point the whole text needs, so that all counts fit one scale exactly.
  private static func decimals(_ bytes: [UInt8]) -> Int {
    var most = 0
    var lines = Lines(bytes)
    // A bad line ends the search here and is reported when the stacks are read, after any earlier line that is bad for another reason.
    while let line = try? lines.next() { most = max(most, min(line.fraction.count, decimalLimit)) }
    return most
  }

  private static func add(
    _ line: Line, count: UInt64, to profile: inout Profile, frames: inout [BytesKey: Frame.ID]
  ) throws(FoldedError) {
    var command: ArraySlice<UInt8>?
    var stack = Stack.ID.empty
    var depth = 0
    var start = line.stack.startIndex
    while start <= line.stack.endIndex {
      let end = line.stack[start...].firstIndex(of: UInt8(ascii: ";")) ?? line.stack.endIndex
      let name = line.stack[start..<end]
      start = end + 1
      if name.trimmed.isEmpty { continue }
      depth += 1
      if depth > depthLimit { throw line.error(.tooDeep) }
      if command == nil {
        command = name
        continue
      }
      if let known = frames[BytesKey(bytes: name)] {
        stack = profile.stacks.push(known, on: stack)
      } else {
        let frame = profile.stacks.intern(frame(name))
        frames[BytesKey(bytes: name)] = frame
        stack = profile.stacks.push(frame, on: stack)
      }
    }
    guard let command else { throw line.error(.noStack) }
    profile.add(count, stack: stack, process: Profile.Process(command: Array(command)))
  }

  /// A frame from its text, the suffixes taken off.
  private static func frame(_ bytes: ArraySlice<UInt8>) -> Frame {
    var name = readableName(bytes)
    var kind = Frame.Kind.user
    var isInlined = false
    if name.hasSuffix("_[k]"), name.utf8.count > 4 {
      name.removeLast(4)
      kind = .kernel
    } else if name.hasSuffix("_[i]"), name.utf8.count > 4 {
      name.removeLast(4)
      isInlined = true
    } else if name == "-" || name == "--" || name.hasPrefix("[") && name.hasSuffix("]") {
      kind = .marker
    }
    return Frame(function: name, kind: kind, isInlined: isInlined)
  }
}

/// One line that holds a stack: `stack` and then a count of `whole` and, after the point, `fraction`, both only digits.
private struct Line {
  let number: Int
  let stack: ArraySlice<UInt8>
  let whole: ArraySlice<UInt8>
  let fraction: ArraySlice<UInt8>

  func error(_ reason: FoldedError.Reason) -> FoldedError { FoldedError(line: number, reason: reason) }

  /// The count in 10^-decimals of the unit.
  func count(decimals: Int) throws(FoldedError) -> UInt64 {
    let padding = repeatElement(UInt8(ascii: "0"), count: max(decimals - fraction.count, 0))
    var count: UInt64 = 0
    for digit in whole + fraction.prefix(decimals) + padding {
      let (shifted, overflow) = count.multipliedReportingOverflow(by: 10)
      let (sum, more) = shifted.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      if overflow || more { throw error(.sumTooLarge) }
      count = sum
    }
    return count
  }
}

/// The lines that hold stacks, one after the other.
private struct Lines {
  private let bytes: [UInt8]
  private var position = 0
  private var number = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func next() throws(FoldedError) -> Line? {
    while position < bytes.endIndex {
      let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.endIndex
      let text = bytes[position..<end].trimmed
      position = end + 1
      number += 1
      if text.isEmpty || text.first == UInt8(ascii: "#") { continue }
      return try parse(text)
    }
    return nil
  }

  private func parse(_ text: ArraySlice<UInt8>) throws(FoldedError) -> Line {
    if text.count > FoldedParser.lineLimit { throw FoldedError(line: number, reason: .lineTooLong) }
    guard let space = text.lastIndex(where: \.isBlank) else {
      throw FoldedError(line: number, reason: text.allSatisfy(\.isDigit) ? .noStack : .noCount)
    }
    let count = text[(space + 1)...]
    let point = count.firstIndex(of: UInt8(ascii: ".")) ?? count.endIndex
    let (whole, fraction) = (count[..<point], count[point...].dropFirst())
    guard whole.allSatisfy(\.isDigit), fraction.allSatisfy(\.isDigit), !(whole.isEmpty && fraction.isEmpty) else {
      // Only something that starts like a number was meant as one.
      let looksNumeric = count.first.map { $0.isDigit || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") } ?? false
      throw FoldedError(line: number, reason: looksNumeric ? .badCount(readableName(count.prefix(40))) : .noCount)
    }
    return Line(number: number, stack: text[..<space].trimmed, whole: whole, fraction: fraction)
  }
}
