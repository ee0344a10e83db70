import Profiles
import Testing

@Suite struct LockFunctionsTests {
  private static func haveWaited(_ user: [String], kernel: [String] = ["do_futex", "futex_wait"], waker: [String]? = nil) -> Bool {
    var table = StackTable()
    // From the root to the leaf.
    var frames = user.map { Frame(function: $0) } + kernel.map { Frame(function: $0, kind: .kernel) }
    if let waker { frames += [Frame(function: "--", kind: .marker)] + waker.map { Frame(function: $0) } }
    var functions = LockFunctions()
    let stack = table.intern(Stack(frames))
    let answer = functions.haveWaited(in: stack, of: table)
    #expect(functions.haveWaited(in: stack, of: table) == answer)
    return answer
  }

  @Test(arguments: [
    ["main", "work", "pthread_mutex_lock", "__lll_lock_wait", "futex_wait"], ["main", "___pthread_mutex_lock"],
    ["main", "__GI___pthread_mutex_lock"], ["main", "pthread_rwlock_wrlock@@GLIBC_2.34", "__futex_abstimed_wait_common"],
    ["main", "malloc", "_int_malloc", "__lll_lock_wait_private"], ["main", "malloc", "__lock", "__futexwait"],
    ["main", "std::sys::sync::mutex::futex::Mutex::lock_contended", "std::sys::pal::unix::futex::futex_wait", "syscall"],
    ["main", "<std::sys::unix::locks::futex_rwlock::RwLock>::write_contended", "syscall"],
    ["main", "parking_lot::raw_mutex::RawMutex::lock_slow", "parking_lot_core::parking_lot::park", "syscall"],
    ["runtime.mstart", "runtime.schedule", "runtime.lock2", "runtime.futexsleep", "runtime.futex"],
    // By condition variables, which a lock is made of; and within one.
    ["_PyEval_EvalFrameDefault", "take_gil", "pthread_cond_timedwait", "__futex_abstimed_wait_common"],
    ["ObjectMonitor::EnterI(JavaThread*)", "os::PlatformEvent::park()", "pthread_cond_wait"],
    ["main", "pthread_cond_wait", "__pthread_mutex_cond_lock", "__lll_lock_wait"],
  ]) func locksAreFound(_ stack: [String]) { #expect(Self.haveWaited(stack), "\(stack)") }

  @Test(arguments: [
    ["worker", "pthread_cond_wait", "__futex_abstimed_wait_common"], ["main", "pthread_join", "__futex_abstimed_wait_common"],
    ["main", "sem_wait"], ["main", "pthread_barrier_wait"], ["main", "std::sys::sync::condvar::futex::Condvar::wait", "syscall"],
    ["main", "parking_lot::condvar::Condvar::wait_until_internal", "syscall"],
    ["runtime.stopm", "runtime.notesleep", "runtime.futexsleep"],
    ["main", "lock"], ["main", "syscall"], [],
    // Too far from the system call to be what waits.
    ["pthread_mutex_lock"] + Array(repeating: "own", count: 16),
  ]) func otherWaitsAreNone(_ stack: [String]) { #expect(!Self.haveWaited(stack), "\(stack)") }

  @Test func theKernelKnowsItsOwn() {
    #expect(Self.haveWaited([], kernel: ["do_futex", "futex_lock_pi", "__rt_mutex_start_proxy_lock"]))
    #expect(!Self.haveWaited(["futex_lock_pi"]))
  }

  @Test func aWakersLockIsNotTheWaiters() {
    #expect(!Self.haveWaited(["worker", "pthread_cond_wait"], waker: ["pthread_mutex_lock", "pthread_cond_signal"]))
    #expect(Self.haveWaited(["worker", "pthread_mutex_lock"], waker: Array(repeating: "own", count: 20) + ["pthread_mutex_unlock"]))
  }
}
