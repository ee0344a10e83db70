internal import Foundation

/// A disk of the test's own: a loop device over a file in memory, where every kernel can discard.
package final class LoopDisk {
  package let path: String
  private let folder: String
  package var name: String { String(path.dropFirst("/dev/".count)) }

  package init() throws {
    // Absent where loop devices are built into the kernel.
    _ = try run(["modprobe", "-q", "loop"])
    folder = "/dev/shm/swtrace-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    guard mkdir(folder, 0o700) == 0 else { throw RunError("no folder \(folder)") }
    let image = "\(folder)/disk"
    guard try run(["truncate", "-s", "64M", image]).status == 0 else { throw RunError("no image") }
    let made = try run(["losetup", "-f", "--show", image])
    guard made.status == 0, let device = made.lines.first else { throw RunError("losetup: \(made.errorText)") }
    path = device
  }

  deinit {
    _ = try? run(["losetup", "-d", path])
    _ = try? run(["rm", "-rf", folder])
  }
}
