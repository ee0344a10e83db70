internal import Glibc

/// The short form of a Swift function's name: the module, the types, the function and its labels, as they stand in the source.
///
/// The runtime's simplified form has no modules, and tells much of what the compiler made. The module is read from the front of the
/// mangled name, which begins with the outermost thing; the rest is rewritten here.
struct SwiftName {
  /// Of the outermost type or function; empty for those of C, and where the name does not tell.
  private let module: Bytes
  private let out: UnsafeMutableBufferPointer<UInt8>
  private var count = 0

  /// What is longer ends in `…`.
  static let limit = 800
  /// The same for a type in the name of code that nobody wrote.
  private static let typeLimit = 100

  /// Whether a name may be one of Swift's.
  static func isMangled(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    let rest = Bytes(name)
    return rest.starts(with: "$s") || rest.starts(with: "$S") || rest.starts(with: "$e") || rest.starts(with: "_T")
      || rest.starts(with: "_$")
  }

  /// - Parameter simplified: what the runtime's demangler for backtraces makes of `mangled`.
  static func short(_ mangled: UnsafeBufferPointer<UInt8>, simplified: UnsafeBufferPointer<UInt8>) -> String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: SwiftModule.limit + limit + 8) { buffer in
      let (words, out) = (UnsafeMutableBufferPointer(rebasing: buffer[..<SwiftModule.limit]), buffer[SwiftModule.limit...])
      var name = SwiftName(module: SwiftModule.read(mangled, words), out: UnsafeMutableBufferPointer(rebasing: out))
      // What is behind would be cut off, and brackets that nothing closes are searched for to the end.
      name.write(name: Bytes(UnsafeBufferPointer(rebasing: simplified.prefix(8 * limit))))
      name.cut(to: limit)
      return String(decoding: UnsafeBufferPointer(rebasing: name.out[..<name.count]), as: UTF8.self)
    }
  }

  private init(module: Bytes, out: UnsafeMutableBufferPointer<UInt8>) { (self.module, self.out) = (module, out) }

  // MARK: What the compiler made

  /// Other forms of the function that follows.
  private static let forms: [StaticString] = [
    "specialized ", "partial apply for ", "partial apply forwarder for ", "merged ", "dispatch thunk of ", "method lookup function for ",
    "distributed thunk ", "dynamically replaceable thunk for ", "default override of ", "generic specialization of ", "curry thunk of ",
    "identity thunk of ", "back deployment thunk for ", "back deployment fallback for ", "protocol self-conformance witness for ",
    "@objc ", "@nonobjc ",
  ]

  private static func form(_ text: Bytes) -> StaticString? {
    // Most begin with none.
    guard let first = text.first, first.isLetter && !first.isCapital || first == UInt8(ascii: "@") else { return nil }
    return forms.first { text.starts(with: $0) }
  }

  private mutating func write(name: Bytes) {
    var rest = name
    // Most are one word.
    guard rest.first(" ") != nil else { return write(phrase: rest, qualifiedBy: module) }
    while let form = Self.form(rest) { rest = rest.dropFirst(form.utf8CodeUnitCount) }
    if rest.starts(with: "protocol witness for ") {
      write(witness: rest.dropFirst(21))
    } else if rest.starts(with: "thunk for ") || rest.starts(with: "reabstraction thunk ") {
      write("reabstraction thunk")
    } else if rest.starts(with: "lazy protocol witness table accessor for type ") {
      write("protocol witness table accessor for ")
      let type = rest.dropFirst(46)
      write(type: type[type.startIndex..<(type.first(" and conformance ") ?? type.endIndex)])
    } else if rest.starts(with: "outlined "), let preposition = rest.first(" of ") {
      append(rest[..<(preposition + 4)])
      write(type: rest[(preposition + 4)...])
    } else if rest.starts(with: "vtable thunk for "), let target = rest.first(" dispatching to ") {
      write(function: rest[(target + 16)...])
    } else {
      write(function: rest)
    }
  }

  /// `P.f() in conformance T` as the type's method, `T.f()`.
  private mutating func write(witness: Bytes) {
    guard let place = witness.first(" in conformance ") else { return write(function: witness) }
    var requirement = witness[..<place]
    if requirement.starts(with: "static ") {
      write("static ")
      requirement = requirement.dropFirst(7)
    }
    var type = witness[(place + 16)...]
    // The generic parameters of the conformance.
    if type.first == UInt8(ascii: "<"), let end = type.endOfBrackets { type = type[min(end + 1, type.endIndex)...] }
    let end = type.first(" in ") ?? type.endIndex
    if type.first == UInt8(ascii: "[") {
      type.first(" : ") == nil ? write("Swift.Array") : write("Swift.Dictionary")
    } else if end > type.startIndex, type[end - 1] == UInt8(ascii: "?") {
      write("Swift.Optional")
    } else {
      if end == type.endIndex { writeModule() }
      write(path: type[..<end])
    }
    write(".")
    write(path: Self.member(requirement))
    if end < type.endIndex {
      write(" in ")
      write(function: type[(end + 4)...])
    }
  }

  /// A requirement without its protocol.
  private static func member(_ requirement: Bytes) -> Bytes {
    var last = requirement.startIndex
    var before = last
    while let end = requirement[last...].firstIndex(where: { !$0.isOfIdentifier }), end > last, requirement[end] == UInt8(ascii: ".") {
      (before, last) = (last, end + 1)
    }
    let isAccessor = accessors.contains { requirement[last...].equals($0) }
    return requirement[(isAccessor ? before : last)...]
  }

  private static let accessors: [StaticString] = ["getter", "setter", "modify", "read"]

  /// A type in the name of code that nobody wrote.
  private mutating func write(type: Bytes) {
    let start = count
    if type.first?.isOfIdentifier == true, !type.starts(with: "any "), !type.starts(with: "some ") { writeModule() }
    append(type)
    cut(to: start + Self.typeLimit)
  }

  // MARK: Functions

  /// What lies in one another, innermost first: `closure #1 in inner #1 (_:) in method() in Local #1 in outer(_:)`.
  private mutating func write(function: Bytes) {
    var rest = function
    while let end = rest.first(" in ") {
      let part = rest[..<end]
      rest = rest[(end + 4)...]
      if part.starts(with: "closure #") || part.starts(with: "implicit closure #") {
        append(part)
      } else if let nextEnd = rest.first(" in "), let type = Self.localType(rest[..<nextEnd]) {
        // `method() in Local #1` is `Local.method()`.
        write(phrase: part, qualifiedBy: type)
        rest = rest[(nextEnd + 4)...]
      } else {
        write(phrase: part, qualifiedBy: nil)
      }
      write(" in ")
    }
    // Code outside of functions is in the module itself.
    if rest.isEmpty { append(module) } else { write(phrase: rest, qualifiedBy: module) }
  }

  /// `Local` of `Local #1`.
  private static func localType(_ part: Bytes) -> Bytes? {
    guard let space = part.firstIndex(where: { !$0.isOfIdentifier }), part[space...].starts(with: " #"),
      part[(space + 2)...].firstIndex(where: { !$0.isDigit }) == nil, !part.starts(with: "closure ")
    else { return nil }
    return part[space...].equals(" #1") ? part[..<space] : part
  }

  /// Words that say what of a thing it is, then the thing.
  private mutating func write(phrase: Bytes, qualifiedBy outer: Bytes?) {
    var rest = phrase
    for words: StaticString in ["variable initialization expression of ", "one-time initialization function for "]
    where rest.starts(with: words) {
      write("initial value of ")
      rest = rest.dropFirst(words.utf8CodeUnitCount)
    }
    while let end = rest.firstIndex(where: { !$0.isOfWord }), end > rest.startIndex, rest[end...].isBetweenWords {
      append(rest[..<(end + 1)])
      rest = rest[(end + 1)...]
    }
    // `… table for <A> Type`
    if rest.startIndex > phrase.startIndex, phrase.first != UInt8(ascii: "s"), let end = rest.endOfBrackets {
      rest = rest[end...].dropFirst()
    }
    if let outer, !outer.isEmpty, let first = rest.first, first != UInt8(ascii: "["), first != UInt8(ascii: "(") {
      append(outer)
      write(".")
    }
    write(path: rest)
  }

  /// `Type.function(labels:)`, without generic parameters, and with the names that are written in the source.
  private mutating func write(path: Bytes) {
    var index = path.startIndex
    while count < out.count {
      // Most bytes are of names.
      let start = index
      while index < path.endIndex, path[index].isPlain { index += 1 }
      append(path[start..<index])
      guard index < path.endIndex else { return }
      if let next = write(special: path, at: index) { index = next } else { return }
    }
  }

  /// Writes what stands for something at a place of a path; the place after it, or nil where the path ends.
  private mutating func write(special path: Bytes, at index: Int) -> Int? {
    let rest = path[index...]
    let before = index == path.startIndex ? nil : path[index - 1]
    switch path[index] {
    case UInt8(ascii: "`"):
      let end = (rest.dropFirst().firstIndex { $0 == UInt8(ascii: "`") } ?? path.endIndex - 1) + 1
      append(path[index..<end])
      return end
    case UInt8(ascii: "<"):
      if let before, before.isOfIdentifier, let end = rest.endOfBrackets { return end }
    case UInt8(ascii: " "):
      // The type of a property.
      if rest.starts(with: " : ") { return nil }
      if rest.starts(with: " infix(") { return index + 6 }
      if rest.starts(with: " infix<") { return rest.dropFirst(6).endOfBrackets ?? index + 6 }
      if rest.starts(with: " #") {
        // `inner #1 <A>(_:)`: the number tells two of one name apart.
        let end = rest.dropFirst(2).firstIndex { !$0.isDigit } ?? path.endIndex
        if !path[index..<end].equals(" #1") { append(path[index..<end]) }
        guard end < path.endIndex, path[end] == UInt8(ascii: " ") else { return end }
        return path[(end + 1)...].endOfBrackets ?? end + 1
      }
    case UInt8(ascii: "@"):
      // `function@Sendable (_:)`
      if before != nil, let space = rest.firstIndex(where: { $0 == UInt8(ascii: " ") }) { return space + 1 }
    case UInt8(ascii: "_") where before == nil || before == UInt8(ascii: "."):
      if rest.starts(with: "__allocating_init") { return index + 13 }
      if rest.equals("__deallocating_deinit") || rest.equals("__ivar_destroyer") {
        write("deinit")
        return nil
      }
    case UInt8(ascii: "."):
      if rest.equals(".unsafeMutableAddressor") || rest.equals(".unsafeAddressor") { return nil }
      if rest.equals(".didset") || rest.equals(".willset") {
        append(path[index..<(path.endIndex - 3)])
        write("Set")
        return nil
      }
    default: break
    }
    append(path[index..<(index + 1)])
    return index + 1
  }

  // MARK: Output

  private mutating func writeModule() {
    guard !module.isEmpty else { return }
    append(module)
    write(".")
  }

  private mutating func write(_ text: StaticString) {
    append(Bytes(text))
  }

  /// What has no room is cut later.
  private mutating func append(_ bytes: Bytes) {
    guard let target = out.baseAddress else { return }
    let length = max(0, min(bytes.count, out.count - count))
    memcpy(target + count, bytes.base + bytes.startIndex, length)
    count += length
  }

  /// Ends what is too long between two characters.
  private mutating func cut(to limit: Int) {
    guard count > limit else { return }
    var end = limit
    while end > 0, out[end] & 0xC0 == 0x80 { end -= 1 }
    count = end
    write("…")
  }
}

