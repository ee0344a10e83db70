internal import ArgumentParser
internal import CProbes

/// The options that choose TCP connections by their ends.
struct ConnectionOptions: ParsableArguments {
  @Option(name: [.customShort("p"), .customLong("lport")], help: ArgumentHelp("Only this local port.", valueName: "port"))
  var localPort: UInt16?
  @Option(name: [.customShort("P"), .customLong("rport")], help: ArgumentHelp("Only this remote port.", valueName: "port"))
  var remotePort: UInt16?
  @Option(name: [.customShort("a"), .customLong("laddr")], help: ArgumentHelp("Only this local address.", valueName: "address"))
  var localAddress: String?
  @Option(name: [.customShort("A"), .customLong("raddr")], help: ArgumentHelp("Only this remote address.", valueName: "address"))
  var remoteAddress: String?
  @Flag(name: [.customShort("4"), .customLong("ipv4")], help: "Only IPv4.") var ipv4 = false
  @Flag(name: [.customShort("6"), .customLong("ipv6")], help: "Only IPv6.") var ipv6 = false

  mutating func validate() throws {
    if ipv4, ipv6 { throw ValidationError("--ipv4 and --ipv6 exclude each other; without them both are observed") }
    if localPort == 0 || remotePort == 0 { throw ValidationError("ports are from 1 to 65535") }
    for address in [localAddress, remoteAddress].compactMap(\.self) where IPAddress(address) == nil {
      throw ValidationError("'\(address)' is no IP address; it looks like 192.0.2.1 or 2001:db8::1")
    }
  }

  /// For the probe.
  var filter: swtrace_connection_filter {
    let (local, remote) = (localAddress.flatMap(IPAddress.init), remoteAddress.flatMap(IPAddress.init))
    return swtrace_connection_filter(
      local: local?.words ?? (0, 0, 0, 0), remote: remote?.words ?? (0, 0, 0, 0), local_port: localPort ?? 0, remote_port: remotePort ?? 0,
      has_local: local == nil ? 0 : 1, has_remote: remote == nil ? 0 : 1, ip: ipv4 ? 4 : ipv6 ? 6 : 0, reserved: 0)
  }
}
