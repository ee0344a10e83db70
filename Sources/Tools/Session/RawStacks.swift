internal import CProbes
internal import Profiles

/// Stacks of addresses, each once for each process, with what was measured there.
///
/// One array of addresses and one of entries: an event with a known stack allocates nothing.
struct RawStacks {
  /// Whose events there are, and whose that had to do with them.
  var processes: Set<UInt32> {
    entries.reduce(into: []) { processes, entry in processes.formUnion([entry.owner.process, entry.owner.partnerProcess]) }
  }

  /// Whose stack: a process is another one after it has started another program.
  struct Owner: Hashable {
    var process: UInt32
    /// The symbolizer's number of the program.
    var program: UInt32 = 0
    /// The kernel's `char[16]`.
    var command: SIMD16<UInt8>
    /// The number of the Swift task, where it was asked for and there is one; else 0.
    var task: UInt32 = 0
    /// Whether the stack is of a wait that had not ended.
    var isBlocked = false
    /// What a wait counts for, as bits of the probe's `offcputime_profile`; 0 for what is none.
    var profiles: UInt8 = 0
    /// Why the user part ends, where that is shown.
    var ending: StackEnding?
    /// What another task has to do with it, and that task's name, process and program.
    var relation = SWTRACE_NO_PARTNER.rawValue
    var partner = SIMD16<UInt8>()
    var partnerProcess: UInt32 = 0
    var partnerProgram: UInt32 = 0
  }

  /// How many addresses a stack has of each part, in their order: each innermost first. Between the kernel's and the last one is the user
  /// part.
  struct Parts: Hashable {
    var partnerKernel: Int32 = 0
    var partnerUser: Int32 = 0
    var kernel: Int32
    /// Of functions that await one of the user part.
    var async: Int32 = 0
  }

  struct Entry {
    var owner: Owner
    /// Where in `addresses`.
    var start: Int
    var count: Int
    var parts: Parts
    /// Events with this stack.
    var events: UInt64 = 0
    /// The sum of their values.
    var value: UInt64 = 0
    fileprivate var hash: UInt64
  }

  private(set) var entries: [Entry] = []
  private var addresses: [UInt64] = []
  /// Open addressing: indexes of `entries` plus 1, or 0. A power of two, at most half of it used.
  private var index = [UInt32](repeating: 0, count: 1024)
  private let entryLimit: Int
  private let addressLimit: Int

  /// - Parameters:
  ///   - entryLimit: different stacks at most; 64 bytes each.
  ///   - addressLimit: addresses of all of them at most; 8 bytes each.
  init(entryLimit: Int = 1 << 20, addressLimit: Int = 1 << 24) {
    self.entryLimit = entryLimit
    self.addressLimit = addressLimit
  }

  /// The entry of a stack, or nil when there is no room for another one.
  mutating func entry(_ owner: Owner, _ parts: Parts, _ stack: [UInt64]) -> Int? {
    let hash = Self.hash(owner, parts, stack)
    var slot = Int(truncatingIfNeeded: hash) & (index.count - 1)
    while index[slot] != 0 {
      let candidate = Int(index[slot]) - 1
      if matches(entries[candidate], hash, owner, parts, stack) { return candidate }
      slot = (slot + 1) & (index.count - 1)
    }
    guard entries.count < entryLimit, addresses.count + stack.count <= addressLimit else { return nil }
    entries.append(Entry(owner: owner, start: addresses.count, count: stack.count, parts: parts, hash: hash))
    addresses += stack
    index[slot] = UInt32(entries.count)
    if entries.count * 2 > index.count { grow() }
    return entries.count - 1
  }

  /// Adds an event to an entry.
  mutating func add(_ value: UInt64, to entry: Int) {
    entries[entry].events += 1
    entries[entry].value.addSaturating(value)
  }

  /// All addresses of a stack but those of its user part.
  func withoutUser(_ entry: Entry) -> ArraySlice<UInt64> { addresses[entry.start..<userStart(entry)] }

  /// The kernel's part of a stack, innermost first.
  func kernel(_ entry: Entry) -> ArraySlice<UInt64> {
    addresses[userStart(entry) - Int(entry.parts.kernel)..<userStart(entry)]
  }

  /// The user part of a stack, innermost first.
  func user(_ entry: Entry) -> ArraySlice<UInt64> { addresses[userStart(entry)..<entry.start + entry.count - Int(entry.parts.async)] }

  /// The functions that await one of the user part, innermost first.
  func async(_ entry: Entry) -> ArraySlice<UInt64> {
    addresses[entry.start + entry.count - Int(entry.parts.async)..<entry.start + entry.count]
  }

  /// The partner's stack, each part innermost first.
  func partner(_ entry: Entry) -> (kernel: ArraySlice<UInt64>, user: ArraySlice<UInt64>) {
    let middle = entry.start + Int(entry.parts.partnerKernel)
    return (addresses[entry.start..<middle], addresses[middle..<middle + Int(entry.parts.partnerUser)])
  }

  private func userStart(_ entry: Entry) -> Int {
    entry.start + Int(entry.parts.partnerKernel + entry.parts.partnerUser + entry.parts.kernel)
  }

  private func matches(_ entry: Entry, _ hash: UInt64, _ owner: Owner, _ parts: Parts, _ stack: [UInt64]) -> Bool {
    guard entry.hash == hash, entry.owner == owner, entry.parts == parts, entry.count == stack.count else { return false }
    for position in stack.indices where addresses[entry.start + position] != stack[position] { return false }
    return true
  }

  private mutating func grow() {
    index = [UInt32](repeating: 0, count: index.count * 4)
    for (number, entry) in entries.enumerated() {
      var slot = Int(truncatingIfNeeded: entry.hash) & (index.count - 1)
      while index[slot] != 0 { slot = (slot + 1) & (index.count - 1) }
      index[slot] = UInt32(number + 1)
    }
  }

  private static func hash(_ owner: Owner, _ parts: Parts, _ stack: [UInt64]) -> UInt64 {
    let command = unsafeBitCast(owner.command, to: SIMD2<UInt64>.self)
    var hash = UInt64(owner.process) << 32 | UInt64(owner.program) << 16 ^ UInt64(parts.kernel) ^ UInt64(parts.async) << 8
    func mix(_ word: UInt64) {
      hash = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash >> 29
    }
    if owner.task != 0 || owner.profiles != 0 { mix(UInt64(owner.task) | UInt64(owner.profiles) << 32) }
    mix(command.x)
    mix(command.y)
    if owner.relation != SWTRACE_NO_PARTNER.rawValue {
      let partner = unsafeBitCast(owner.partner, to: SIMD2<UInt64>.self)
      mix(UInt64(owner.partnerProcess) << 32 | UInt64(owner.partnerProgram))
      mix(partner.x)
      mix(partner.y)
    }
    for address in stack { mix(address) }
    return hash
  }
}