/// The first identifier of a mangled name.
private struct SwiftModule {
  /// What is longer is no module.
  static let limit = 128

  private var rest: Bytes
  private let identifier: UnsafeMutableBufferPointer<UInt8>
  private var count = 0
  /// Words of the identifier, which later parts of it may refer to by letter.
  private var words: [Range<Int>] = []

  /// The module of the outermost type or function.
  ///
  /// - Parameter memory: for one that does not stand in the name as it is.
  static func read(_ mangled: UnsafeBufferPointer<UInt8>, _ memory: UnsafeMutableBufferPointer<UInt8>) -> Bytes {
    var rest = Bytes(mangled)
    // `$s`, `_$s` and `_T0`
    if rest.starts(with: "_T0") {
      rest = rest.dropFirst(3)
    } else {
      if rest.first == UInt8(ascii: "_") { rest = rest.dropFirst() }
      guard rest.first == UInt8(ascii: "$") else { return .none }
      rest = rest.dropFirst(2)
    }
    switch rest.first {
    case UInt8(ascii: "s"): break
    case UInt8(ascii: "S"):
      // `So` and `SC` are what was imported from C.
      guard let kind = rest.dropFirst().first, kind != UInt8(ascii: "o"), kind != UInt8(ascii: "C") else { return .none }
    case UInt8(ascii: "0"):
      // `00` is Punycode.
      guard rest.dropFirst().first != UInt8(ascii: "0") else { return .none }
      var module = SwiftModule(rest: rest.dropFirst(), identifier: memory)
      module.readWithWords()
      return Bytes(UnsafeBufferPointer(memory))[..<module.count]
    default: return part(&rest) ?? .none
    }
    return Bytes("Swift")
  }

