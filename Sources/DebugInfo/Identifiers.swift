/// An address as an ELF file counts it (`st_value`, `p_vaddr`), before a process moves the file.
package struct ELFAddress: Hashable, Comparable, Sendable {
  package var rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What the linker wrote to tell one build of a file from all others (`NT_GNU_BUILD_ID`), printed as lower-case hexadecimal.
package struct BuildID: Hashable, Sendable, CustomStringConvertible {
  /// 20 bytes as a rule, 64 at most.
  package var bytes: [UInt8]

  /// Nil for an empty or overlong identifier.
  package init?(_ bytes: [UInt8]) {
    guard 1...64 ~= bytes.count else { return nil }
    self.bytes = bytes
  }

  package var description: String {
    bytes.reduce(into: "") { text, byte in
      if byte < 16 { text += "0" }
      text += String(byte, radix: 16)
    }
  }
}
