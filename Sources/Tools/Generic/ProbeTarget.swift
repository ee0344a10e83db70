/// What a user asks a generic tool to observe, as written.
///
/// ```
/// vfs_*                     kernel functions; also p:vfs_*
/// t:sched:sched_process_*   tracepoints of a category
/// c:malloc                  functions of a library, here libc; also p:c:malloc
/// /usr/bin/x:main*          functions of a file
/// u:c:libc:setjmp           static probes (USDT) of a provider, or u:c:setjmp for any provider
/// ```
package enum ProbeTarget: Equatable, Sendable {
  case kernelFunctions(String)
  case tracepoints(category: String, name: String)
  case userFunctions(file: String, name: String)
  case staticProbes(file: String, provider: String?, name: String)

  /// Why a text is no target.
  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package var description: String
  }

  package init(_ text: String) throws(Malformed) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    func need(_ condition: Bool, _ form: String) throws(Malformed) {
      guard condition, parts.dropFirst().allSatisfy({ !$0.isEmpty }) else {
        throw Malformed(description: "'\(text)' is no target; write \(form)")
      }
    }
    switch (parts[0], parts.count) {
    case ("t", _):
      try need(parts.count == 3, "t:CATEGORY:NAME, such as t:sched:sched_process_exec")
      self = .tracepoints(category: parts[1], name: parts[2])
    case ("u", _):
      try need(parts.count == 3 || parts.count == 4, "u:FILE:NAME or u:FILE:PROVIDER:NAME, such as u:c:libc:setjmp")
      self = .staticProbes(file: parts[1], provider: parts.count == 4 ? parts[2] : nil, name: parts[parts.count - 1])
    case ("p", 3) where parts[1].isEmpty && !parts[2].isEmpty:
      // BCC's way to write a kernel function.
      self = .kernelFunctions(parts[2])
    case ("p", 2...3):
      try need(true, "p:FUNCTION or p:FILE:FUNCTION")
      self = parts.count == 2 ? .kernelFunctions(parts[1]) : .userFunctions(file: parts[1], name: parts[2])
    case (_, 1):
      try need(!parts[0].isEmpty, "FUNCTION")
      self = .kernelFunctions(parts[0])
    case (_, 2):
      try need(!parts[0].isEmpty, "FILE:FUNCTION, such as c:malloc")
      self = .userFunctions(file: parts[0], name: parts[1])
    default:
      throw Malformed(
        description: "'\(text)' is no target; write FUNCTION, FILE:FUNCTION, t:CATEGORY:NAME or u:FILE:PROVIDER:NAME")
    }
  }
}