  private init(rest: Bytes, identifier: UnsafeMutableBufferPointer<UInt8>) {
    (self.rest, self.identifier) = (rest, identifier)
  }

  /// `4Test`
  private static func part(_ rest: inout Bytes) -> Bytes? {
    var length = 0
    while let digit = rest.first, digit.isDigit {
      length = length * 10 + Int(digit - UInt8(ascii: "0"))
      guard length <= limit else { return nil }
      rest = rest.dropFirst()
    }
    guard length > 0, length <= rest.count else { return nil }
    defer { rest = rest.dropFirst(length) }
    return rest[..<(rest.startIndex + length)]
  }

  /// `4TestA3Kit`: a letter stands for a word that came before, a capital for the last of them.
  private mutating func readWithWords() {
    var hasWords = true
    while let part = Self.part(&rest), append(part), hasWords {
      noteWords(from: count - part.count)
      while hasWords, let letter = rest.first, letter.isLetter {
        rest = rest.dropFirst()
        hasWords = !letter.isCapital
        let number = Int(letter | 0x20) - Int(UInt8(ascii: "a"))
        guard number < words.count, append(Bytes(UnsafeBufferPointer(identifier))[words[number]]) else { return }
      }
      if rest.first == UInt8(ascii: "0") { return }
    }
  }

