/// Tells waits for locks from other waits in futex(2), by the functions that wait.
///
/// A thread that waits for work does so by the same system call as one that waits for a mutex. But nothing else waits within the functions
/// that take a lock: where one of them is among the innermost, the wait is one for a lock.
package struct LockFunctions {
  /// By the frames of one table.
  private var known: [Frame.ID: Bool] = [:]
  /// User frames that are looked at: what lies between taking a lock and the system call, with what the compiler merged.
  private static let depth = 16

  package init() {}

  /// Whether a wait in futex(2) was one for a lock.
  ///
  /// - Parameter table: the same in each call.
  package mutating func haveWaited(in stack: Stack.ID, of table: StackTable) -> Bool {
    var (rest, left) = (ownPart(of: stack, table), Self.depth)
    while left > 0, let top = table.top(of: rest) {
      rest = top.caller
      let frame = table[top.frame]
      if frame.kind == .user { left -= 1 }
      let isLock = known[top.frame] ?? Self.takesLock(frame)
      known[top.frame] = isLock
      if isLock { return true }
    }
    return false
  }

  /// What is left of a stack without that of who ended the wait.
  private func ownPart(of stack: Stack.ID, _ table: StackTable) -> Stack.ID {
    var rest = stack
    while let top = table.top(of: rest) {
      rest = top.caller
      let frame = table[top.frame]
      if frame.kind == .marker, frame.function == "--" { return rest }
    }
    return stack
  }

  /// Whether a function takes a lock, and waits for nothing else.
  package static func takesLock(_ frame: Frame) -> Bool {
    switch frame.kind {
    case .marker: return false
    // The kernel knows what it locks: futex(2), FUTEX_LOCK_PI. Swift's Mutex is one.
    case .kernel: return frame.function.hasPrefix("futex_lock_pi") || frame.function.hasPrefix("__futex_lock_pi")
    case .user: break
    }
    let name = frame.function
    if exact.contains(name) || ofLibrary.contains(plain(name)) { return true }
    return parts.contains { part in name.contains(part.owner) && part.functions.contains { name.contains($0) } }
  }

  /// Of a C library, without what stands for its aliases: `__GI___pthread_mutex_lock`, `pthread_mutex_lock@@GLIBC_2.2.5`.
  private static func plain(_ name: String) -> Substring {
    let own = name.hasPrefix("__GI_") ? name.dropFirst(5) : name[...]
    return own.drop { $0 == "_" }.prefix { $0 != "@" }
  }

  /// glibc's nptl (2.31 to 2.42) and musl's threads, without the underscores in front.
  private static let ofLibrary: Set<Substring> = [
    "pthread_mutex_lock", "pthread_mutex_lock_full", "pthread_mutex_timedlock", "pthread_mutex_clocklock", "pthread_mutex_clocklock_common",
    "pthread_mutex_cond_lock", "pthread_mutex_cond_lock_full", "pthread_rwlock_rdlock", "pthread_rwlock_rdlock_full",
    "pthread_rwlock_rdlock_full64", "pthread_rwlock_timedrdlock", "pthread_rwlock_timedrdlock64", "pthread_rwlock_clockrdlock",
    "pthread_rwlock_clockrdlock64", "pthread_rwlock_wrlock", "pthread_rwlock_wrlock_full", "pthread_rwlock_wrlock_full64",
    "pthread_rwlock_timedwrlock", "pthread_rwlock_timedwrlock64", "pthread_rwlock_clockwrlock", "pthread_rwlock_clockwrlock64",
    "lll_lock_wait", "lll_lock_wait_private", "lll_lock_elision", "lll_timedlock_wait", "lll_clocklock_wait", "lockfile",
  ]

  private static let exact: Set<String> = [
    // musl's own, of malloc and stdio.
    "__lock",
    // Go: between the threads of its runtime; goroutines wait for mutexes without a thread.
    "runtime.lock", "runtime.lock2", "runtime.lockWithRank",
    // CPython's global lock, by a condition variable.
    "take_gil",
  ]

  /// Names with types and paths in them, which differ from version to version.
  private static let parts: [(owner: String, functions: [String])] = [
    // Rust's std since 1.62, and the crate parking_lot.
    ("std::sys::", ["lock_contended", "read_contended", "write_contended"]),
    ("parking_lot::raw_mutex::RawMutex", ["lock_slow"]),
    ("parking_lot::raw_rwlock::RawRwLock", ["lock_exclusive_slow", "lock_shared_slow", "lock_upgradable_slow", "upgrade_slow"]),
    // The monitors of OpenJDK, by a condition variable.
    ("ObjectMonitor::", ["ObjectMonitor::enter", "ObjectMonitor::EnterI"]),
  ]
}
