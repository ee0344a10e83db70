import Profiles
import TestSupport
import Testing

@testable import AgentStore

@Suite struct CodingTests {
  @Test(arguments: [0, 1, 127, 128, 16383, 16384, .max] as [UInt64]) func numbersOfEachLength(value: UInt64) throws {
    var writer = ByteWriter()
    writer.write(varint: value)
    #expect(writer.bytes.count == max(1, (64 - value.leadingZeroBitCount + 6) / 7))
    var reader = ByteReader(writer.bytes, what: "it")
    #expect(try reader.varint() == value)
    #expect(reader.isAtEnd)
    #expect(throws: StoreError.damaged(what: "it")) { try reader.varint() }
  }

  @Test(arguments: [[0x80], Array(repeating: 0xFF, count: 10), Array(repeating: 0x80, count: 10) + [1]] as [[UInt8]])
  func numbersThatAreTooLong(bytes: [UInt8]) throws {
    var reader = ByteReader(bytes, what: "it")
    #expect(throws: StoreError.damaged(what: "it")) { try reader.varint() }
  }

  @Test func usualCalleesAreARun() throws {
    let callees: [Int64: Int64] = [1: 2, 2: 3, 3: 300, 300: 0]
    let bytes = StackCoding.encode([1, 2, 3, 300]) { callees[$0]! }
    #expect(bytes == [3, 6])
    #expect(try StackCoding.decode(bytes) { callees[$0]! } == [1, 2, 3, 300])
    let other = StackCoding.encode([2, 3, 3, 300, 300]) { callees[$0]! }
    #expect(other == [5, 2, 7, 2, 0xD9, 4])
    #expect(try StackCoding.decode(other) { callees[$0]! } == [2, 3, 3, 300, 300])
    #expect(try StackCoding.decode([]) { callees[$0]! } == [])
  }

  /// A run at the root, and one that is longer than a stack may be.
  @Test(arguments: [[2], [3, 0x80, 0x80, 0x08], [3, 0xFE] + Array(repeating: 0xFF, count: 8) + [0]] as [[UInt8]])
  func stacksThatCannotBe(bytes: [UInt8]) {
    #expect(throws: StoreError.damaged(what: "a stack")) { try StackCoding.decode(bytes) { $0 } }
  }

  private func values(_ head: BlockHead, _ data: [UInt8], quantum: UInt64) throws -> [Int64: Values] {
    var read: [Int64: Values] = [:]
    try head.read(data, quantum: quantum) { read[$0, default: [:]][$1, default: 0] += $2 }
    return read
  }

  /// A sum that is too large for its number does not tell the last value; nor does one of a value that is no multiple.
  @Test(
    arguments: [
      ([0: [5: 2, 1 << 40: .max], 29: [7: 3]], 1, [.max, 3]), ([3: [1: 7]], 1, [7]), ([0: [1: .max - 1], 7: [2: 1]], 1, [.max - 1, 1]),
      ([1: [1: 5000, 2: 1_000_000, 9: 3000], 2: [9: 1000]], 1000, [1_008_000, 1000]), ([:], 1, []),
    ] as [([Int64: Values], UInt64, [UInt64])])
  func blocksKeepTheirWindows(windows: [Int64: Values], quantum: UInt64, totals: [UInt64]) throws {
    let block = Block(windows, quantum: quantum)
    #expect(block.total == totals.reduce(into: 0) { $0.addSaturating($1) })
    #expect(block.head.parts.map(\.index) == windows.keys.sorted())
    #expect(block.head.parts.map(\.total) == totals)
    let head = try BlockHead(decoding: block.head.encode(quantum: quantum), quantum: quantum)
    #expect(head.parts.map(\.index) == block.head.parts.map(\.index))
    // Beyond the largest multiple there is none.
    #expect(head.parts.map(\.total) == totals.map { $0 / quantum * quantum })
    #expect(head.form == block.head.form)
    #expect(try values(head, block.data, quantum: quantum) == windows)
  }

