import Glibc
import Linux
import TestSupport
import Testing

@Suite struct ServiceNoticeTests {
  /// A socket as a service manager has one.
  private final class Manager {
    private let descriptor: CInt

    init(_ name: String) throws {
      descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      var bytes = Array(name.utf8)
      if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
      let length = socklen_t(2 + bytes.count)
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
      }
      try #require(result == 0)
    }

    deinit { close(descriptor) }

    /// The next datagram; nil when none waits.
    var next: String? {
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
      return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }
  }

  @Test func theManagerHearsOfEachStep() throws {
    let folder = try TemporaryFolder()
    for name in [folder.file("notify"), "@swtrace-test-\(getpid())"] {
      let manager = try Manager(name)
      let notice = ServiceNotice(environment: ["NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "\(getpid())"])
      #expect(notice.watchdog == 30_000_000)
      notice.ready("measures\nREADY=0")
      #expect(manager.next == "READY=1\nSTATUS=measures\\u{a}READY=0")
      notice.alive()
      #expect(manager.next == "WATCHDOG=1")
      notice.status("19 Hz")
      #expect(manager.next == "STATUS=19 Hz")
      let before = Clock.monotonic / 1000
      notice.reloading()
      let lines = (manager.next ?? "").split(separator: "\n")
      #expect(lines.first == "RELOADING=1" && lines.count == 2)
      let time = lines.last.flatMap { $0.hasPrefix("MONOTONIC_USEC=") ? UInt64($0.dropFirst(15)) : nil } ?? 0
      #expect((before...Clock.monotonic / 1000).contains(time))
      notice.stopping()
      #expect(manager.next == "STOPPING=1" && manager.next == nil)
    }
  }

  @Test(
    arguments: [
      ([:], nil), (["NOTIFY_SOCKET": "/nowhere"], nil), (["NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "5"], 5),
      (["NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"], nil), (["NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "x"], nil),
      (["NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"], nil),
      (["NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "5"], nil),
      (["NOTIFY_SOCKET": "/" + String(repeating: "x", count: 200), "WATCHDOG_USEC": "5"], 5),
      (["NOTIFY_SOCKET": "", "WATCHDOG_USEC": "5"], nil),
    ] as [([String: String], UInt64?)]) func aManagerThatIsNotThereIsNoTrouble(environment: [String: String], watchdog: UInt64?)
  {
    let notice = ServiceNotice(environment: environment)
    #expect(notice.watchdog == watchdog)
    notice.ready("measures")
    notice.alive()
  }
}
