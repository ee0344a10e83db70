/// One line of a stack as a person reads it.
package struct Frame: Hashable, Sendable {
  package enum Kind: UInt8, Hashable, Sendable { case user, kernel, marker }

  /// The readable name, or `[unknown]` where nothing covers the address.
  package var function: String
  /// The file's name without its folder (`libc.so.6`), the kernel module, `[kernel]`, or empty when not known.
  package var module: String
  package var kind: Kind
  /// Whether the compiler merged this call into its caller.
  package var isInlined: Bool
  /// The source position, where debug information has one; line 0 means none.
  package var file: String?
  package var line: UInt32
  /// The mangled name, when it differs from the readable one.
  package var mangled: String?

  package init(
    function: String, module: String = "", kind: Kind = .user, isInlined: Bool = false, file: String? = nil,
    line: UInt32 = 0, mangled: String? = nil
  ) {
    self.function = function
    self.module = module
    self.kind = kind
    self.isInlined = isInlined
    self.file = file
    self.line = line
    self.mangled = mangled
  }

  /// By what differs most. Functions that differ in their types only have one name, but not one mangled name.
  package func hash(into hasher: inout Hasher) {
    hasher.combine(function)
    hasher.combine(mangled)
    hasher.combine(line)
  }

  /// Whether this only says where the kernel's part of the stack begins; formats that mark each frame's kind leave it out.
  package var isDelimiter: Bool { kind == .marker && function == "-" }

  /// Whether the linker's name is one of Swift's.
  package var isSwift: Bool { mangled?.hasPrefix("$s") ?? false }

  /// Whether there is a name, not only the place of the address.
  package var isNamed: Bool {
    if function.isEmpty || function == "[unknown]" { return false }
    // The symbolizer's `file+0x1234`, with the offset in the file.
    return module.isEmpty || !function.hasPrefix(module + "+0x")
  }
}
