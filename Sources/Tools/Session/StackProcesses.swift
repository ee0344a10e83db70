internal import BPF
internal import Formats
package import Linux
package import Profiles
package import Symbolication
internal import Unwinding

/// What is known of the processes whose stacks are taken in: their code, the rules by which their stacks are walked, and names. Several
/// probes on one thread share it.
package final class StackProcesses {
  package var symbolizer: Symbolizer
  let records: ProcessRecordReader?
  /// Where user stacks are walked by rules.
  var walks: StackWalks? { didSet { symbolizer.processes.remembersChanges = walks != nil } }
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
    self.init(options, records: records, openFiles: DescriptorLimit.maximum / 4, indexLimit: indexLimit)
  }

  /// Takes in what happened to processes. Call it often: a process is known best while it lives.
  package func follow() {
    records?.drain { record in symbolizer.processes.note(record) }
    walks?.follow(&symbolizer)
  }

  /// Follows processes on these processors, of which some may have come later, or were off meanwhile.
  package func follow(_ processors: [Int], gone: Set<Int>) {
    do { try records?.follow(processors, gone: gone) } catch {
      complain("swtrace: \(error); programs that run for a moment only will lack names")
    }
  }

  /// Learns of a process that runs already and is traced, so that its first stack can be walked.
  func expect(_ process: ProcessID) {
    guard let walks else { return }
    let memory = ProcFile.startOfStack(of: process)
    symbolizer.processes.learn(process)
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

  /// What came of naming stacks.
  package struct Named {
    package var profile: Profile
    /// Its samples by the entries of the stacks; nil for those without events.
    var places: [Int?]
    /// What the events of the entries count for, and how many there are.
    var entries: [(profiles: UInt8, events: UInt64, value: UInt64)]
    /// Events that lack the user stack that they have: it was another one's.
    var withoutUserStack: UInt64
    /// Addresses that were looked up, and those of them that have a name.
    var names: (total: Int, named: Int)
  }

  /// Names stacks with the names of the windows before, which are kept for the next one.
  ///
  /// - Parameter meanwhile: called every few milliseconds, to take in what comes while names are looked up.
  package func name(_ closed: StackAggregator.ClosedStacks, unit: Profile.Unit, meanwhile: () -> Void) -> Named {
    var namer = takeNamer()
    defer {
      namer.endWindow()
      self.namer = namer
    }
    return name(closed, unit, &namer, meanwhile: meanwhile)
  }

  func name(
    _ closed: StackAggregator.ClosedStacks, _ unit: Profile.Unit, _ namer: inout StackNamer, meanwhile: () -> Void
  ) -> Named {
    lend(&namer)
    let stacks = closed.stacks
    let before = namer.symbolizer.report
    namer.nameAddresses(of: stacks, fromCalls: closed.areFromCalls) { symbolizer in
      swap(&symbolizer, &self.symbolizer)
      meanwhile()
      swap(&symbolizer, &self.symbolizer)
    }
    var withoutUserStack: UInt64 = 0
    let named = stacks.entries.map { entry -> Stack.ID? in
      guard entry.events > 0 else { return nil }
      let (stack, lacksUserPart) = namer.name(entry, stacks, fromCalls: closed.areFromCalls)
      if lacksUserPart { withoutUserStack += entry.events }
      return stack
    }
    let after = namer.symbolizer.report
    lend(&namer)
    var profile = Profile(unit: unit)
    profile.stacks = namer.table
    let places = zip(stacks.entries, named).map { entry, stack -> Int? in
      guard let stack else { return nil }
      let command = withUnsafeBytes(of: entry.owner.command) { Text(zeroTerminated: $0.bytes) }
      return profile.add(
        entry.value, count: entry.events, stack: stack,
        process: Profile.Process(
          command: command.bytes, pid: entry.owner.process, task: entry.owner.task > 0 ? entry.owner.task : nil))
    }
    return Named(
      profile: profile, places: places, entries: stacks.entries.map { ($0.owner.profiles, $0.events, $0.value) },
      withoutUserStack: withoutUserStack,
      names: (after.total - before.total, after.named - before.named))
  }

  private func takeNamer() -> StackNamer {
    let namer = self.namer ?? StackNamer(isDelimited: false, indexLimit: indexLimit.map { isLean ? $0 / 4 : $0 })
    self.namer = nil
    return namer
  }

  /// Exchanges the symbolizer, for as long as somebody else names.
  private func lend(_ namer: inout StackNamer) { swap(&namer.symbolizer, &symbolizer) }

  /// Forgets what no event needs any more. Call it after the windows of all probes.
  ///
  /// - Parameters:
  ///   - time: before it all events have been named.
  ///   - waiting: processes with events that have not.
  package func settle(before time: UInt64, keeping waiting: Set<UInt32>) {
    symbolizer.processes.forgetNamed(before: time, keeping: waiting)
    symbolizer.settle()
    if symbolizer.takeKernelChange() { namer?.forgetKernel() }
    if isLean || namer?.isLarge ?? false { namer = nil }
    ProgramMemory.releaseFreed()
  }
}
