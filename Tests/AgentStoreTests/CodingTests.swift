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

  @Test func blocksKeepTheirWindows() throws {
    let windows: [Int64: Values] = [0: [5: 2, 1 << 40: .max], 29: [7: 3]]
    let block = Block(windows)
    #expect(block.total == .max)
    #expect(block.parts.map(\.index) == [0, 29])
    #expect(block.parts.map(\.total) == [.max, 3])
    #expect(try Part.decode(Part.encode(block.parts)) == block.parts)
    var read: [Int64: Values] = [:]
    try Block.windows(parts: block.parts, data: block.data) { try ValueCoding.decode($1, into: &read[$0, default: [:]]) }
    #expect(read == windows)
  }

  /// Few bytes that say they are many.
  @Test func blocksDoNotUnfoldBeyondWhatTheyAre() {
    let zeros = Deflated.compress(Array(repeating: 0, count: 100_000))
    for count in [99_999, 100_001, Deflated.largest, Deflated.largest + 1, zeros.count * 1032] {
      #expect(throws: StoreError.damaged(what: "a block")) { try Deflated.decompress(zeros, count: count) }
    }
  }
}
