internal import Formats
internal import Linux

/// One part of what a histogram's key stands for: its name in tables and in records.
typealias KeyPart = (title: String, label: String, value: Cell)

/// The line above a histogram: `laddr = ::1  raddr = ::1`.
func keyTitle(_ parts: [KeyPart]) -> [UInt8] {
  var line: [UInt8] = []
  for (title, _, value) in parts {
    line.append(contentsOf: "\(line.isEmpty ? "" : "  ")\(title) = ".utf8)
    switch value {
    case .text(let text): line.append(escaped: text)
    case .unsigned(let number): line.append(decimal: number)
    default: line.append(0x2d)
    }
  }
  return line
}

/// The path and the id of a cgroup of the v2 hierarchy; without a path where it is gone.
func cgroupParts(_ id: UInt64) -> [KeyPart] {
  [("cgroup", "cgroup", ControlGroup.path(of: id).map { .text(Text($0)) } ?? .none), ("id", "cgroup_id", .unsigned(id))]
}
