internal import AgentServer
internal import Glibc
internal import Linux

/// Where the configuration comes from; it is read at the start, and again with each SIGHUP.
struct ConfigurationSource: Sendable {
  /// The file; nil for none.
  var file: String?
  var environment: [String: String]

  init(file: String?) {
    self.file = file
    environment = [:]
    var next = environ
    while let entry = next.pointee {
      let parts = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { environment[String(parts[0])] = String(parts[1]) }
      next += 1
    }
  }

  /// - Throws: for everything that the agent would not start with.
  func read() throws -> Configuration {
    let configuration = try Configuration(file: file, environment: environment)
    try configuration.check()
    return configuration
  }
}

extension Configuration {
  /// Looks at what the configuration names: the files of the token and of TLS, the store's folder; and whether the server may listen so,
  /// when the agent has given up what it does not keep.
  package func check() throws {
    _ = try serverSettings()
    try checkPort()
    try checkStore()
  }

  /// How the server is to listen, with the token and the certificate.
  func serverSettings() throws -> AgentServer.Configuration {
    let settings = AgentServer.Configuration(
      address: address, port: port, hosts: Set(["localhost", "127.0.0.1", "[::1]"] + names), token: try tokenFile.map(Self.token),
      certificate: try certificate())
    try settings.check()
    return settings
  }

  /// What its files say; nil for HTTP.
  func certificate() throws -> Certificate? {
    guard let tlsCertificate, let tlsKey else { return nil }
    guard let chain = ProcFile.bytes(tlsCertificate) else {
      throw ConfigurationError("the certificate file \(escaped(tlsCertificate)) cannot be read: \(errorText(errno))")
    }
    guard let key = ProcFile.bytes(tlsKey) else {
      throw ConfigurationError("the key file \(escaped(tlsKey)) cannot be read: \(errorText(errno))")
    }
    try Self.checkSecret("key", tlsKey)
    do { return try Certificate(chain: chain, key: key) } catch {
      throw ConfigurationError("tls.certificate \(escaped(tlsCertificate)), tls.key \(escaped(tlsKey)): \(error)")
    }
  }

  /// The first line of a file.
  private static func token(_ path: String) throws -> String {
    guard let bytes = ProcFile.bytes(path, limit: 1 << 12),
      let line = String(validating: bytes, as: UTF8.self)?.split(separator: "\n").first
    else {
      throw ConfigurationError("the token file \(escaped(path)) cannot be read or is empty; write a line of random letters into it")
    }
    try checkSecret("token", path)
    return String(line)
  }

  private static func checkSecret(_ what: String, _ path: String) throws {
    guard let mode = FileMode(of: path), !mode.isForOthers else {
      throw ConfigurationError("the \(what) file \(escaped(path)) can be read by everyone; chmod o= \(escaped(path))")
    }
  }

  private func checkPort() throws {
    let text = ProcFile.read("/proc/sys/net/ipv4/ip_unprivileged_port_start") ?? ""
    guard let first = Int(text.filter(\.isNumber)), port < first else { return }
    throw ConfigurationError(
      "listen: the agent keeps no privilege for ports below \(first), as \(port); take a higher one, or set net.ipv4.ip_unprivileged_port_start"
    )
  }

  private func checkStore() throws {
    if let mode = FileMode(of: storePath), !mode.isFile {
      throw ConfigurationError("store.path \(escaped(storePath)) is no file; give the path of one, which need not exist yet")
    }
    var folder = Self.folder(of: storePath)
    if let mode = FileMode(of: folder) {
      guard mode.isFolder else { throw cannotWrite(folder, "it is no folder") }
      try checkWriting(folder, W_OK | X_OK)
      // What SQLite keeps beside the file, too.
      for path in ["", "-wal", "-shm"].map({ storePath + $0 }) where access(path, F_OK) == 0 { try checkWriting(path, W_OK) }
      return
    }
    // Folders that do not exist are made in the last one that does, before privileges are given up.
    while FileMode(of: folder) == nil {
      guard errno == ENOENT, folder != "/", folder != "." else { throw cannotWrite(folder, errorText(errno)) }
      folder = Self.folder(of: folder)
    }
    guard FileMode(of: folder)?.isFolder ?? false else { throw cannotWrite(folder, "it is no folder") }
    guard access(folder, W_OK | X_OK) == 0 else { throw cannotWrite(folder, errorText(errno)) }
  }

  private func checkWriting(_ path: String, _ mode: CInt) throws {
    let code = Needs.tryAccess(path, mode)
    guard code != 0 else { return }
    // Root's power over the files of others is not kept.
    guard code == EACCES, access(path, mode) == 0 else { throw cannotWrite(path, errorText(code)) }
    throw cannotWrite(path, "it is another user's, and the agent writes to its own only", remedy: "")
  }

  private func cannotWrite(_ folder: String, _ reason: String, remedy: String = ", or run it as root") -> ConfigurationError {
    ConfigurationError(
      "store.path \(escaped(storePath)): nothing can be written to \(escaped(folder)): \(reason); "
        + "give a path in a folder of the agent's\(remedy)")
  }

  /// `.` for a path without one.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Makes the folder of the store, which only the agent and its group may enter.
  func makeStoreFolder() throws {
    var path = ""
    for part in Self.folder(of: storePath).split(separator: "/", omittingEmptySubsequences: false) {
      path += part
      if !path.isEmpty, mkdir(path, 0o750) != 0, errno != EEXIST, errno != EROFS || access(path, F_OK) != 0 {
        throw ConfigurationError("the folder \(escaped(path)) of store.path cannot be made: \(errorText(errno))")
      }
      path += "/"
    }
  }

  private func errorText(_ number: CInt) -> String { String(cString: strerror(number)) }
}
