internal import CLinux
internal import Glibc

/// The names of numbers in the kernel's interface.
package enum KernelNames {
  /// `KILL` for 9, as kill(1) has it, `RTMIN+2` for 36; the number where there is no name.
  package static func signal(_ number: Int32) -> String {
    if let name = unsafe swtrace_signal_name(number) { return unsafe String(cString: name) }
    // The kernel's first real-time signal, not the C library's, which keeps two for itself.
    return (32...64).contains(number) ? (number == 32 ? "RTMIN" : "RTMIN+\(number - 32)") : "\(number)"
  }

  /// `ENOENT` for 2; the number where there is no name.
  package static func error(_ number: Int32) -> String {
    guard let name = unsafe swtrace_error_name(number) else { return "\(number)" }
    return unsafe String(cString: name)
  }

  /// 2 for `ENOENT` or `enoent`; nil for a name that does not exist.
  package static func error(named name: String) -> Int32? {
    (1..<4096).first { error($0) == name.uppercased() && !name.isEmpty }
  }
}
