internal import CLinux
internal import Glibc

/// Tells the service manager that started this program how it is doing (sd_notify(3)); does nothing where there is none.
package struct ServiceNotice: Sendable {
  /// Where the datagrams go; nil for nobody. A path, or after `@` a name without a file.
  private let socket: String?
  /// How often the manager wants to hear that the program makes progress, in microseconds; nil for never.
  package let watchdog: UInt64?

  /// - Parameter environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID count.
  package init(environment: [String: String]) {
    let name = environment["NOTIFY_SOCKET"] ?? ""
    socket = name.hasPrefix("/") || name.hasPrefix("@") ? name : nil
    let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
    watchdog = socket != nil && isMeant ? environment["WATCHDOG_USEC"].flatMap { UInt64($0) }.flatMap { $0 > 0 ? $0 : nil } : nil
  }

  /// The program does what it is for.
  package func ready(_ status: String) { send(["READY=1", "STATUS=\(status)"]) }

  /// It reads its configuration again; `ready` follows.
  package func reloading() { send(["RELOADING=1", "MONOTONIC_USEC=\(Clock.monotonic / 1000)"]) }

  package func stopping() { send(["STOPPING=1"]) }

  /// It makes progress.
  package func alive() { send(["WATCHDOG=1"]) }

  /// A line for people who ask the manager.
  package func status(_ text: String) { send(["STATUS=\(text)"]) }

  /// A manager that does not listen is none of the program's trouble.
  private func send(_ lines: [String]) {
    guard let socket else { return }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(socket.utf8)
    guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    // In the kernel, names without a file begin with NUL.
    if name[0] == UInt8(ascii: "@") { name[0] = 0 }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let length = MemoryLayout.offset(of: \sockaddr_un.sun_path)! + name.count
    let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    // Each is one line: what others chose in it must not begin another.
    let message = lines.map { escaped($0) }.joined(separator: "\n")
    unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        _ = unsafe sendto(descriptor, message, message.utf8.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT), pointer, socklen_t(length))
      }
    }
  }
}