  /// One value of a window is its total.
  @Test func whatTheTotalTellsIsNotWrittenTwice() throws {
    let block = Block([0: [5: 3000], 2: [6: 4000]], quantum: 1000)
    #expect(block.head.encode(quantum: 1000) == [0xE8, 2, 0b101, 0, 4, 3, 4])
    #expect(block.data == [1, 5, 1, 6])
    let some = try BlockHead(decoding: block.head.encode(quantum: 1000), quantum: 1000)
    var read: Values = [:]
    try some.read(block.data, quantum: 1000) {
      $0 == 2
    } add: {
      read[$1] = $2
    }
    #expect(read == [6: 4000])
  }

  @Test func blocksOfFilesBeforeSchemaFourAreRead() throws {
    let bodies = [ValueCoding.encode([5: 2, 9: 1_234_567]), ValueCoding.encode([7: 3])]
    var writer = ByteWriter()
    for (index, body) in zip([0, 29] as [UInt64], bodies) {
      for number in [index, 1_234_569, UInt64(body.count)] { writer.write(varint: number) }
    }
    let head = try BlockHead(decoding: writer.bytes, quantum: 1000)
    #expect(head.parts == [Part(index: 0, total: 1_234_569), Part(index: 29, total: 1_234_569)])
    #expect(try values(head, Deflated.compress(bodies[0] + bodies[1]), quantum: 1000) == [0: [5: 2, 9: 1_234_567], 29: [7: 3]])
  }

  /// A window beyond the thirtieth; flags that are none; too few and too many totals; values of more than their total; bytes that are left.
  @Test(
    arguments: [
      ([0xE8, 2, 0x80, 0x80, 0x80, 0x80, 4, 0, 2, 1], [1, 5]), ([0xE8, 2, 1, 4, 2, 1], [1, 5]), ([0xE8, 2, 3, 0, 2, 1], [1, 5]),
      ([0xE8, 2, 1, 0, 2, 1, 1], [1, 5]), ([0xE8, 2, 1, 0, 4, 1], [2, 5, 1, 2]), ([0xE8, 2, 1, 0, 3, 1], [1, 5, 0]),
      ([0xE8, 2, 1, 0, 3, 1], [1, 5]), ([0xE8, 2, 1, 0, 2, 1], [0xFF, 1]), ([0xE8, 2, 1, 0, 1, 5], [0]),
    ] as [([UInt8], [UInt8])])
  func blocksThatCannotBe(parts: [UInt8], data: [UInt8]) {
    #expect(throws: StoreError.damaged(what: "a block")) { try values(BlockHead(decoding: parts, quantum: 1), data, quantum: 1) }
  }

  @Test func timesAreKeptInMicroseconds() {
    let times: [UInt64] = [1, 499, 500, 1499, 1500, 2000, .max]
    #expect(times.map { $0.rounded(to: 1000) } == [1000, 1000, 1000, 1000, 2000, 2000, .max])
    #expect(([1, 7, .max] as [UInt64]).map { $0.rounded(to: 1) } == [1, 7, .max])
  }

  @Test func coverageKeepsItsWindows() throws {
    let windows: [Int64: Coverage] = [
      0: Coverage(covered: 10_000_000_007, lost: 0, period: 52_631_578), 1: Coverage(covered: 9_999_999_990, lost: 300, period: 52_631_578),
      28: Coverage(covered: 0, lost: 0, period: 0), 29: Coverage(covered: UInt64(Int64.max), lost: .max, period: .max),
    ]
    #expect(try CoverageCoding.decode(CoverageCoding.encode(windows)) == windows)
    #expect(CoverageCoding.encode([2: Coverage(covered: 10_000_000_001, lost: 0, period: 0)]) == [5, 2, 0])
    for bytes in [[60, 0, 0, 0], [1], [0, 0, 0]] as [[UInt8]] {
      #expect(throws: StoreError.damaged(what: "the coverage")) { try CoverageCoding.decode(bytes) }
    }
  }

  /// Few bytes that say they are many.
  @Test func blocksDoNotUnfoldBeyondWhatTheyAre() {
    let zeros = Deflated.compress(Array(repeating: 0, count: 100_000))
    for count in [99_999, 100_001, Deflated.largest, Deflated.largest + 1, zeros.count * 1032] {
      #expect(throws: StoreError.damaged(what: "a block")) { try Deflated.decompress(zeros, count: count) }
    }
  }
}
