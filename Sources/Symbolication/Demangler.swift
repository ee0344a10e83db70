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
  /// Longer names stay as they are: a demangler may take exponential time on hostile ones.
  private static let limit = 4096

  /// The readable form of a Swift, C++ or Rust name; nil for a name of another kind.
  ///
  /// Swift names come without types and modules, and all pieces of an async function with the function's own name.
  ///
  /// - Parameter isFull: Swift names with their types and modules, and with what the compiler made of the function.
  package static func demangle(_ mangled: String, isFull: Bool = false) -> String? {
    // Most names of C are told apart by their first byte.
    guard let first = mangled.utf8.first, first == UInt8(ascii: "_") || first == UInt8(ascii: "$"), mangled.utf8.count <= limit else {
      return nil
    }
    let name = withoutCloneSuffix(mangled)
    if name.hasPrefix("$s") || name.hasPrefix("$S") || name.hasPrefix("_T") || name.hasPrefix("_$s") {
      return isFull ? fullSwift(name) : swift(name)
    }
    if name.hasPrefix("_R") || name.hasPrefix("__R") { return RustDemangler.demangle(name) }
    guard name.hasPrefix("_Z") || name.hasPrefix("__Z") else { return nil }
    var status: CInt = 0
    guard let text = itaniumDemangle(name, nil, nil, &status) else { return nil }
    defer { free(text) }
    let readable = String(cString: text)
    return legacyRust(readable) ?? readable
  }

  private static func swift(_ name: String) -> String? {
    if let text = swiftSimpleDemangle(name, name.utf8.count, nil, nil) {
      defer { free(text) }
      let readable = String(cString: text)
      if readable != name, !readable.isEmpty { return folded(readable) }
    }
    return fullSwift(name)
  }

  private static func fullSwift(_ name: String) -> String? {
    // Any other flag ends the process.
    guard let text = swiftDemangle(name, name.utf8.count, nil, nil, 0) else { return nil }
    defer { free(text) }
    let readable = String(cString: text)
    return readable == name ? nil : readable
  }

  /// What the compiler made of a function is shown as the function.
  private static func folded(_ readable: String) -> String {
    var name = Substring(readable)
    for prefix in ["specialized ", "generic specialization of ", "partial apply for ", "merged "] {
      while name.hasPrefix(prefix) { name = name.dropFirst(prefix.count) }
    }
    return String(name)
  }

  /// Without what compilers append to copies of a function: `.isra.0`, `.part.1`, `.constprop.0`, `.cold`, `.llvm.123`, `.lto_priv.0`.
  package static func withoutCloneSuffix(_ name: String) -> String {
    let bytes = name.utf8
    guard let dot = bytes.dropFirst().firstIndex(of: UInt8(ascii: ".")) else { return name }
    let suffix = bytes[dot...]
    return cloneSuffixes.contains { suffix.starts(with: $0.utf8) } ? String(name[..<dot]) : name
  }

  private static let cloneSuffixes = [".isra", ".part", ".constprop", ".cold", ".llvm", ".lto_priv", ".localalias"]

  /// `core::fmt::write::h0123456789abcdef` without the hash and with its escapes decoded; nil when it is no such name.
  private static func legacyRust(_ name: String) -> String? {
    let bytes = name.utf8
    guard bytes.count > 19, bytes.suffix(19).starts(with: "::h".utf8),
      bytes.suffix(16).allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { return nil }
    var text = String(name[..<bytes.index(bytes.endIndex, offsetBy: -19)])
    // A name must not start with `$`.
    if text.hasPrefix("_$") { text.removeFirst() }
    for (escape, meaning) in [
      ("$LT$", "<"), ("$GT$", ">"), ("$RF$", "&"), ("$BP$", "*"), ("$LP$", "("), ("$RP$", ")"), ("$C$", ","), ("$u20$", " "),
      ("$u27$", "'"), ("$u5b$", "["), ("$u5d$", "]"), ("$u7b$", "{"), ("$u7d$", "}"), ("$u7e$", "~"), ("$u3b$", ";"), ("$u2b$", "+"),
      ("$u22$", "\""), ("..", "::"),
    ] {
      text = text.replacingAll(escape, meaning)
    }
    return text
  }
}

extension String {
  fileprivate func replacingAll(_ text: String, _ other: String) -> String {
    var result = ""
    var rest = self[...]
    while let first = rest.first {
      if rest.hasPrefix(text) {
        result += other
        rest = rest.dropFirst(text.count)
      } else {
        result.append(first)
        rest = rest.dropFirst()
      }
    }
    return result
  }
}
