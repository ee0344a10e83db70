internal import Glibc

/// Notices which processors have gone and come, also those that were off for a moment only: what perf has attached to a processor does not
/// outlast that.
///
/// On each processor there is an event of perf's that does nothing. The kernel takes it away when the processor goes off, and the time for
/// which it was there does not grow any more.
package struct ProcessorWatch {
  private final class Watched {
    private let event: Descriptor

    init(_ processor: Int, _ open: (Int) throws(SystemError) -> CInt) throws(SystemError) {
      event = Descriptor(owning: try open(processor))
    }

    var isTakenAway: Bool {
      func time() -> UInt64? { PerfEvent.enabledTime(of: event.rawValue) }
      let before = time()
      guard before == time() else { return false }
      // Some clocks of the kernel go by its ticks.
      usleep(20_000)
      return before == time()
    }
  }

  /// Those that were online when it was last looked.
  package private(set) var online: [Int] = []
  /// Another one each time that some have gone or come.
  package private(set) var generation = 0
  /// Nil where the kernel gives no event: that such a processor was off for a moment is not seen.
  private var watched: [Int: Watched?] = [:]
  private let open: (Int) throws(SystemError) -> CInt

  /// Looks for the first time.
  package init() { self.init(open: PerfEvent.idle) }

  /// - Parameter open: opens the event of a processor.
  init(open: @escaping (Int) throws(SystemError) -> CInt) {
    self.open = open
    look()
  }

  /// Looks which processors there are.
  ///
  /// - Returns: those that have gone since the last look; they may be there again.
  @discardableResult
  package mutating func look() -> Set<Int> {
    online = Processors.online
    let gone = watched.filter { !online.contains($0.key) || $0.value?.isTakenAway ?? false }.map(\.key)
    for processor in gone { watched[processor] = nil }
    let come = online.filter { watched[$0] == nil }
    for processor in come { watched[processor] = .some(try? Watched(processor, open)) }
    if !gone.isEmpty || !come.isEmpty { generation += 1 }
    return Set(gone)
  }
}
