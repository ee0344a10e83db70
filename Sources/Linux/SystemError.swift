internal import Glibc
package import SystemPackage

/// A failed system call: what was tried, on what, and the system's reason.
package struct SystemError: Error, CustomStringConvertible, Sendable {
  package var operation: String
  package var subject: String
  package var errno: Errno
  /// What stands behind the number, with the remedy, where it is known.
  package var cause: String?

  package init(_ operation: String, _ subject: String, errno: Errno, cause: String? = nil) {
    self.operation = operation
    self.subject = subject
    self.errno = errno
    self.cause = cause
  }

  /// Control characters are written by number: subjects may be paths that others have chosen.
  package var description: String { "cannot \(operation) \(escaped(subject)): \(cause ?? "\(errno)\(remedy)")" }

  private var remedy: String {
    switch errno {
    case .tooManyOpenFiles: "; raise the limit with ulimit -n"
    case .fileTooLarge: "; it is larger than swtrace reads"
    default: ""
    }
  }
}

/// Makes control characters visible.
package func escaped(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
  return text.unicodeScalars.reduce(into: "") { result, scalar in
    if scalar.properties.generalCategory == .control {
      result += "\\u{\(String(scalar.value, radix: 16))}"
    } else {
      result.unicodeScalars.append(scalar)
    }
  }
}

/// Throws the error of a call that returned a negative number.
@discardableResult
package func check(_ result: CInt, _ operation: String, _ subject: @autoclosure () -> String) throws(SystemError) -> CInt {
  guard result >= 0 else { throw SystemError(operation, subject(), errno: Errno(rawValue: Glibc.errno)) }
  return result
}

/// An open descriptor, closed when it ends.
package struct Descriptor: ~Copyable, Sendable {
  package let rawValue: CInt
  package init(owning rawValue: CInt) { self.rawValue = rawValue }
  /// Gives the descriptor away; the receiver closes it.
  package consuming func release() -> CInt {
    let number = rawValue
    discard self
    return number
  }
  /// Another descriptor of the same open file; nil when there can be no more.
  package func duplicate() -> Descriptor? {
    let copy = fcntl(rawValue, F_DUPFD_CLOEXEC, 3)
    return copy >= 0 ? Descriptor(owning: copy) : nil
  }
  deinit { close(rawValue) }
}
