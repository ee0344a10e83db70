internal import DebugInfo
internal import Glibc
internal import Linux
internal import Symbolication
internal import Synchronization

/// The rules of a file, or why there are none.
enum TableResult: Sendable {
  case table(UnwindTable, [ELFFile.Segment])
  /// There are none to be had: nil where the file has none.
  case failed(String?)

  /// Makes them.
  init(_ file: () throws(Symbolized.Reason) -> ELFFile) {
    do {
      let file = try file()
      let table = try UnwindTable(file)
      // A table of one row says that nothing is known.
      self = table.count > 1 ? .table(table, file.segments) : .failed(nil)
    } catch let reason as Symbolized.Reason {
      // What is mapped need not be ELF: code of .NET, of Wine.
      self = .failed(reason == .noSymbols ? nil : reason.rawValue)
    } catch { self = .failed(error as? UnwindTable.Failure == .otherArchitecture ? nil : "\(error)") }
  }
}

/// Makes the tables of files in a thread of its own, so that events are read meanwhile: that of a large compiler takes tenths of a second.
@safe
final class TableWorker: Sendable {
  private struct State {
    var jobs: [(key: UnwindExecutable.Key, file: UnopenedFile)] = []
    var results: [(key: UnwindExecutable.Key, result: TableResult)] = []
    /// Jobs whose result was not taken yet.
    var unfinished = 0
    var isRunning = false
  }

  private let state = Mutex(State())
  /// Counts jobs, and results. Never freed: the thread may wait on it when the program ends.
  private nonisolated(unsafe) let jobs = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  private nonisolated(unsafe) let results = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  private let make: @Sendable (UnopenedFile) -> TableResult

  /// - Parameter make: makes a table, in the thread.
  init(
    make: @escaping @Sendable (UnopenedFile) -> TableResult = { file in TableResult { () throws(Symbolized.Reason) in try file.open() } }
  ) {
    self.make = make
    unsafe sem_init(jobs, 0, 0)
    unsafe sem_init(results, 0, 0)
  }

  /// Begins to make a table; false where there is no thread to do so.
  func submit(_ key: UnwindExecutable.Key, _ file: UnopenedFile) -> Bool {
    let isAccepted = state.withLock { state in
      if !state.isRunning { state.isRunning = begin() }
      guard state.isRunning else { return false }
      state.jobs.append((key, file))
      state.unfinished += 1
      return true
    }
    if isAccepted { unsafe sem_post(jobs) }
    return isAccepted
  }

  /// Has some jobs done before the others.
  func prefer(_ keys: Set<UnwindExecutable.Key>) {
    state.withLock { state in state.jobs = state.jobs.filter { keys.contains($0.key) } + state.jobs.filter { !keys.contains($0.key) } }
  }

  /// Waits for a result to be taken; not where there is nothing to wait for.
  ///
  /// - Parameter nanoseconds: it waits no longer.
  func waitForResult(nanoseconds: UInt64) {
    // Of results that were taken without waiting.
    while unsafe sem_trywait(results) == 0 {}
    guard state.withLock({ $0.unfinished > 0 && $0.results.isEmpty }) else { return }
    unsafe Threads.take(results, nanoseconds: nanoseconds)
  }

  /// Waits for the result of one job, which comes first now; not for one that nobody has asked for.
  func wait(for key: UnwindExecutable.Key) {
    prefer([key])
    while state.withLock({ state in state.unfinished > state.results.count && !state.results.contains { $0.key == key } }) {
      unsafe sem_wait(results)
    }
  }

  /// The results since the last time.
  ///
  /// - Parameter all: waits for those of all jobs.
  func take(all: Bool = false) -> [(key: UnwindExecutable.Key, result: TableResult)] {
    while all, state.withLock({ $0.unfinished > $0.results.count }) { unsafe sem_wait(results) }
    return state.withLock { state in
      defer { state.results = [] }
      state.unfinished -= state.results.count
      return state.results
    }
  }

  private func begin() -> Bool {
    // Signals are for the thread that waits for them.
    var (all, before) = (sigset_t(), sigset_t())
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self)
    let status = unsafe pthread_create(
      &thread, nil,
      { context in
        guard let context = unsafe context else { return nil }
        unsafe Unmanaged<TableWorker>.fromOpaque(context).takeRetainedValue().run()
      }, context.toOpaque())
    if status != 0 { context.release() }
    return status == 0
  }

  private func run() -> Never {
    while true {
      while unsafe sem_wait(jobs) != 0 {}
      let job = state.withLock { $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }
      guard let job else { continue }
      let result = make(job.file)
      state.withLock { $0.results.append((job.key, result)) }
      unsafe sem_post(results)
    }
  }
}
