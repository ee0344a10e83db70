internal import CLinux
internal import Glibc

/// Waits for descriptors of several kinds at once (epoll(7)).
package struct EventPoll: ~Copyable {
  /// Why a wait returned; bits of one word.
  package struct Reasons: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let ring = Reasons(rawValue: 1)
    package static let signal = Reasons(rawValue: 2)
    package static let child = Reasons(rawValue: 4)
    package static let outputClosed = Reasons(rawValue: 8)
  }

  private let descriptor: Descriptor
  /// Can be waited for itself.
  package var rawValue: CInt { descriptor.rawValue }

  package init() throws(SystemError) {
    descriptor = Descriptor(owning: try check(epoll_create1(Int32(EPOLL_CLOEXEC)), "create", "epoll"))
  }

  /// Adds a descriptor.
  ///
  /// - Parameters:
  ///   - edge: report changes only; for rings, which are nearly always readable while events flow.
  ///   - hangUpOnly: report only that the other end is gone.
  /// - Returns: whether it can be waited for; regular files cannot.
  @discardableResult
  package func add(_ file: CInt, as reason: Reasons, edge: Bool = false, hangUpOnly: Bool = false) -> Bool {
    var event = unsafe epoll_event()
    unsafe event.events = (hangUpOnly ? 0 : EPOLLIN.rawValue) | (edge ? EPOLLET.rawValue : 0)
    unsafe event.data.u32 = reason.rawValue
    return unsafe epoll_ctl(descriptor.rawValue, EPOLL_CTL_ADD, file, &event) == 0
  }

  /// Waits for the first reason, at most so long.
  package func wait(nanoseconds: UInt64) -> Reasons {
    unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 8) { events in
      // Rounded up: a wait that ends just before its time would be repeated at once.
      let milliseconds = Int32(clamping: (nanoseconds + 999_999) / 1_000_000)
      let count = unsafe epoll_wait(descriptor.rawValue, events.baseAddress, 8, milliseconds)
      var reasons: Reasons = []
      for index in 0..<Int(max(count, 0)) { unsafe reasons.insert(Reasons(rawValue: events[index].data.u32)) }
      return reasons
    }
  }
}

/// Asks a run on another thread to end.
package final class EndRequest: Sendable {
  private let owner: Descriptor
  /// Can be read once the end has been asked for.
  package var descriptor: CInt { owner.rawValue }

  package init() throws(SystemError) {
    owner = Descriptor(owning: try check(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)), "make", "an event to end by"))
  }

  package func request() { _ = eventfd_write(descriptor, 1) }
}

/// The signals that end a run, delivered through a descriptor instead of at any instruction.
package struct EndSignals: ~Copyable {
  private let descriptorOwner: Descriptor
  private let areSignals: Bool
  package var descriptor: CInt { descriptorOwner.rawValue }

  /// Reports that the program itself asks for the end, as services do. Its signals stay as they are.
  package init(_ request: EndRequest) throws(SystemError) {
    descriptorOwner = Descriptor(owning: try check(fcntl(request.descriptor, F_DUPFD_CLOEXEC, 0), "watch", "the request to end"))
    areSignals = false
  }

  /// Blocks SIGINT, SIGTERM and SIGHUP and reports them; ignores SIGPIPE, so that a closed pipe is an error of the write.
  package init() throws(SystemError) {
    var set = Self.set
    unsafe sigprocmask(SIG_BLOCK, &set, nil)
    signal(SIGPIPE, SIG_IGN)
    descriptorOwner = Descriptor(owning: try check(unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK)), "watch", "signals"))
    areSignals = true
  }

  private static var set: sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in [SIGINT, SIGTERM, SIGHUP] { unsafe sigaddset(&set, signal) }
    return set
  }

  /// Stops reporting: whoever asks again, half a second after this at the earliest, ends the program at once.
  ///
  /// Not earlier, because some launchers deliver a terminal's signal twice.
  ///
  /// - Returns: whether there was a signal.
  package func release() -> Bool {
    guard areSignals else { return true }
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    var any = false
    while unsafe read(descriptor, &info, size) == size { any = true }
    swtrace_exit_on_next_signal()
    var set = Self.set
    unsafe sigprocmask(SIG_UNBLOCK, &set, nil)
    return any
  }
}
