internal import Formats

extension SessionOptions {
  /// Refuses the options that choose tasks, for tools whose events come in interrupts: the kernel knows the user and the cgroup of a
  /// socket, but not the process.
  ///
  /// - Parameter other: what chooses among sockets besides: "a port or an address".
  func refuseTasks(tool: String, other: String) throws {
    let given = [
      pid != nil ? "--pid" : nil, tid != nil ? "--tid" : nil, comm != nil ? "--comm" : nil, command.isEmpty ? nil : "a command to start",
    ]
    guard let option = given.compactMap(\.self).first else { return }
    throw ToolError(
      "\(tool) observes packets, and the kernel does not know which process a packet is for: \(option) cannot choose among them; "
        + "choose by \(other), or by --cgroup or --uid of the socket")
  }
}
