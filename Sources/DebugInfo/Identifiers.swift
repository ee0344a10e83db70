internal import Linux

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

extension BuildID {
  /// The running kernel's (/sys/kernel/notes, which has the notes of its file); nil where there is none.
  package static let ofRunningKernel: BuildID? = {
    guard let notes = ProcFile.bytes("/sys/kernel/notes", limit: 1 << 16) else { return nil }
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(notes[at + $1]) << (8 * $1) } }
    var at = 0
    // Each has the sizes of its name and its content, its type, then both, padded to 4 bytes; type 3 of GNU is the build ID.
    while at + 12 <= notes.count {
      let (name, content, type) = (word(at), word(at + 4), word(at + 8))
      let start = at + 12 + (name + 3) & ~3
      guard start + content <= notes.count else { return nil }
      if type == 3, notes[(at + 12)..<start].starts(with: "GNU".utf8) { return BuildID(Array(notes[start..<start + content])) }
      at = start + (content + 3) & ~3
    }
    return nil
  }()
}