  private mutating func append(_ bytes: Bytes) -> Bool {
    guard count + bytes.count <= identifier.count else { return false }
    for index in bytes.startIndex..<bytes.endIndex {
      identifier[count] = bytes[index]
      count += 1
    }
    return true
  }

  private mutating func noteWords(from start: Int) {
    var first: Int?
    for index in start...count {
      let byte = index < count ? identifier[index] : UInt8(ascii: "_")
      if let begin = first, byte == UInt8(ascii: "_") || !identifier[index - 1].isCapital && byte.isCapital {
        if index - begin >= 2 { words.append(begin..<index) }
        first = nil
      }
      if first == nil, byte != UInt8(ascii: "_"), !byte.isDigit { first = index }
    }
  }
}

extension UInt8 {
  fileprivate var isDigit: Bool { UInt8(ascii: "0") <= self && self <= UInt8(ascii: "9") }
  fileprivate var isCapital: Bool { UInt8(ascii: "A") <= self && self <= UInt8(ascii: "Z") }
  fileprivate var isLetter: Bool { isCapital || UInt8(ascii: "a") <= self && self <= UInt8(ascii: "z") }
  /// Letters of other scripts, too.
  fileprivate var isOfIdentifier: Bool { isLetter || isDigit || self == UInt8(ascii: "_") || self == UInt8(ascii: "$") || self >= 0x80 }
  fileprivate var isOfWord: Bool { isOfIdentifier || self == UInt8(ascii: "-") }
  /// Whether it stands for nothing in a path.
  fileprivate var isPlain: Bool { isLetter || isDigit || self == UInt8(ascii: ":") || self == UInt8(ascii: "(") || self >= 0x80 }
}

