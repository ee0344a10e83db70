internal import Glibc
internal import Linux

/// A disk as the kernel numbers it.
struct Disk: Hashable, Sendable {
  /// The kernel's own `dev_t`: the major number above 20 bits of the minor one.
  var number: UInt32

  init(number: UInt32) { self.number = number }

  init(major: UInt32, minor: UInt32) { number = major << 20 | minor & 0xfffff }

  /// Looks a disk up by its name, with or without `/dev/`.
  ///
  /// - Throws: `ToolError` when there is none, or when it is a part of a disk: requests belong to the whole.
  init(named name: String) throws {
    let short = name.hasPrefix("/dev/") ? String(name.dropFirst(5)) : name
    // sysfs writes the slash of cciss/c0d0 so.
    let folder = String(short.map { $0 == "/" ? "!" : $0 })
    guard !short.isEmpty, folder != ".", folder != "..", let text = ProcFile.read("/sys/class/block/\(folder)/dev"),
      let number = Self.parse(text)
    else { throw ToolError("there is no disk '\(short)'\(Suggestions.question(short, among: Self.names)); see lsblk -d") }
    guard ProcFile.bytes("/sys/class/block/\(folder)/partition") == nil else {
      throw ToolError("'\(short)' is a partition; requests belong to its disk: see lsblk")
    }
    self = number
  }

  /// `252:0`, as sysfs writes it.
  static func parse(_ text: some StringProtocol) -> Disk? {
    let parts = text.filter { !$0.isWhitespace }.split(separator: ":", omittingEmptySubsequences: false).map { UInt32(String($0)) }
    guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
    return Disk(major: major, minor: minor)
  }

  /// The name below `/dev`, or the numbers when the disk is gone.
  var name: String {
    let numbers = "\(number >> 20):\(number & 0xfffff)"
    for line in (ProcFile.read("/sys/dev/block/\(numbers)/uevent") ?? "").split(separator: "\n") where line.hasPrefix("DEVNAME=") {
      return String(line.dropFirst(8))
    }
    return numbers
  }

  /// All disks and their partitions.
  private static var names: [String] {
    (ProcFile.read("/proc/partitions") ?? "").split(separator: "\n").dropFirst().compactMap { line in
      line.split(separator: " ").last.map(String.init)
    }
  }
}
