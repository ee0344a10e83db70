import Foundation
import Glibc
import Linux
import SystemPackage
import TestSupport
import Testing

@testable import DebugInfo
@testable import Symbolication

/// Damaged input of every kind that strangers write: nothing may crash, go on for ever, or take much memory.
///
/// The damage is the same in every run; only how much of it is tried depends on the time, SWTRACE_FUZZ_SECONDS (2 by default). A crash
/// ends the run, and the file SWTRACE_FUZZ_LAST names the input: the file that it was made from, and the round.
@Suite(.serialized) struct FuzzTests {
  private static let seconds = Double(ProcessInfo.processInfo.environment["SWTRACE_FUZZ_SECONDS"] ?? "") ?? 2

  private static let corpus: URL = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fuzz/Corpus")

  @Test func damagedInputIsAnswered() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path).sorted()
    let seeds = try names.map { (name: $0, bytes: [UInt8](try Data(contentsOf: Self.corpus.appendingPathComponent($0)))) }
    try #require(Set(seeds.map { $0.name.split(separator: ".").last }) == ["elf", "dwo", "dwp", "perfmap", "maps", "kallsyms", "jitdump"])
    // Undamaged, each says what it has; else the rest would test nothing.
    for seed in seeds { #expect(answers(seed.name, seed.bytes) > 0, "\(seed.name)") }
    let before = peak()
    let end = Date(timeIntervalSinceNow: Self.seconds)
    let last =
      ProcessInfo.processInfo.environment["SWTRACE_FUZZ_LAST"].map { open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) } ?? -1
    defer { if last >= 0 { close(last) } }
    var round: UInt64 = 0
    // One that goes on for ever ends the run.
    defer { alarm(0) }
    while Date() < end {
      alarm(60)
      for seed in seeds {
        if last >= 0 {
          let text = "\(seed.name) \(round)        "
          pwrite(last, text, text.utf8.count, 0)
        }
        var generator = SeededGenerator(seed: round &* 0x9E37_79B9 &+ UInt64(seed.bytes.count))
        var bytes = seed.bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) { bytes = damaged(bytes, seeds, using: &generator) }
        _ = answers(seed.name, bytes)
      }
      round += 1
    }
    print("\(round * UInt64(seeds.count)) damaged inputs")
    #expect(round > 0)
    #expect(peak() - before < 1 << 20, "KiB")
  }

  /// Bytes changed, moved, or taken from another file; numbers that are easily taken for something else.
  private func damaged(
    _ bytes: [UInt8], _ seeds: [(name: String, bytes: [UInt8])], using generator: inout SeededGenerator
  ) -> [UInt8] {
    guard bytes.count > 16 else { return mutated(bytes, using: &generator) }
    var result = bytes
    let place = Int.random(in: 0..<bytes.count - 8, using: &generator)
    switch Int.random(in: 0..<6, using: &generator) {
    case 0:
      let number = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff, .max, .max - 1, 1 << 63].randomElement(
        using: &generator)!
      for index in 0..<[1, 2, 4, 8].randomElement(using: &generator)! {
        result[place + index] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(index)))
      }
    case 1:
      let other = seeds.randomElement(using: &generator)!.bytes
      let start = Int.random(in: 0..<other.count, using: &generator)
      let part = other[start..<min(other.count, start + Int.random(in: 1...64, using: &generator))]
      for (index, byte) in part.enumerated() where place + index < result.count { result[place + index] = byte }
    case 2:
      let from = Int.random(in: 0..<bytes.count, using: &generator)
      result[place] = bytes[from]
    default: result = mutated(bytes, using: &generator)
    }
    return result
  }

  private func peak() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss
  }

  /// Asks for everything; how many answers there were.
  private func answers(_ name: String, _ bytes: [UInt8]) -> Int {
    switch name.split(separator: ".").last {
    case "elf": return object(bytes)
    case "dwo", "dwp": return split(bytes, isPackage: name.hasSuffix(".dwp"))
    case "perfmap":
      let map = PerfMap.parse(bytes)
      return (0x0ff0...0x2030).count { map.name(of: $0) != nil }
    case "jitdump":
      let map = JITDump.parse(bytes)
      return (0x0ff0...0x1020).count { map?.name(of: $0) != nil && map?.line(of: $0)?.line != 0 }
    case "maps": return ProcessMaps(parsing: bytes).mappings.count
    case "kallsyms":
      let symbols = KernelSymbols(parsing: bytes)
      return [0xffff_ffff_8100_0000, 0xffff_ffff_c000_0020, 0, .max].count { symbols.match(KernelAddress($0)) != nil }
    default: return 0
    }
  }

  private func object(_ bytes: [UInt8]) -> Int {
    guard let file = try? ELFFile(image: bytes, name: "fuzz"), let symbols = try? ObjectSymbols(file, searching: DebugFileSearch(roots: []))
    else { return 0 }
    var count = file.buildID == nil ? 0 : 1
    var addresses = [0, 1, UInt64.max, UInt64.max - 1, 1 << 63]
    for segment in file.segments.prefix(8) {
      addresses += stride(from: 0, to: min(segment.memorySize, 1024), by: 7).map { segment.address.rawValue &+ $0 }
      _ = file.address(at: segment.offset)
    }
    for address in addresses {
      if symbols.function(at: ELFAddress(address)) != nil { count += 1 }
      count += symbols.calls(at: ELFAddress(address)).count
    }
    // As a file for another processor it would have no table.
    if let table = try? UnwindTable(file, debug: file) {
      #expect(zip(table.starts, table.starts.dropFirst()).allSatisfy { $0 < $1 })
      #expect(table.numbers.count == table.count && table.rules.first?.bits == UnwindRule.gap.bits)
      count += table.count
      for address in addresses { _ = table.rule(at: ELFAddress(address)) }
    }
    return count
  }

  /// The units of a file of split ones, as parts of a program that says little.
  private func split(_ bytes: [UInt8], isPackage: Bool) -> Int {
    guard let elf = try? ELFFile(image: bytes, name: "fuzz"), let file = DwarfFile(elf, isSplit: true) else { return 0 }
    let list = UnitList(file)
    var count = list.headers.count
    for header in list.headers.prefix(16) where header.isUsable {
      let unit = DwarfUnit(file, header)
      let part = DwarfUnit(file, header, skeleton: unit)
      count += part.ranges.count + (part.lineTable().map { $0.lookUp(0x40_0000) == nil ? 0 : 1 } ?? 0)
      if isPackage { _ = SplitPackage(file)?.unit(of: part) }
    }
    return count
  }
}