/// A part of a text in memory. (The standard library's slices of pointers cost several times as much.)
private struct Bytes {
  let base: UnsafePointer<UInt8>
  private(set) var startIndex: Int
  private(set) var endIndex: Int

  static var none: Bytes { Bytes("") }

  init(base: UnsafePointer<UInt8>, _ range: Range<Int>) { (self.base, startIndex, endIndex) = (base, range.lowerBound, range.upperBound) }
  init(_ text: StaticString) { self.init(base: text.utf8Start, 0..<text.utf8CodeUnitCount) }
  init(_ buffer: UnsafeBufferPointer<UInt8>) {
    guard let base = buffer.baseAddress else {
      self = .none
      return
    }
    self.init(base: base, 0..<buffer.count)
  }

  var count: Int { endIndex - startIndex }
  var isEmpty: Bool { endIndex <= startIndex }
  var first: UInt8? { isEmpty ? nil : base[startIndex] }

  subscript(index: Int) -> UInt8 { base[index] }
  subscript(range: Range<Int>) -> Bytes { Bytes(base: base, range) }
  subscript(range: PartialRangeFrom<Int>) -> Bytes { Bytes(base: base, range.lowerBound..<endIndex) }
  subscript(range: PartialRangeUpTo<Int>) -> Bytes { Bytes(base: base, startIndex..<range.upperBound) }

  func dropFirst(_ length: Int = 1) -> Bytes { self[min(startIndex + length, endIndex)...] }

  func firstIndex(where isWanted: (UInt8) -> Bool) -> Int? {
    var index = startIndex
    while index < endIndex {
      if isWanted(base[index]) { return index }
      index += 1
    }
    return nil
  }

  func starts(with text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard length <= count, base[startIndex] == text.utf8Start.pointee else { return false }
    return memcmp(base + startIndex, text.utf8Start, length) == 0
  }

  func equals(_ text: StaticString) -> Bool { count == text.utf8CodeUnitCount && starts(with: text) }

  /// Where a text that begins with a space comes first, outside of backticks.
  func first(_ text: StaticString) -> Int? {
    var isRaw = false
    var index = startIndex
    while index < endIndex {
      let byte = base[index]
      if byte == UInt8(ascii: "`") { isRaw.toggle() }
      if byte == UInt8(ascii: " "), !isRaw, self[index...].starts(with: text) { return index }
      index += 1
    }
    return nil
  }

  /// Behind the bracket that closes the one here, and further pairs; `->` closes none.
  var endOfBrackets: Int? {
    guard first == UInt8(ascii: "<") else { return nil }
    var depth = 0
    var index = startIndex
    while index < endIndex {
      if base[index] == UInt8(ascii: "<") { depth += 1 }
      if base[index] == UInt8(ascii: ">"), base[index - 1] != UInt8(ascii: "-") { depth -= 1 }
      index += 1
      if depth == 0, index == endIndex || base[index] != UInt8(ascii: "<") { return index }
    }
    return nil
  }

  /// Whether here is a space that ends a word of a phrase, and not one in the name of a thing.
  var isBetweenWords: Bool {
    guard first == UInt8(ascii: " "), count > 1 else { return false }
    let next = dropFirst()
    return !next.starts(with: "#") && !next.starts(with: ":") && !next.starts(with: "infix") && !next.starts(with: "prefix")
      && !next.starts(with: "postfix")
  }
}
