package import Linux

/// Why an ELF file cannot be used.
package struct ELFError: Error, CustomStringConvertible, Sendable {
  package enum Cause: Sendable {
    case file(SystemError)
    case notRegular
    case notELF
    case tooLarge(bytes: UInt64, limit: UInt64)
    case tooMany(String, count: UInt64, limit: UInt64)
    /// What libelf says, or what contradicts itself.
    case malformed(String)
  }

  /// The file's path or name, as it was given.
  package var subject: String
  package var cause: Cause

  package init(_ subject: String, _ cause: Cause) {
    self.subject = subject
    self.cause = cause
  }

  package var description: String {
    let subject = escaped(subject)
    return switch cause {
    case .file(let error): error.description
    case .notRegular: "cannot read \(subject): not a regular file"
    case .notELF: "cannot read \(subject): not an ELF file; name a program or a shared library"
    case .tooLarge(let bytes, let limit): "cannot read \(subject): \(bytes) bytes, more than the \(limit) that swtrace reads"
    case .tooMany(let what, let count, let limit): "cannot read \(subject): \(count) \(what), more than the \(limit) that swtrace reads"
    case .malformed(let why): "cannot read \(subject): damaged ELF file (\(escaped(why))); install it again"
    }
  }
}
