internal import CProbes
internal import Formats
internal import Glibc

/// One end's address as the probes hand it over: IPv6 in network byte order, IPv4 mapped into it.
struct IPAddress: Hashable {
  /// 32 bits each, as they lie in memory.
  var words: (UInt32, UInt32, UInt32, UInt32)

  init(_ words: (UInt32, UInt32, UInt32, UInt32)) { self.words = words }

  /// An address as people write it: `192.0.2.1`, `2001:db8::1`; nil for anything else.
  init?(_ text: String) {
    words = (0, 0, UInt32(0xffff).bigEndian, 0)
    guard withUnsafeMutableBytes(of: &words, { inet_pton(AF_INET, text, $0.baseAddress.map { $0 + 12 }) }) != 1 else { return }
    guard withUnsafeMutableBytes(of: &words, { inet_pton(AF_INET6, text, $0.baseAddress) }) == 1 else { return nil }
  }

  /// 4 or 6; 4 also for what a socket of IPv6 exchanges with a host of IPv4.
  var version: Int { words.0 == 0 && words.1 == 0 && words.2 == UInt32(0xffff).bigEndian ? 4 : 6 }

  /// As `192.0.2.1` or `2001:db8::1` (RFC 5952).
  var text: Text {
    var room = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    _ = withUnsafeBytes(of: words) { bytes in
      version == 4
        ? inet_ntop(AF_INET, bytes.baseAddress.map { $0 + 12 }, &room, socklen_t(room.count))
        : inet_ntop(AF_INET6, bytes.baseAddress, &room, socklen_t(room.count))
    }
    return room.withUnsafeBytes { Text(zeroTerminated: $0.bytes) }
  }

  static func == (left: IPAddress, right: IPAddress) -> Bool { left.words == right.words }

  func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

extension swtrace_connection {
  var localAddress: IPAddress { IPAddress(local) }
  var remoteAddress: IPAddress { IPAddress(remote) }
}

/// A port in an output; none where there is no port.
func portCell(_ port: UInt16) -> Cell { port == 0 ? .none : .unsigned(UInt64(port)) }
