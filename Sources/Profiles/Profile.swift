/// Measured values by stack and process: what flame graphs, folded text and tables of functions are made from.
package struct Profile: Sendable {
  /// What a value of 1 means.
  package enum Unit: Hashable, Sendable {
    case samples, nanoseconds, microseconds, milliseconds, bytes
    case other(String)

    /// `samples`, `ns`, `us`, `ms`, `bytes`, or any other word, as people and other tools write it.
    package init(_ name: String) {
      switch name {
      case "samples", "sample": self = .samples
      case "ns", "nanoseconds": self = .nanoseconds
      case "us", "usecs", "microseconds": self = .microseconds
      case "ms", "msecs", "milliseconds": self = .milliseconds
      case "bytes", "B": self = .bytes
      default: self = .other(name)
      }
    }

    package var name: String {
      switch self {
      case .samples: "samples"
      case .nanoseconds: "ns"
      case .microseconds: "us"
      case .milliseconds: "ms"
      case .bytes: "bytes"
      case .other(let name): name
      }
    }
  }

  /// Who was measured. The command is the kernel's bytes (at most 15, any value but 0), not always UTF-8.
  package struct Process: Hashable, Sendable {
    package var command: [UInt8]
    package var pid: UInt32?
    package var tid: UInt32?
    /// The number of the Swift task.
    package var task: UInt32?

    package init(command: [UInt8], pid: UInt32? = nil, tid: UInt32? = nil, task: UInt32? = nil) {
      self.command = command
      self.pid = pid
      self.tid = tid
      self.task = task
    }
  }

  /// One stack of one process, and the sum of what was measured there.
  package struct Sample: Hashable, Sendable {
    package let stack: Stack.ID
    /// An index of `processes`.
    package let process: Int
    package internal(set) var value: UInt64
    /// How many measurements were added up.
    package internal(set) var count: UInt64
  }

  package var unit: Unit
  /// Values are counted in 10^-decimals of the unit: 0 for all that swtrace measures, more for text with fractions.
  package let decimals: Int
  /// Where the stacks of the samples are interned; callers may intern here first and then add by `Stack.ID`.
  package var stacks = StackTable()
  package private(set) var processes: [Process] = []
  /// In the order in which they were first seen; no two with the same stack and process.
  package private(set) var samples: [Sample] = []
  /// The sum of all values; stays at the largest number rather than wrap.
  package private(set) var total: UInt64 = 0
  /// The single measurements, where they are known. Nothing, or the values of each sample add up to its own.
  package var moments = Moments()

  private struct Key: Hashable {
    let stack: Stack.ID
    let process: Int
  }
  private var processIDs: [Process: Int] = [:]
  private var sampleIDs: [Key: Int] = [:]

  package init(unit: Unit = .samples, decimals: Int = 0) {
    self.unit = unit
    self.decimals = decimals
  }

  /// Adds to what was measured for this stack in this process; values of 0 leave no trace.
  ///
  /// - Returns: the place in `samples`; nil for a value of 0.
  @discardableResult
  package mutating func add(_ value: UInt64, count: UInt64 = 1, stack: Stack, process: Process) -> Int? {
    add(value, count: count, stack: stacks.intern(stack), process: process)
  }

  /// The same for a stack already in `stacks`.
  @discardableResult
  package mutating func add(_ value: UInt64, count: UInt64 = 1, stack: Stack.ID, process: Process) -> Int? {
    guard value > 0 else { return nil }
    let process = intern(process)
    total.addSaturating(value)
    let key = Key(stack: stack, process: process)
    if let known = sampleIDs[key] {
      samples[known].value.addSaturating(value)
      samples[known].count.addSaturating(count)
      return known
    }
    sampleIDs[key] = samples.count
    samples.append(Sample(stack: stack, process: process, value: value, count: count))
    return samples.count - 1
  }

  /// The same stacks measured in a larger unit, without moments; sums below one of it are left out.
  package func converted(to unit: Unit, dividingBy divisor: UInt64) -> Profile {
    var result = Profile(unit: unit, decimals: decimals)
    result.stacks = stacks
    for sample in samples {
      result.add(sample.value / divisor, count: sample.count, stack: sample.stack, process: processes[sample.process])
    }
    return result
  }

  /// The same values for stacks that are changed in some way, such as with other names; those that become equal are added up.
  package func mappingStacks(_ change: (Stack) -> Stack) -> Profile {
    var result = Profile(unit: unit, decimals: decimals)
    var changed: [Stack.ID: Stack.ID] = [:]
    let places = samples.map { sample in
      let stack = changed[sample.stack] ?? result.stacks.intern(change(stacks[sample.stack]))
      changed[sample.stack] = stack
      return result.add(sample.value, count: sample.count, stack: stack, process: processes[sample.process])
    }
    result.moments = moments.mappingSamples { places[$0] }
    return result
  }

  private mutating func intern(_ process: Process) -> Int {
    if let known = processIDs[process] { return known }
    processIDs[process] = processes.count
    processes.append(process)
    return processes.count - 1
  }
}

extension UInt64 {
  /// Adds, and stays at the largest number rather than wrap.
  package mutating func addSaturating(_ other: UInt64) {
    let (sum, overflow) = addingReportingOverflow(other)
    self = overflow ? .max : sum
  }
}
