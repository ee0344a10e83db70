internal import Clibbpf
internal import Glibc
package import SystemPackage

/// A failure of the kernel's or libbpf's: what was tried, on what, and why it failed.
package struct BPFError: Error, CustomStringConvertible, Sendable {
  /// What was tried, as an infinitive: "load", "attach".
  package var operation: String
  /// On what: a program, a map, a file.
  package var subject: String
  package var errno: Errno
  /// What libbpf and the verifier said, oldest line first.
  package var log: [String]
  /// The cause in words, where it is known, with the remedy.
  package var reason: String?

  package init(_ operation: String, _ subject: String, errno: Errno, log: [String] = [], reason: String? = nil) {
    self.operation = operation
    self.subject = subject
    self.errno = errno
    self.log = log
    self.reason = reason
  }

  /// Whether a map has no room for another key.
  package var isFullMap: Bool { errno.rawValue == E2BIG }

  package var description: String {
    "cannot \(operation) \(subject): \(reason ?? "\(errno)")"
  }
}

/// The error of the call that has just failed.
@inline(never)
func lastError(_ operation: String, _ subject: @autoclosure () -> String, log: [String] = []) -> BPFError {
  BPFError(operation, subject(), errno: Errno(rawValue: currentErrno()), log: log)
}
