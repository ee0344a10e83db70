package import ArgumentParser
package import BPF
internal import CProbes
package import Profiles
internal import SystemPackage

/// Samples what programs allocate, by bytes, and shows it by stack.
package struct Allocs: StackTool {
  package static let configuration = CommandConfiguration(
    commandName: "allocs", abstract: "Sample the bytes that programs allocate, by user stack.",
    discussion: """
      What is asked of malloc and its relatives, in the C libraries (glibc, musl) that
      processes have mapped, or map later: those are found within a second. Whether
      it is freed again is not looked at. An allocation of less than the interval is
      taken with the probability of its part of it, and counts as a whole one; a
      larger one is always taken: the sums stay true in the mean. Not seen are
      libraries that replace malloc, programs that have it linked in (static ones,
      those of Go), and memory that is mapped.

      Overhead: about 1.5 us for each allocation of each process that uses one of the
      libraries, whatever is filtered: it traps into the kernel. 3 us more for a
      sample.

      Example: who allocates in a command, as a flame graph
        swtrace allocs -o allocations.svg -- ./build
      """)

  package static let activity = "sampling allocations"
  package static let tidLetter: Character? = "L"
  package static var excludesItself: Bool { true }

  // Before the session: its command is an array, after which no other positional argument may stand.
  @OptionGroup package var stacks: StackOptions
  @OptionGroup package var session: SessionOptions<Allocs>
  @Option(
    name: [.customShort("i"), .long],
    help: ArgumentHelp("A sample for so many bytes, in the mean; 1 takes every allocation.", valueName: "bytes"))
  package var interval: UInt64 = 512 << 10

  private var places: AllocationPlaces?

  private enum CodingKeys: String, CodingKey { case stacks, session, interval }

  package init() {}

  /// In bytes.
  package static let intervals: ClosedRange<UInt64> = 1...UInt64(ALLOCS_LARGEST_INTERVAL)

  package mutating func validate() throws {
    if !Self.intervals.contains(interval) {
      throw ValidationError("the interval is 1 to \(Self.intervals.upperBound) bytes, not \(interval)")
    }
    if stacks.kernelStacksOnly { throw ValidationError("allocations have no kernel stacks: leave out -K") }
  }

  package mutating func prepare() throws { places = AllocationPlaces(command: session.command.first) }

  package var hooks: [Hook] {
    [
      Hook(
        "allocations",
        stacks.variants(
          byRules: [.init("take_multi_rules", with: AllocationPlaces.programs), .init("take_rules", with: AllocationPlaces.programs)],
          byFramePointers: [.init("take_multi", with: AllocationPlaces.programs), .init("take", with: AllocationPlaces.programs)]),
        attachedByTool: true)
    ]
  }
  package var unit: Profile.Unit { .bytes }
  // Go's names.
  package var measure: String? { "alloc_space" }
  package var events: String { "alloc_objects" }
  package var details: [String] { ["a sample for \(interval) bytes"] }

  package func configure(_ probe: inout Probe, _ programs: [String?]) throws(BPFError) {
    guard let taker = programs[0], taker.hasPrefix("take_multi") else { return }
    for program in AllocationPlaces.programs + [taker] { try probe.makeMultiple(program) }
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    let taker: ProbeMap<UInt32, UInt32> = try probe.map("taker")
    try taker.set(0, UInt32(try probe.descriptor(ofProgram: programs[0] ?? "")))
    _ = try adjust(probe)
    // Of each attempt its own: what another one was attached to is gone.
    guard let places else { return [] }
    places.forget()
    places.isMultiple = programs[0]?.hasPrefix("take_multi") ?? false
    let remarks = places.attach(probe, &links)
    guard !places.isEmpty else {
      throw places.failure
        ?? BPFError(
          "observe", "allocations", errno: .noSuchFileOrDirectory,
          reason: "no process has a C library mapped that allocates: libc.so.6, or musl's libc.so or ld-musl-*.so.1")
    }
    return remarks + [places.remark].compactMap(\.self)
  }

  package func adjust(_ probe: borrowing LoadedProbe) throws(BPFError) -> Bool {
    let map: ProbeMap<UInt32, UInt64> = try probe.map("allocation_interval")
    try map.set(0, interval)
    return true
  }

  package func follow(_ probe: borrowing LoadedProbe, _ links: inout Links) throws(BPFError) -> [String] {
    places?.attach(probe, &links) ?? []
  }
}
