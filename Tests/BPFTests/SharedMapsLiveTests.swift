import BPF
import TestSupport
import Testing

/// Maps that several probes use.
@Suite(.requiresBPF, .serialized) struct SharedMapsLiveTests {
  private static let map = "unwind_processes"

  @Test func aSecondProbeHasTheMapsOfTheFirst() throws {
    let first = try Probe(.embedded("profile"))
    try first.select("sample_rules")
    let one = try first.load()
    let shared = try one.share([Self.map])
    let known: ProbeMap<UInt32, SIMD4<UInt64>> = try shared.map(Self.map)
    try known.set(4711, SIMD4(1, 2, 3, 4))
    let second = try Probe(.embedded("profile"))
    try second.select("sample_rules")
    try second.use(shared)
    let two = try second.load()
    let seen: ProbeMap<UInt32, SIMD4<UInt64>> = try two.map(Self.map)
    #expect(seen.keys() == [4711])
    // And not those of a third one.
    let third = try Probe(.embedded("profile"))
    try third.select("sample_rules")
    let three = try third.load()
    let others: ProbeMap<UInt32, SIMD4<UInt64>> = try three.map(Self.map)
    #expect(others.keys() == [])
    // They stay when the first is gone.
    _ = consume one
    try known.set(4712, SIMD4(5, 6, 7, 8))
    #expect(seen.keys().sorted() == [4711, 4712] && others.keys() == [])
    #expect(throws: BPFError.self) { try shared.descriptor("unwind_pool") }
    _ = consume two
    _ = consume three
  }
}
