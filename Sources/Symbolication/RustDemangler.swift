/// Names in Rust's own mangling (v0, RFC 2603): `_RNvCs1234_7mycrate3foo` is `mycrate::foo`.
///
/// Hashes of crates are left out, as LLVM does. Names are hostile input: nesting, back references and output are bounded.
struct RustDemangler {
  private let input: [UInt8]
  private var position = 0
  private var output: [UInt8] = []
  private var depth = 0
  /// Lifetimes of the binders around: `for<'a, 'b>`.
  private var boundLifetimes: UInt64 = 0
  /// Off while something is read that is not shown.
  private var isPrinting = true

  private struct Malformed: Error {}
  private static let depthLimit = 200
  private static let outputLimit = 8192

  /// The readable form; nil for a name of another kind or form.
  static func demangle(_ name: String) -> String? {
    var bytes = Array(name.utf8)[...]
    // With the underscore that some systems put before all names, or without the first one.
    if bytes.starts(with: "__R".utf8) {
      bytes = bytes.dropFirst(3)
    } else if bytes.starts(with: "_R".utf8) {
      bytes = bytes.dropFirst(2)
    } else {
      return nil
    }
    // What LLVM appends to copies.
    if let suffix = bytes.firstIndex(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "$") }) { bytes = bytes[..<suffix] }
    guard bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
    var demangler = RustDemangler(input: Array(bytes))
    do {
      try demangler.path(inType: false)
      // The crate that an instance was made in.
      if demangler.position < demangler.input.count {
        demangler.isPrinting = false
        try demangler.path(inType: false)
      }
    } catch { return nil }
    guard demangler.position == demangler.input.count else { return nil }
    return String(decoding: demangler.output, as: UTF8.self)
  }

  private init(input: [UInt8]) { self.input = input }

  // MARK: Reading

  private var next: UInt8? { position < input.count ? input[position] : nil }

  private mutating func take() throws(Malformed) -> UInt8 {
    guard let byte = next else { throw Malformed() }
    position += 1
    return byte
  }

  private mutating func take(_ byte: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: byte) else { return false }
    position += 1
    return true
  }

  /// `_` is 0, `0_` is 1.
  private mutating func base62() throws(Malformed) -> UInt64 {
    if take("_") { return 0 }
    var value: UInt64 = 0
    while !take("_") {
      let digit: UInt8 =
        switch try take() {
        case let byte where byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case let byte where byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 10
        case let byte where byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z"): byte - UInt8(ascii: "A") + 36
        default: throw Malformed()
        }
      let (product, overflow) = value.multipliedReportingOverflow(by: 62)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
      guard !overflow, !carry else { throw Malformed() }
      value = sum
    }
    guard value < .max else { throw Malformed() }
    return value + 1
  }

  /// A number behind a letter; 0 without it.
  private mutating func optionalBase62(_ letter: Unicode.Scalar) throws(Malformed) -> UInt64 {
    guard take(letter) else { return 0 }
    let value = try base62()
    guard value < .max else { throw Malformed() }
    return value + 1
  }

  private mutating func decimal() throws(Malformed) -> Int {
    guard let first = next, first >= UInt8(ascii: "0"), first <= UInt8(ascii: "9") else { throw Malformed() }
    position += 1
    guard first != UInt8(ascii: "0") else { return 0 }
    var value = Int(first - UInt8(ascii: "0"))
    while let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
      guard value <= input.count else { throw Malformed() }
      position += 1
    }
    return value
  }

  /// An identifier without its number.
  private mutating func plainIdentifier() throws(Malformed) -> [UInt8] {
    let isPunycode = take("u")
    let length = try decimal()
    _ = take("_")
    guard length <= input.count - position else { throw Malformed() }
    let bytes = input[position..<position + length]
    position += length
    guard isPunycode else { return Array(bytes) }
    guard let text = Self.punycode(bytes) else { throw Malformed() }
    return Array(text.utf8)
  }

  /// Goes on at an earlier place, reads there, and comes back.
  private mutating func backReference(_ read: (inout RustDemangler) throws(Malformed) -> Void) throws(Malformed) {
    let from = position - 1
    let target = try base62()
    guard target < UInt64(from) else { throw Malformed() }
    guard isPrinting else { return }
    let after = position
    position = Int(target)
    try nested(read)
    position = after
  }

  private mutating func nested(_ read: (inout RustDemangler) throws(Malformed) -> Void) throws(Malformed) {
    guard depth < Self.depthLimit else { throw Malformed() }
    depth += 1
    try read(&self)
    depth -= 1
  }

  // MARK: Writing

  private mutating func print(_ text: some Sequence<UInt8>) throws(Malformed) {
    guard isPrinting else { return }
    output.append(contentsOf: text)
    guard output.count <= Self.outputLimit else { throw Malformed() }
  }

  private mutating func print(_ text: String) throws(Malformed) { try print(text.utf8) }

  // MARK: The grammar

  /// - Parameter inType: whether generic arguments follow without `::`.
  /// - Parameter staysOpen: whether the list of generic arguments at the end is not closed, so that more can be added.
  /// - Returns: whether such a list is open.
  @discardableResult
  private mutating func path(inType: Bool, staysOpen: Bool = false) throws(Malformed) -> Bool {
    var isOpen = false
    try nested { demangler throws(Malformed) in isOpen = try demangler.pathHere(inType, staysOpen) }
    return isOpen
  }

  private mutating func pathHere(_ inType: Bool, _ staysOpen: Bool) throws(Malformed) -> Bool {
    switch try take() {
    case UInt8(ascii: "C"):
      _ = try optionalBase62("s")
      try print(try plainIdentifier())
    case UInt8(ascii: "M"):
      try implementation(inType)
      try print("<")
      try type()
      try print(">")
    case UInt8(ascii: "X"):
      try implementation(inType)
      try traitOfType()
    case UInt8(ascii: "Y"):
      try traitOfType()
    case UInt8(ascii: "N"):
      let space = try take()
      guard Self.isLetter(space) else { throw Malformed() }
      try path(inType: inType)
      let number = try optionalBase62("s")
      let name = try plainIdentifier()
      if space >= UInt8(ascii: "A"), space <= UInt8(ascii: "Z") {
        // What the compiler made.
        try print("::{")
        switch space {
        case UInt8(ascii: "C"): try print("closure")
        case UInt8(ascii: "S"): try print("shim")
        default: try print([space])
        }
        if !name.isEmpty {
          try print(":")
          try print(name)
        }
        try print("#\(number)}")
      } else if !name.isEmpty {
        try print("::")
        try print(name)
      }
    case UInt8(ascii: "I"):
      try path(inType: inType)
      try print(inType ? "<" : "::<")
      var isFirst = true
      while !take("E") {
        if !isFirst { try print(", ") }
        isFirst = false
        try genericArgument()
      }
      if staysOpen { return true }
      try print(">")
    case UInt8(ascii: "B"):
      var isOpen = false
      try backReference { demangler throws(Malformed) in isOpen = try demangler.path(inType: inType, staysOpen: staysOpen) }
      return isOpen
    default: throw Malformed()
    }
    return false
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") || byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
  }

  /// Where the implementation stands is not shown.
  private mutating func implementation(_ inType: Bool) throws(Malformed) {
    let wasPrinting = isPrinting
    isPrinting = false
    _ = try optionalBase62("s")
    try path(inType: inType)
    isPrinting = wasPrinting
  }

  private mutating func traitOfType() throws(Malformed) {
    try print("<")
    try type()
    try print(" as ")
    try path(inType: true)
    try print(">")
  }

  private mutating func genericArgument() throws(Malformed) {
    if take("L") { return try lifetime(try base62()) }
    if take("K") { return try constant() }
    try type()
  }

  /// 0 is erased; others count the binders around from the inside.
  private mutating func lifetime(_ index: UInt64) throws(Malformed) {
    guard index > 0 else { return try print("'_") }
    guard index <= boundLifetimes else { throw Malformed() }
    let number = boundLifetimes - index
    if number < 26 {
      try print([UInt8(ascii: "'"), UInt8(ascii: "a") + UInt8(number)])
    } else {
      try print("'z\(number - 26 + 1)")
    }
  }

  /// `for<'a, 'b> `, and what it is for.
  private mutating func binder(_ body: (inout RustDemangler) throws(Malformed) -> Void) throws(Malformed) {
    let outer = boundLifetimes
    let count = try optionalBase62("G")
    // Each takes at least one byte in a name that uses it.
    guard count <= UInt64(input.count) else { throw Malformed() }
    if count > 0 {
      try print("for<")
      for index in 0..<count {
        boundLifetimes += 1
        if index > 0 { try print(", ") }
        try lifetime(1)
      }
      try print("> ")
    }
    try body(&self)
    boundLifetimes = outer
  }

  private static let basicTypes: [UInt8: String] = [
    UInt8(ascii: "a"): "i8", UInt8(ascii: "b"): "bool", UInt8(ascii: "c"): "char", UInt8(ascii: "d"): "f64", UInt8(ascii: "e"): "str",
    UInt8(ascii: "f"): "f32", UInt8(ascii: "h"): "u8", UInt8(ascii: "i"): "isize", UInt8(ascii: "j"): "usize", UInt8(ascii: "l"): "i32",
    UInt8(ascii: "m"): "u32", UInt8(ascii: "n"): "i128", UInt8(ascii: "o"): "u128", UInt8(ascii: "s"): "i16", UInt8(ascii: "t"): "u16",
    UInt8(ascii: "u"): "()", UInt8(ascii: "v"): "...", UInt8(ascii: "x"): "i64", UInt8(ascii: "y"): "u64", UInt8(ascii: "z"): "!",
    UInt8(ascii: "p"): "_",
  ]

  private mutating func type() throws(Malformed) { try nested { demangler throws(Malformed) in try demangler.typeHere() } }

  private mutating func typeHere() throws(Malformed) {
    let kind = try take()
    if let name = Self.basicTypes[kind] { return try print(name) }
    switch kind {
    case UInt8(ascii: "A"):
      try print("[")
      try type()
      try print("; ")
      try constant()
      try print("]")
    case UInt8(ascii: "S"):
      try print("[")
      try type()
      try print("]")
    case UInt8(ascii: "T"):
      try print("(")
      var count = 0
      while !take("E") {
        if count > 0 { try print(", ") }
        count += 1
        try type()
      }
      try print(count == 1 ? ",)" : ")")
    case UInt8(ascii: "R"), UInt8(ascii: "Q"):
      try print("&")
      if take("L") {
        let index = try base62()
        if index > 0 {
          try lifetime(index)
          try print(" ")
        }
      }
      if kind == UInt8(ascii: "Q") { try print("mut ") }
      try type()
    case UInt8(ascii: "P"):
      try print("*const ")
      try type()
    case UInt8(ascii: "O"):
      try print("*mut ")
      try type()
    case UInt8(ascii: "F"): try binder { demangler throws(Malformed) in try demangler.function() }
    case UInt8(ascii: "D"):
      try print("dyn ")
      try binder { demangler throws(Malformed) in
        var isFirst = true
        while !demangler.take("E") {
          if !isFirst { try demangler.print(" + ") }
          isFirst = false
          try demangler.dynamicTrait()
        }
      }
      guard take("L") else { throw Malformed() }
      let index = try base62()
      if index > 0 {
        try print(" + ")
        try lifetime(index)
      }
    case UInt8(ascii: "B"): try backReference { demangler throws(Malformed) in try demangler.type() }
    default:
      position -= 1
      try path(inType: true)
    }
  }

  private mutating func function() throws(Malformed) {
    if take("U") { try print("unsafe ") }
    if take("K") {
      try print("extern \"")
      if take("C") {
        try print("C")
      } else {
        try print(try plainIdentifier().map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 })
      }
      try print("\" ")
    }
    try print("fn(")
    var isFirst = true
    while !take("E") {
      if !isFirst { try print(", ") }
      isFirst = false
      try type()
    }
    try print(")")
    // A function that returns nothing is written without it.
    if take("u") { return }
    try print(" -> ")
    try type()
  }

  private mutating func dynamicTrait() throws(Malformed) {
    var isOpen = try path(inType: true, staysOpen: true)
    while take("p") {
      try print(isOpen ? ", " : "<")
      isOpen = true
      try print(try plainIdentifier())
      try print(" = ")
      try type()
    }
    if isOpen { try print(">") }
  }

  private mutating func constant() throws(Malformed) { try nested { demangler throws(Malformed) in try demangler.constantHere() } }

  private mutating func constantHere() throws(Malformed) {
    if take("B") { return try backReference { demangler throws(Malformed) in try demangler.constant() } }
    switch try take() {
    case UInt8(ascii: "p"): try print("_")
    case UInt8(ascii: "a"), UInt8(ascii: "s"), UInt8(ascii: "l"), UInt8(ascii: "x"), UInt8(ascii: "n"), UInt8(ascii: "i"):
      if take("n") { try print("-") }
      try number()
    case UInt8(ascii: "h"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "y"), UInt8(ascii: "o"), UInt8(ascii: "j"): try number()
    case UInt8(ascii: "b"):
      switch try hexadecimal() {
      case [UInt8(ascii: "0")]: try print("false")
      case [UInt8(ascii: "1")]: try print("true")
      default: throw Malformed()
      }
    case UInt8(ascii: "c"):
      guard let value = UInt32(String(decoding: try hexadecimal(), as: UTF8.self), radix: 16), let scalar = Unicode.Scalar(value) else {
        throw Malformed()
      }
      switch scalar {
      case "\t": try print(#"'\t'"#)
      case "\r": try print(#"'\r'"#)
      case "\n": try print(#"'\n'"#)
      case "\\": try print(#"'\\'"#)
      case "\"": try print(#"'"'"#)
      case "'": try print(#"'\''"#)
      case " "..."~": try print("'\(scalar)'")
      default: try print("'\\u{\(String(value, radix: 16))}'")
      }
    default: throw Malformed()
    }
  }

  /// Hexadecimal digits up to `_`, without leading zeros.
  private mutating func hexadecimal() throws(Malformed) -> [UInt8] {
    var digits: [UInt8] = []
    while !take("_") {
      let digit = try take()
      guard digit >= UInt8(ascii: "0") && digit <= UInt8(ascii: "9") || digit >= UInt8(ascii: "a") && digit <= UInt8(ascii: "f") else {
        throw Malformed()
      }
      digits.append(digit)
    }
    guard !digits.isEmpty, digits.count == 1 || digits[0] != UInt8(ascii: "0") else { throw Malformed() }
    return digits
  }

  private mutating func number() throws(Malformed) {
    let digits = String(decoding: try hexadecimal(), as: UTF8.self)
    if let value = UInt64(digits, radix: 16) { try print("\(value)") } else { try print("0x\(digits)") }
  }

  /// RFC 3492, with `_` before the digits.
  private static func punycode(_ bytes: ArraySlice<UInt8>) -> String? {
    var scalars: [Unicode.Scalar] = []
    var digits = bytes
    if let delimiter = bytes.lastIndex(of: UInt8(ascii: "_")) {
      scalars = bytes[..<delimiter].map { Unicode.Scalar($0) }
      digits = bytes[(delimiter + 1)...]
    }
    guard !digits.isEmpty else { return nil }
    var (code, index, bias) = (128, 0, 72)
    var isFirst = true
    while !digits.isEmpty {
      let before = index
      var (weight, base) = (1, 36)
      while true {
        guard let byte = digits.popFirst() else { return nil }
        let digit: Int
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = Int(byte - UInt8(ascii: "a"))
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = Int(byte - UInt8(ascii: "0")) + 26
        default: return nil
        }
        index += digit * weight
        guard index < 1 << 32 else { return nil }
        let threshold = base <= bias ? 1 : base >= bias + 26 ? 26 : base - bias
        if digit < threshold { break }
        weight *= 36 - threshold
        guard weight < 1 << 32 else { return nil }
        base += 36
      }
      let count = scalars.count + 1
      var delta = isFirst ? (index - before) / 700 : (index - before) / 2
      isFirst = false
      delta += delta / count
      var shift = 0
      while delta > 455 {
        delta /= 35
        shift += 36
      }
      bias = shift + 36 * delta / (delta + 38)
      code += index / count
      index %= count
      guard let scalar = UInt32(exactly: code).flatMap({ Unicode.Scalar($0) }) else { return nil }
      scalars.insert(scalar, at: index)
      index += 1
    }
    return String(String.UnicodeScalarView(scalars))
  }
}
