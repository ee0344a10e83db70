internal import Clibbpf
internal import Glibc
internal import Linux
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
    let isPerf =
      !(section.hasPrefix("tp_btf") || section.hasPrefix("raw_tp") || section.hasPrefix("f") || section.hasPrefix("kprobe.multi"))
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

/// One attachment by file descriptors, to a target that user space chose; closing them detaches.
package struct TargetLink: ~Copyable {
  /// The kernel's link; -1 where the program belongs to the event itself (before 5.15).
  fileprivate let link: CInt
  /// The perf event; -1 for links without one.
  fileprivate let event: CInt

  init(link: CInt, event: CInt = -1) {
    self.link = link
    self.event = event
  }

  deinit { Held.descriptors(link: link, event: event).close() }

  fileprivate consuming func release() -> Held {
    let held = Held.descriptors(link: link, event: event)
    discard self
    return held
  }
}

/// What `Links` keeps of one attachment.
@safe
private enum Held {
  case link(OpaquePointer)
  case descriptors(link: CInt, event: CInt)

  func close() {
    switch self {
    case .link(let link): _ = unsafe bpf_link__destroy(link)
    case .descriptors(let link, let event):
      if event >= 0 { swtrace_disable_event(event) }
      if link >= 0 { Glibc.close(link) }
      if event >= 0 { Glibc.close(event) }
    }
  }

  var missed: UInt64 {
    switch self {
    case .link: 0
    case .descriptors(let link, _): link < 0 ? 0 : swtrace_link_missed(link)
    }
  }
}

/// The attachments of one session.
@safe
package struct Links: ~Copyable {
  private var links: [Held] = []
  /// Those that can be detached by themselves.
  private var groups: [UInt64: [Held]] = [:]
  private var slow = 0
  /// Events that the kernel could not hand to the programs of links that have been detached. Kernel 6.7.
  package private(set) var missed: UInt64 = 0

  /// Clocks of programs that are attached, with their periods.
  private var clocks: [(descriptor: CInt, period: UInt64)] = []
  /// Of clocks whose programs have been detached.
  private var throttledBefore: UInt64 = 0

  /// Samples that were not taken because the kernel had stopped their clock, since the beginning.
  package var throttled: UInt64 {
    clocks.reduce(throttledBefore) { $0 + PerfEvent.stoppedTime(of: $1.descriptor) / $1.period }
  }

  package init() {}

  package var count: Int { links.count + groups.values.reduce(0) { $0 + $1.count } }

  package mutating func add(_ link: consuming Link) {
    if link.isSlowToClose { slow += 1 }
    unsafe links.append(.link(link.release()))
  }

  /// Adds a link of a clock; its descriptor belongs to the link.
  package mutating func add(_ link: consuming Link, clock descriptor: CInt, period: UInt64) {
    add(link)
    clocks.append((descriptor, max(period, 1)))
  }

  /// Adds a link to those of a group.
  package mutating func add(_ link: consuming Link, group: UInt64) { unsafe groups[group, default: []].append(.link(link.release())) }

  /// The same.
  package mutating func add(_ link: consuming TargetLink, group: UInt64) { groups[group, default: []].append(link.release()) }

  /// Detaches the links of a group.
  package mutating func detach(group: UInt64) {
    let all = groups.removeValue(forKey: group) ?? []
    for held in all { missed += held.missed }
    Self.close(all)
  }

  package mutating func add(_ link: consuming TargetLink) {
    if link.event >= 0 { slow += 1 }
    links.append(link.release())
  }

  /// Detaches all. Slow ones are closed from many threads, so that their grace periods overlap.
  package mutating func detach() {
    let all = links + groups.values.joined()
    if !groups.isEmpty { slow = all.count }
    throttledBefore = throttled
    (links, groups, clocks) = ([], [:], [])
    for held in all { missed += held.missed }
    guard slow > 1 else {
      for held in all { held.close() }
      return
    }
    slow = 0
    Self.close(all)
  }

  /// Closes links from many threads.
  private static func close(_ all: [Held]) {
    let threads = min(all.count, 32)
    var handles: [pthread_t] = []
    for first in 0..<threads {
      let share = unsafe Unmanaged.passRetained(Share(stride(from: first, to: all.count, by: threads).map { all[$0] }))
      var handle = pthread_t()
      let status = unsafe pthread_create(
        &handle, nil,
        { argument in
          guard let argument = unsafe argument else { return nil }
          unsafe Unmanaged<Share>.fromOpaque(argument).takeRetainedValue().close()
          return nil
        }, share.toOpaque())
      if status == 0 { handles.append(handle) } else { unsafe share.takeRetainedValue().close() }
    }
    for handle in handles { pthread_join(handle, nil) }
  }

  deinit {
    for held in links + groups.values.joined() { held.close() }
  }

  /// The links that one thread closes.
  private final class Share {
    private let links: [Held]
    init(_ links: [Held]) { self.links = links }
    func close() { for held in links { held.close() } }
  }
}
