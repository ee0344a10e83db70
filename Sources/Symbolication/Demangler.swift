internal import Glibc

@_silgen_name("swift_demangle")
private func swiftDemangle(
  _ name: UnsafePointer<CChar>, _ length: Int, _ buffer: UnsafeMutablePointer<CChar>?, _ size: UnsafeMutablePointer<Int>?, _ flags: UInt32
) -> UnsafeMutablePointer<CChar>?

/// Underscored in the runtime, pinned by a test; it prints names without types and modules.
@_silgen_name("_swift_backtrace_demangle")
private func swiftSimpleDemangle(
  _ name: UnsafePointer<CChar>, _ length: Int, _ buffer: UnsafeMutablePointer<CChar>?, _ size: UnsafeMutablePointer<Int>?
) -> UnsafeMutablePointer<CChar>?

@_silgen_name("__cxa_demangle")
private func itaniumDemangle(
  _ name: UnsafePointer<CChar>, _ buffer: UnsafeMutablePointer<CChar>?, _ size: UnsafeMutablePointer<Int>?,
  _ status: UnsafeMutablePointer<CInt>
) -> UnsafeMutablePointer<CChar>?

/// Turns linkers' names into those that programmers wrote.
package enum Demangler {
  /// Longer names stay as they are.
  private static let limit = 4096
  /// Longer readable names end in `…`.
  private static let readableLimit = 8192

  /// The name as it stands in the source; nil where it stands there as the linker has it.
  ///
  /// Swift names come without types, and all that the compiler made of a function with the function's own name (`SwiftName`).
  ///
  /// - Parameter isFull: Swift names with their types, and with what the compiler made of the function.
  package static func demangle(_ mangled: String, isFull: Bool = false) -> String? {
    guard mangled.utf8.count <= limit else { return nil }
    let name = withoutCloneSuffix(mangled)
    return readable(name, isFull) ?? unescaped(name) ?? (name == mangled ? nil : name)
  }

  private static func readable(_ name: String, _ isFull: Bool) -> String? {
    // Most names of C are told apart by their first byte.
    guard let first = name.utf8.first, first == UInt8(ascii: "_") || first == UInt8(ascii: "$") || first == UInt8(ascii: "a") else {
      return nil
    }
    var name = name
    if name.withUTF8(SwiftName.isMangled) { return name.withUTF8 { swift($0, isFull: isFull) } }
    if name.hasPrefix("_R") || name.hasPrefix("__R") { return RustDemangler.demangle(name) }
    return name.hasPrefix("_Z") || name.hasPrefix("__Z") ? itanium(name) : withoutFormSuffix(name)
  }

  private static func swift(_ name: UnsafeBufferPointer<UInt8>, isFull: Bool) -> String? {
    guard NameGrowth.isBounded(name, .swift) else { return nil }
    return isFull ? fullSwift(name) : initialValue(name) ?? shortSwift(name) ?? fullSwift(name)
  }

  /// The function that makes the value of a global or static variable has the variable's name, but the demangler leaves out its type.
  private static func initialValue(_ name: UnsafeBufferPointer<UInt8>) -> String? {
    guard name.last == UInt8(ascii: "Z"), name.suffix(3).elementsEqual("_WZ".utf8) else { return nil }
    // The name of the variable, as if it were an Int.
    var variable = String(decoding: name.dropLast(3), as: UTF8.self) + "Sivp"
    return variable.withUTF8 { shortSwift($0) }.map { "initial value of \($0)" }
  }

  private static func shortSwift(_ name: UnsafeBufferPointer<UInt8>) -> String? {
    let (mangled, count) = (UnsafeRawBufferPointer(name).assumingMemoryBound(to: CChar.self), name.count)
    guard let start = mangled.baseAddress else { return nil }
    func short(_ text: UnsafeMutablePointer<CChar>, _ length: Int) -> String? {
      let simplified = UnsafeRawBufferPointer(start: text, count: length).assumingMemoryBound(to: UInt8.self)
      return isUnchanged(simplified, name) ? nil : SwiftName.short(name, simplified: simplified)
    }
    // Most fit into what the stack has for such buffers.
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
      // The size of the buffer, then that of the text with its end.
      var size = buffer.count
      guard let text = swiftSimpleDemangle(start, count, buffer.baseAddress, &size) else { return nil }
      if size <= buffer.count { return short(text, size - 1) }
      guard let text = swiftSimpleDemangle(start, count, nil, nil) else { return nil }
      defer { free(text) }
      return short(text, strlen(text))
    }
  }

  private static func fullSwift(_ name: UnsafeBufferPointer<UInt8>) -> String? {
    let (mangled, count) = (UnsafeRawBufferPointer(name).assumingMemoryBound(to: CChar.self), name.count)
    // Any other flag ends the process.
    guard let start = mangled.baseAddress, let text = swiftDemangle(start, count, nil, nil, 0) else { return nil }
    defer { free(text) }
    let full = UnsafeRawBufferPointer(start: text, count: strlen(text)).assumingMemoryBound(to: UInt8.self)
    return isUnchanged(full, name) ? nil : bounded(full)
  }

  private static func bounded(_ text: UnsafeBufferPointer<UInt8>) -> String {
    guard text.count > readableLimit else { return String(decoding: text, as: UTF8.self) }
    var end = readableLimit
    while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
    return String(decoding: text[..<end], as: UTF8.self) + "…"
  }

  /// The runtime gives back what it cannot read.
  private static func isUnchanged(_ readable: UnsafeBufferPointer<UInt8>, _ mangled: UnsafeBufferPointer<UInt8>) -> Bool {
    readable.isEmpty || readable.elementsEqual(mangled)
  }

  private static func itanium(_ mangled: String) -> String? {
    var mangled = mangled
    guard mangled.withUTF8({ NameGrowth.isBounded($0, .itanium) }) else { return nil }
    var status: CInt = 0
    guard let text = itaniumDemangle(mangled, nil, nil, &status) else { return nil }
    defer { free(text) }
    let readable = bounded(UnsafeRawBufferPointer(start: text, count: strlen(text)).assumingMemoryBound(to: UInt8.self))
    return legacyRust(readable) ?? readable
  }

  /// Without what compilers append to copies of a function: `.isra.0`, `.part.1.cold`, `.llvm.123`, `.lto_priv.0`; and without the
  /// calling convention of Go's assembly, `.abi0`.
  package static func withoutCloneSuffix(_ name: String) -> String {
    var text = name
    let end = text.withUTF8 { bytes in
      guard let start = bytes.baseAddress, memchr(start, CInt(UInt8(ascii: ".")), bytes.count) != nil else { return bytes.count }
      var end = bytes.count
      while let dot = bytes[..<end].lastIndex(of: UInt8(ascii: ".")), dot > 0 {
        let number = bytes[(dot + 1)..<end]
        let isNumber = !number.isEmpty && number.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        let place = isNumber ? bytes[..<dot].lastIndex(of: UInt8(ascii: ".")) ?? 0 : dot
        let word = bytes[min(place + 1, end)..<(isNumber ? dot : end)]
        guard place > 0, (isNumber ? numbered : bare).contains(where: { word.elementsEqual($0.utf8) }) else { break }
        end = place
      }
      return end
    }
    return end == name.utf8.count ? name : String(decoding: name.utf8.prefix(end), as: UTF8.self)
  }

  /// Those that come with a number. `main.part` is a function of Go's.
  private static let numbered = ["isra", "part", "constprop", "cold", "llvm", "lto_priv", "localalias", "__uniq"]
  private static let bare = ["cold", "localalias", "abi0", "abiinternal"]

  /// A name of Go's, which has dots and other characters of a package's path as `%2e`.
  private static func unescaped(_ name: String) -> String? {
    guard name.utf8.contains(UInt8(ascii: "%")) else { return nil }
    var bytes: [UInt8] = []
    var rest = name.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count > 1, rest.first != UInt8(ascii: "+"),
        let value = UInt8(Substring(rest.prefix(2)), radix: 16),
        value >= 0x20
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return bytes.count == name.utf8.count ? nil : String(validating: bytes, as: UTF8.self)
  }

  /// Without the suffix of a function of Swift's that has a name of C's: a merged copy, or a part of the asynchronous main function.
  private static func withoutFormSuffix(_ name: String) -> String? {
    if name.hasPrefix("__swift_"), name.hasSuffix("Tm") { return String(name.dropLast(2)) }
    return name.hasPrefix("async_MainT") ? "async_Main" : nil
  }

  /// `core::fmt::write::h0123456789abcdef` without the hash and with its escapes decoded; nil when it is no such name.
  private static func legacyRust(_ name: String) -> String? {
    let bytes = name.utf8
    guard bytes.count > 19, bytes.suffix(19).starts(with: "::h".utf8),
      bytes.suffix(16).allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { return nil }
    var text: [UInt8] = []
    var rest = Array(bytes.dropLast(19))[...]
    while let byte = rest.popFirst() {
      // A part of a name must not start with `$`.
      if byte == UInt8(ascii: "_"), rest.first == UInt8(ascii: "$"), text.isEmpty || text.suffix(2).elementsEqual("::".utf8) { continue }
      if byte == UInt8(ascii: "$"), let end = rest.prefix(8).firstIndex(of: byte), let meaning = legacyEscape(rest[..<end]) {
        text += meaning
        rest = rest[(end + 1)...]
      } else if byte == UInt8(ascii: "."), rest.first == byte {
        text += "::".utf8
        rest.removeFirst()
      } else {
        text.append(byte)
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// What stands between two `$`: `LT`, or `u7b` for a character.
  private static func legacyEscape(_ escape: ArraySlice<UInt8>) -> [UInt8]? {
    let text = String(decoding: escape, as: UTF8.self)
    if let meaning = legacyEscapes[text] { return [meaning] }
    guard text.hasPrefix("u"), let value = UInt32(text.dropFirst(), radix: 16), value >= 0x20, let scalar = UnicodeScalar(value) else {
      return nil
    }
    return Array(String(Character(scalar)).utf8)
  }

  private static let legacyEscapes: [String: UInt8] = [
    "SP": UInt8(ascii: "@"), "BP": UInt8(ascii: "*"), "RF": UInt8(ascii: "&"), "LT": UInt8(ascii: "<"), "GT": UInt8(ascii: ">"),
    "LP": UInt8(ascii: "("), "RP": UInt8(ascii: ")"), "C": UInt8(ascii: ","),
  ]
}
