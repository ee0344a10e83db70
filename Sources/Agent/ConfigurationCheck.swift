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
  /// Looks at what the configuration names: the token's file and the store's folder; and whether the server may listen so.
  package func check() throws {
    _ = try serverSettings()
    try checkStore()
  }

  /// How the server is to listen, with the token.
  func serverSettings() throws -> AgentServer.Configuration {
    let settings = AgentServer.Configuration(
      address: address, port: port, hosts: Set(["localhost", "127.0.0.1", "[::1]"] + names), token: try tokenFile.map(Self.token))
    try settings.check()
    return settings
  }

  /// The first line of a file.
  private static func token(_ path: String) throws -> String {
    var status = stat()
    guard stat(path, &status) == 0, let bytes = ProcFile.bytes(path, limit: 1 << 12),
      let line = String(validating: bytes, as: UTF8.self)?.split(separator: "\n").first
    else {
      throw ConfigurationError("the token file \(escaped(path)) cannot be read or is empty; write a line of random letters into it")
    }
    guard status.st_mode & 0o007 == 0 else {
      throw ConfigurationError("the token file \(escaped(path)) can be read by everyone; chmod o= \(escaped(path))")
    }
    return String(line)
  }

  private func checkStore() throws {
    var status = stat()
    if stat(storePath, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw ConfigurationError("store.path \(escaped(storePath)) is no file; give the path of one, which need not exist yet")
    }
    var folder = Self.folder(of: storePath)
    // Folders that do not exist are made in the last one that does.
    while stat(folder, &status) != 0 {
      guard errno == ENOENT, folder != "/", folder != "." else { throw cannotWrite(folder, errorText(errno)) }
      folder = Self.folder(of: folder)
    }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw cannotWrite(folder, "it is no folder") }
    guard access(folder, W_OK | X_OK) == 0 else { throw cannotWrite(folder, errorText(errno)) }
  }

  private func cannotWrite(_ folder: String, _ reason: String) -> ConfigurationError {
    ConfigurationError(
      "store.path \(escaped(storePath)): nothing can be written to \(escaped(folder)): \(reason); "
        + "give a path in a folder of the agent's, or run it as root")
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
