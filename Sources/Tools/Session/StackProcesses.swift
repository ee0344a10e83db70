internal import BPF
package import Linux
internal import Profiles
package import Symbolication
internal import Unwinding

/// What is known of the processes whose stacks are taken in: their code, the rules by which their stacks are walked, and names. Several
/// probes on one thread share it.
package final class StackProcesses {
  package var symbolizer: Symbolizer
  let records: ProcessRecordReader?
  /// Where user stacks are walked by rules.
  var walks: StackWalks? { didSet { symbolizer.remembersChanges = walks != nil } }
  /// The maps that the rules are in, for further probes.
  var maps: SharedMaps?
  /// Names of the windows before, where there are windows.
  private var namer: StackNamer?
  private let indexLimit: Int?
  /// Whether less is kept, so that windows take longer to name.
  package var isLean = false

  /// - Parameters:
  ///   - records: tells of programs that start and end; without it those that live for a moment only have no names.
  ///   - openFiles: how many files of processes may be held open.
  ///   - indexLimit: bytes that the indexes of files take after a window; nil for a run that names once, at its end.
  package init(
    _ options: Symbolizer.Options = .init(), records: ProcessRecordReader? = nil, openFiles: Int = 256, indexLimit: Int? = nil
  ) {
    symbolizer = Symbolizer(openFiles: min(openFiles, 8192), isEndless: indexLimit != nil)
    self.records = records
    self.indexLimit = indexLimit
    symbolizer.options = options
  }

  /// What processes a tool can follow.
  ///
  /// - Parameter tool: for what is said when it cannot.
  package convenience init(of tool: String, _ options: Symbolizer.Options, indexLimit: Int? = nil) {
    // Before the first event, so that no program's start is missed.
    var records: ProcessRecordReader?
    if !ProcessNamespace.isInitial {
      complain(
        "swtrace \(tool): functions of processes have no names in a pid namespace of its own; run it in the host's "
          + "(docker run --pid=host)")
    } else {
      do { records = try ProcessRecordReader() } catch {
        complain("swtrace \(tool): \(error); programs that run for a moment only will lack names")
      }
    }
    self.init(options, records: records, openFiles: DescriptorLimit.maximum / 2, indexLimit: indexLimit)
  }

  /// Takes in what happened to processes. Call it often: a process is known best while it lives.
  package func follow() {
    records?.drain { record in symbolizer.note(record) }
    walks?.follow(&symbolizer)
  }

  /// Learns of a process that runs already and is traced, so that its first stack can be walked.
  func expect(_ process: ProcessID) {
    guard let walks else { return }
    let memory = ProcFile.startOfStack(of: process)
    symbolizer.learn(process)
    follow()
    // Else it runs another program by now; its first event will tell.
    guard let memory, ProcFile.startOfStack(of: process) == memory else { return }
    walks.use(process, memory: memory, symbolizer)
    walks.build(all: true)
  }

  /// Gives up the rules, which are more memory than the names will be. Call it when everything was taken in.
  ///
  /// - Returns: whether stacks were walked by rules, and why files had none; nil where all had.
  func endWalks() -> (areWalked: Bool, failures: String?) {
    defer {
      walks = nil
      ProgramMemory.releaseFreed()
    }
    return (walks != nil, walks?.failures)
  }

  /// Lends the names of the windows before, and the symbolizer in it.
  func takeNamer() -> StackNamer {
    var namer = self.namer ?? StackNamer(isDelimited: false, indexLimit: indexLimit.map { isLean ? $0 / 4 : $0 })
    self.namer = nil
    lend(&namer)
    return namer
  }

  /// Takes back what `takeNamer` has lent.
  func giveBack(_ namer: consuming StackNamer) {
    lend(&namer)
    self.namer = namer
  }

  /// Exchanges the symbolizer, for as long as somebody else names.
  func lend(_ namer: inout StackNamer) { swap(&namer.symbolizer, &symbolizer) }

  /// Forgets what no event needs any more. Call it after the windows of all probes.
  ///
  /// - Parameters:
  ///   - time: before it all events have been named.
  ///   - waiting: processes with events that have not.
  package func settle(before time: UInt64, keeping waiting: Set<UInt32>) {
    symbolizer.forgetNamed(before: time, keeping: waiting)
    symbolizer.settle()
    if symbolizer.takeKernelChange() { namer?.forgetKernel() }
    if isLean || namer?.isLarge ?? false { namer = nil }
    ProgramMemory.releaseFreed()
  }
}
