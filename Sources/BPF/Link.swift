internal import Clibbpf
internal import Glibc
internal import SystemPackage

/// One attachment of a program; ending it detaches the program.
@safe
package struct Link: ~Copyable {
  private let link: OpaquePointer
  /// Whether closing takes tens of milliseconds, because the kernel waits for a grace period in it.
  package let isSlowToClose: Bool

  /// Makes a link with a call that returns libbpf's link, or null and errno.
  static func make(_ program: String, _ section: String, _ attach: () -> OpaquePointer?) throws(BPFError) -> Link {
    let (made, log) = unsafe LibbpfLog.during { () -> (OpaquePointer?, CInt) in
      let link = unsafe attach()
      return unsafe (link, currentErrno())
    }
    guard let link = unsafe made.0 else {
      let errno = unsafe Errno(rawValue: made.1)
      throw BPFError(
        "attach", "program \(program)", errno: errno, log: log,
        reason: FailureReason.ofAttach(section: section, errno: errno))
    }
    let isPerf = !(section.hasPrefix("tp_btf") || section.hasPrefix("raw_tp") || section.hasPrefix("f") || section.hasPrefix("kprobe.multi"))
    return unsafe Link(link: link, isSlowToClose: isPerf)
  }

  private init(link: OpaquePointer, isSlowToClose: Bool) {
    unsafe self.link = unsafe link
    self.isSlowToClose = isSlowToClose
  }

  deinit { _ = unsafe bpf_link__destroy(link) }

  /// Gives libbpf's link away; the caller must destroy it.
  fileprivate consuming func release() -> OpaquePointer {
    let link = unsafe self.link
    discard self
    return unsafe link
  }
}

/// The attachments of one session.
@safe
package struct Links: ~Copyable {
  private var links: [OpaquePointer] = unsafe []
  private var slow = 0

  package init() {}

  package var count: Int { unsafe links.count }

  package mutating func add(_ link: consuming Link) {
    if link.isSlowToClose { slow += 1 }
    unsafe links.append(link.release())
  }

  /// Detaches all. Slow ones are closed from many threads, so that their grace periods overlap.
  package mutating func detach() {
    let all = unsafe links
    unsafe links = []
    guard slow > 1 else {
      for unsafe link in unsafe all { _ = unsafe bpf_link__destroy(link) }
      return
    }
    slow = 0
    let threads = min(unsafe all.count, 32)
    var handles: [pthread_t] = []
    for first in 0..<threads {
      let share = unsafe Unmanaged.passRetained(Share(stride(from: first, to: all.count, by: threads).map { unsafe all[$0] }))
      var handle = pthread_t()
      let status = unsafe pthread_create(&handle, nil, { argument in
        unsafe Unmanaged<Share>.fromOpaque(argument!).takeRetainedValue().close()
        return nil
      }, share.toOpaque())
      if status == 0 { handles.append(handle) } else { unsafe share.takeRetainedValue().close() }
    }
    for handle in handles { pthread_join(handle, nil) }
  }

  deinit {
    for unsafe link in unsafe links { _ = unsafe bpf_link__destroy(link) }
  }

  /// The links that one thread closes.
  @safe
  private final class Share {
    private let links: [OpaquePointer]
    init(_ links: [OpaquePointer]) { unsafe self.links = unsafe links }
    func close() { for unsafe link in unsafe links { _ = unsafe bpf_link__destroy(link) } }
  }
}
