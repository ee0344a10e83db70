import Foundation
import TestSupport
import Testing

@testable import DebugInfo

@Suite struct InstructionTests {
  private static func length(_ bytes: [UInt8]) -> Int? {
    bytes.withUnsafeBytes { buffer in
      var cursor = Bytes(buffer).cursor()
      return Instruction(&cursor) == nil ? nil : cursor.position
    }
  }

  /// One instruction of each kind, length and beginning that the libraries have: vectors and cryptography among them.
  @Test(arguments: [("libc.so.6", 0), ("libstdc++.so.6", 0), ("libcrypto.so.3", 60), ("libswiftCore.so", 0)])
  func lengthsAreThoseOfADisassembler(_ name: String, data: Int) throws {
    let path =
      name.hasPrefix("libswift") ? "\(SwiftLibraries.folder)/\(name)" : try run(["cc", "-print-file-name=\(name)"]).lines[0]
    guard path != name else { return }
    // The lines are address, bytes, text. What begins with FWAIT is two instructions.
    let kinds =
      #"NF >= 3 && !/\(bad\)/ && $2 !~ /^9b/ { split($3, word, " "); if (!seen[word[1] length($2) substr($2, 1, 5)]++) print $2 }"#
    let lines = try run(["sh", "-c", "objdump -d -w '\(path)' | awk -F'\t' '\(kinds)'"]).lines
    #expect(lines.count > 800)
    var wrong: [String] = []
    for line in lines {
      let bytes = line.split(separator: " ").compactMap { UInt8($0, radix: 16) }
      if Self.length(bytes + [UInt8](repeating: 0x90, count: 16)) != bytes.count { wrong.append(line) }
    }
    // Data among the code looks like any instruction, and like those of old AMD processors.
    #expect(wrong.count <= data, "\(wrong.count) of \(lines.count): \(wrong.prefix(20))")
  }

  @Test(arguments: [
    // No opcodes in this mode, a prefix without an end, more than 15 bytes, half an instruction, REX before VEX, XOP.
    [0x06], [0xea, 0, 0, 0, 0, 0, 0], [UInt8](repeating: 0x66, count: 16), [UInt8](repeating: 0x66, count: 11) + [0x81, 0x04, 0x25, 0, 0],
    [0x48, 0x8d, 0x6c, 0x24], [0x48, 0xc5, 0xf8, 0x77], [0x8f, 0xe9, 0x78, 0x81, 0xc0], [0x0f, 0x04], [],
  ])
  func whatIsNoInstructionHasNoLength(_ bytes: [UInt8]) { #expect(Self.length(bytes) == nil) }

  /// What is read without looking for the end, where there is room, is what is read with care.
  @Test func bothReadersFindTheSame() {
    var random = SeededGenerator(seed: 7)
    var found = 0
    for _ in 0..<200_000 {
      var bytes = (0..<15).map { _ in UInt8.random(in: 0...255, using: &random) }
      // Common opcodes are among few of the random ones.
      if Bool.random(using: &random) { bytes[0] = [0x48, 0x0f, 0x41, 0x8b, 0x66].randomElement(using: &random) ?? 0 }
      let padded = bytes + [UInt8](repeating: 0x90, count: 48)
      padded.withUnsafeBytes { buffer in
        let code = Bytes(buffer).slice(0, 15)
        var (careful, quick) = (code.cursor(), code.cursor())
        var (first, second) = (Instruction(), Instruction())
        let isKnown = first.read(&careful, margin: 0)
        #expect(second.read(&quick, margin: code.margin) == isKnown, "\(bytes)")
        guard isKnown else { return }
        found += 1
        #expect(first == second && careful.position == quick.position, "\(bytes)")
      }
    }
    #expect(found > 100_000)
  }

  /// An instruction that goes on behind the end of its function is none, however much can be read there.
  @Test func theEndHoldsWhereMoreCanBeRead() {
    let bytes: [UInt8] = [0x48, 0x8b, 0x84, 0x24, 0x10, 0, 0, 0] + [UInt8](repeating: 0x90, count: 64)
    bytes.withUnsafeBytes { buffer in
      for length in 0...9 {
        let code = Bytes(buffer).slice(0, UInt64(length))
        var cursor = code.cursor()
        var instruction = Instruction()
        #expect(instruction.read(&cursor, margin: code.margin) == (length >= 8))
        #expect(cursor.position <= length)
      }
    }
  }
}
