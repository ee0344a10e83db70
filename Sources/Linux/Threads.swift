internal import CLinux
internal import Glibc
internal import SystemPackage

/// Threads for work that blocks, which must not hold up those of Swift's tasks.
package enum Threads {
  private final class Work {
    let name: String
    let body: @Sendable () -> Void
    init(_ name: String, _ body: @escaping @Sendable () -> Void) { (self.name, self.body) = (name, body) }
  }

  /// Runs the body on a thread of its own.
  ///
  /// - Parameters:
  ///   - name: as tools show it; its first 15 bytes.
  ///   - stack: in bytes.
  package static func start(_ name: String, stack: Int, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, stack)
    unsafe pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    let work = unsafe Unmanaged.passRetained(Work(name, body))
    var thread = pthread_t()
    let result = unsafe pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let work = unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
        unsafe swtrace_name_thread(work.name)
        work.body()
        return nil
      }, work.toOpaque())
    guard result == 0 else {
      unsafe work.release()
      throw SystemError("start", "a thread", errno: .init(rawValue: result))
    }
  }

  /// Waits until a semaphore can be taken, and takes it.
  ///
  /// - Parameters:
  ///   - semaphore: a `sem_t`.
  ///   - nanoseconds: it waits no longer.
  package static func take(_ semaphore: UnsafeMutableRawPointer, nanoseconds: UInt64) {
    _ = unsafe swtrace_wait(semaphore, UInt(nanoseconds))
  }
}
