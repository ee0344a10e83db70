/// Why the store could not do what was asked of it.
package enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file was written by a later version.
  case newer(path: String)
  /// The file is a database of another program.
  case foreign(path: String)
  /// The file could be neither opened nor created, for the system's reason.
  case unusable(path: String, reason: String)
  /// There is no room: on the disk, or below the largest size that the file may have.
  case full
  /// SQLite could not read or write, for its reason.
  case failed(reason: String)
  /// What was read from the file is not what the store writes.
  case damaged(what: String)
  /// A window that refers to what it does not have, or does not begin where windows begin.
  case malformed(what: String)
  /// A question whose answer would be too large, or that has no sense.
  case question(reason: String)

  package var description: String {
    switch self {
    case .newer(let path):
      "cannot open \(path): a later version of swtrace wrote it; use that version, or another path for this one"
    case .foreign(let path):
      "cannot open \(path): it is a database of another program; give the path of a file that does not exist yet"
    case .unusable(let path, let reason): "cannot open \(path): \(reason); give a path that the agent can write to"
    case .full: "cannot store the window: no room; free space on the disk, or let the store be larger"
    case .failed(let reason): "cannot use the store: \(reason)"
    case .damaged(let what): "cannot read the store: \(what) is damaged"
    case .malformed(let what): "cannot store the window: \(what)"
    case .question(let reason): "cannot answer: \(reason)"
    }
  }
}
