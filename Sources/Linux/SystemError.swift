internal import Glibc
package import SystemPackage

/// A failed system call: what was tried, on what, and the system's reason.
package struct SystemError: Error, CustomStringConvertible, Sendable {
  package var operation: String
  package var subject: String
  package var errno: Errno

  package init(_ operation: String, _ subject: String, errno: Errno) {
    self.operation = operation
    self.subject = subject
    self.errno = errno
  }

  package var description: String { "cannot \(operation) \(subject): \(errno)" }
}

/// Throws the error of a call that returned a negative number.
@discardableResult
package func check(_ result: CInt, _ operation: String, _ subject: @autoclosure () -> String) throws(SystemError) -> CInt {
  guard result >= 0 else { throw SystemError(operation, subject(), errno: Errno(rawValue: Glibc.errno)) }
  return result
}

/// An open descriptor, closed when it ends.
package struct Descriptor: ~Copyable {
  package let rawValue: CInt
  package init(owning rawValue: CInt) { self.rawValue = rawValue }
  deinit { close(rawValue) }
}
