/// A regular expression for labels, names and paths: one for questions, for the configuration and for the store.
///
/// What it knows of RE2's syntax: `|`, groups, `*`, `+`, `?`, `{2,5}` and their lazy forms, `.`, `[a-z]`, `\d`, `\w`, `\s` and their
/// opposites, `^` and `$`. It takes all paths at once (Thompson's way): the time is at most the product of both lengths, whatever the
/// pattern.
package struct LabelPattern: Sendable {
  /// In scalars.
  package static let longest = 1000
  /// What repetitions may make of a pattern, in instructions.
  private static let largestProgram = 10_000

  let program: [Instruction]
  /// Groups whose match can be told.
  package let groups: Int
  /// What every match begins with, as UTF-8: few texts have it, and only those are looked at closely.
  let prefix: [UInt8]

  /// - Throws: `PatternError`.
  package init(_ pattern: String) throws(PatternError) {
    var parser = PatternParser(pattern)
    guard parser.count <= Self.longest else {
      throw PatternError(pattern: String(pattern.prefix(32)) + "…", reason: "longer than \(Self.longest) characters")
    }
    let node = try parser.parse()
    groups = parser.groups
    prefix = Array(Self.prefix(of: node).utf8)
    var program: [Instruction] = []
    var steps = 0
    guard Self.emit(node, into: &program, &steps) else { throw PatternError(pattern: pattern, reason: "its repetitions are too many") }
    self.program = program + [.accept]
  }

  /// Whether the whole text matches.
  package func matches(_ text: String) -> Bool {
    let scalars = Array(text.unicodeScalars)
    var current = Threads(program.count)
    var next = Threads(program.count)
    follow(0, at: 0, of: scalars.count, into: &current)
    for (index, scalar) in scalars.enumerated() {
      next.removeAll()
      for place in current.places {
        if case .one(let set) = program[place], set.contains(scalar) { follow(place + 1, at: index + 1, of: scalars.count, into: &next) }
      }
      swap(&current, &next)
    }
    return current.isMember[program.count - 1]
  }

  /// All places that are reached without a character.
  private func follow(_ place: Int, at position: Int, of count: Int, into threads: inout Threads) {
    var open = [place]
    while let place = open.popLast() {
      guard threads.insert(place) else { continue }
      switch program[place] {
      case .one, .accept: break
      case .jump(let target): open.append(target)
      case .fork(let first, let second): open += [first, second]
      case .save: open.append(place + 1)
      case .begin: if position == 0 { open.append(place + 1) }
      case .end: if position == count { open.append(place + 1) }
      }
    }
  }

  /// - Returns: false when it becomes too large.
  private static func emit(_ node: PatternNode, into program: inout [Instruction], _ steps: inout Int) -> Bool {
    // Nothing that is repeated often makes no instructions.
    steps += 1
    guard steps <= largestProgram else { return false }
    switch node {
    case .begin: program.append(.begin)
    case .end: program.append(.end)
    case .one(let set): program.append(.one(set))
    case .sequence(let nodes):
      for node in nodes where !emit(node, into: &program, &steps) { return false }
    case .either(let nodes):
      var ends: [Int] = []
      for node in nodes.dropLast() {
        let fork = program.count
        program.append(.accept)
        guard emit(node, into: &program, &steps) else { return false }
        ends.append(program.count)
        program.append(.accept)
        program[fork] = .fork(fork + 1, program.count)
      }
      guard emit(nodes[nodes.count - 1], into: &program, &steps) else { return false }
      for end in ends { program[end] = .jump(program.count) }
    case .group(let node, let number):
      program.append(.save(2 * number))
      guard emit(node, into: &program, &steps) else { return false }
      program.append(.save(2 * number + 1))
    case .repeated(let node, let least, let most, let isLazy):
      // What is tried first stands first.
      func fork(_ again: Int, _ on: Int) -> Instruction { isLazy ? .fork(on, again) : .fork(again, on) }
      for _ in 0..<least where !emit(node, into: &program, &steps) { return false }
      let start = program.count
      guard let most else {
        program.append(.accept)
        guard emit(node, into: &program, &steps) else { return false }
        program.append(.jump(start))
        program[start] = fork(start + 1, program.count)
        return true
      }
      var forks: [Int] = []
      for _ in least..<most {
        forks.append(program.count)
        program.append(.accept)
        guard emit(node, into: &program, &steps) else { return false }
      }
      for place in forks { program[place] = fork(place + 1, program.count) }
    }
    return program.count <= largestProgram
  }

  /// The plain characters that a pattern begins with.
  private static func prefix(of node: PatternNode) -> String {
    switch node {
    case .one(let set):
      guard !set.isInverted, set.ranges.count == 1, set.ranges[0].count == 1, let scalar = Unicode.Scalar(set.ranges[0].lowerBound) else {
        return ""
      }
      return String(scalar)
    case .sequence(let nodes):
      var text = ""
      for node in nodes {
        guard case .one = node, case let part = prefix(of: node), !part.isEmpty else { break }
        text += part
      }
      return text
    default: return ""
    }
  }

  enum Instruction: Sendable {
    case one(ScalarSet)
    case jump(Int)
    case fork(Int, Int)
    /// Notes the place in the text.
    case save(Int)
    case begin
    case end
    case accept
  }

  /// Places in the program, each once.
  private struct Threads {
    private(set) var places: [Int] = []
    private(set) var isMember: [Bool]

    init(_ count: Int) { isMember = Array(repeating: false, count: count) }

    mutating func insert(_ place: Int) -> Bool {
      guard !isMember[place] else { return false }
      isMember[place] = true
      places.append(place)
      return true
    }

    mutating func removeAll() {
      for place in places { isMember[place] = false }
      places.removeAll(keepingCapacity: true)
    }
  }
}

/// A regular expression that cannot be read.
package struct PatternError: Error, Hashable, CustomStringConvertible {
  package var pattern: String
  package var reason: String

  package init(pattern: String, reason: String) {
    self.pattern = pattern
    self.reason = reason
  }

  package var description: String { "cannot read the pattern '\(pattern)': \(reason)" }
}

/// Which characters stand at one place.
struct ScalarSet: Sendable {
  var ranges: [ClosedRange<UInt32>] = []
  var isInverted = false

  func contains(_ scalar: Unicode.Scalar) -> Bool { ranges.contains { $0 ~= scalar.value } != isInverted }
}
