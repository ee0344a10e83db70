/// The names of system calls by number; each architecture has its own numbers.
enum SyscallNames {
  /// Of the architecture that this program was built for, in ascending order of the numbers.
  static let all: [(number: Int, name: String)] = {
    #if arch(x86_64)
      parse(x86)
    #else
      parse(generic)
    #endif
  }()

  private static let byNumber = Dictionary(all.map { ($0.number, $0.name) }) { first, _ in first }

  /// The name; `syscall_N` for a number that is newer than this program, `compat_N` for one of the 32-bit interface.
  ///
  /// - Parameter number: -1 for returns from signal handlers and for calls that a filter refused: their number is gone at their end.
  static func name(_ number: Int, isCompat: Bool = false) -> String {
    if isCompat { return "compat_\(number)" }
    if number == -1 { return "[no number]" }
    return byNumber[number] ?? "syscall_\(number)"
  }

  /// Names of functions in the kernel that differ from their call's.
  private static let callOfFunction = [
    "newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname", "sendfile64": "sendfile", "umount": "umount2",
  ]
  private static let byName = Dictionary(all.map { ($0.name, $0.number) }) { first, _ in first }

  /// The call of a tracepoint of category `syscalls`, such as `sys_enter_openat`, and whether it is its end; nil for another name.
  static func call(ofTracepoint name: String) -> (number: Int, isExit: Bool)? {
    for (prefix, isExit) in [("sys_enter_", false), ("sys_exit_", true)] where name.hasPrefix(prefix) {
      let function = String(name.dropFirst(prefix.count))
      return byName[callOfFunction[function] ?? function].map { ($0, isExit) }
    }
    return nil
  }

  /// Reads lines that are a number and the names from there on.
  static func parse(_ table: String) -> [(number: Int, name: String)] {
    table.split(separator: "\n").flatMap { line -> [(number: Int, name: String)] in
      let words = line.split(separator: " ")
      guard let first = words.first.flatMap({ Int($0) }) else { return [] }
      return words.dropFirst().enumerated().map { (first + $0.offset, String($0.element)) }
    }
  }
}
