import AgentModel
import Foundation
import Profiles
import Testing

@testable import AgentServer
@testable import Formats

@Suite struct ExpositionTests {
  private func histogram(_ values: [UInt64]) -> Histogram {
    values.reduce(into: Histogram()) { sum, value in
      sum.add(Histogram(buckets: [Histogram.bucket(slot: Histogram.slot(of: value), count: 1)], sum: value, maximum: value))
    }
  }

  /// An exact power of two is above the bound that ends just below it, and what is one less is not.
  @Test(arguments: 0..<63) func boundsAreInclusiveAtPowersOfTwo(exponent: Int) {
    let power = UInt64(1) << UInt64(exponent)
    let exposed = ExposedHistogram(histogram([power - 1, power, power]), bounds: 0...62)
    #expect(exposed.buckets[exponent].bound == Double(power - 1) / 1e9)
    #expect(exposed.buckets[exponent].count == 1)
    if exponent < 62 { #expect(exposed.buckets[exponent + 1].count == 3) }
    #expect(exposed.count == 3 && exposed.buckets.count == 63)
    #expect(exposed.buckets.map(\.count) == exposed.buckets.map(\.count).sorted())
  }

  @Test func whatIsAboveAllBoundsIsInTheInfiniteOne() {
    let exposed = ExposedHistogram(histogram([5, 1 << 40]), bounds: 10...12)
    #expect(exposed.buckets.map(\.count) == [1, 1, 1] && exposed.count == 2)
    #expect(exposed.sum == 1099.511627781)
    #expect(ExposedHistogram(Histogram(), bounds: 10...12).buckets.map(\.count) == [0, 0, 0])
  }

  /// But for a sixteenth.
  @Test func nativeBucketsHoldTheirValues() {
    for exponent in 0..<64 {
      for value in [UInt64(1) << UInt64(exponent), (UInt64(1) << UInt64(exponent)) &* 3 / 2, UInt64(1) << UInt64(exponent) - 1]
      where value > 0 {
        let native = ExposedHistogram.Native(histogram([value]))
        #expect(native.buckets.count == 1 && native.zeroCount == 0)
        let index = Double(native.buckets[0].index)
        let (lower, upper): (Double, Double) = (exp2((index - 1) / 4) * 0.999_999_999, exp2(index / 4) * 1.000_000_001)
        let (least, most): (Double, Double) = (Double(value) / 1e9 * 15 / 16, Double(value) / 1e9 * 17 / 16)
        #expect(least <= upper, "\(value)")
        #expect(most > lower, "\(value)")
      }
    }
    #expect(ExposedHistogram.Native(histogram([0, 0, 1])).zeroCount == 2)
    // 2^30 nanoseconds are a little more than a second.
    #expect(ExposedHistogram.Native.index(of: 1_000_000_000) == 0 && ExposedHistogram.Native.index(of: 1_000_000_001) == 1)
    #expect(ExposedHistogram.Native(histogram([9, 9, 900, 9])).buckets.map(\.count) == [3, 1])
  }

  private var families: [MetricFamily] {
    [
      MetricFamily(
        Metric("swtrace_wait_seconds", "Waits.", .histogram, unit: .seconds),
        [.init(ExposedHistogram(histogram([1023, 1024, 5000]), bounds: 10...12), labels: [("service", "a\"b")])]),
      MetricFamily(Metric("swtrace_errors", "Errors.", .counter), [.init(3)]),
    ]
  }

  @Test func histogramsAsText() {
    let samples = """
      swtrace_wait_seconds_bucket{service="a\\"b",le="1.023e-06"} 1
      swtrace_wait_seconds_bucket{service="a\\"b",le="2.047e-06"} 2
      swtrace_wait_seconds_bucket{service="a\\"b",le="4.095e-06"} 2
      swtrace_wait_seconds_bucket{service="a\\"b",le="+Inf"} 3
      swtrace_wait_seconds_sum{service="a\\"b"} 7.047e-06
      swtrace_wait_seconds_count{service="a\\"b"} 3

      """
    let text = String(decoding: MetricsWriter.write(families, as: .text), as: UTF8.self)
    let head = "# HELP swtrace_wait_seconds Waits.\n# TYPE swtrace_wait_seconds histogram\n"
    let counter = "# HELP swtrace_errors_total Errors.\n# TYPE swtrace_errors_total counter\nswtrace_errors_total 3\n"
    #expect(text == "\(head)\(samples)\(counter)")
    let openMetrics = String(decoding: MetricsWriter.write(families, as: .openMetrics), as: UTF8.self)
    let other = "# HELP swtrace_errors Errors.\n# TYPE swtrace_errors counter\nswtrace_errors_total 3\n# EOF\n"
    #expect(openMetrics == "\(head)# UNIT swtrace_wait_seconds seconds\n\(samples)\(other)")
  }

  /// Field by field, as Prometheus' metrics.proto numbers them.
  @Test func histogramsAsProtobuf() throws {
    let bytes = MetricsWriter.write(families, as: .protobuf)
    var stream = ProtobufDecoder(bytes, 0..<bytes.count)
    let first = Int(try stream.varint())
    let family = try Message(bytes, stream.position..<stream.position + first)
    #expect(family.text(1) == "swtrace_wait_seconds" && family.text(2) == "Waits." && family.numbers(3) == [4])
    let metric = try #require(try family.messages(4).first)
    let label = try #require(try metric.messages(1).first)
    #expect(label.text(1) == "service" && label.text(2) == "a\"b")
    let histogram = try #require(try metric.messages(7).first)
    #expect(histogram.numbers(1) == [3])
    #expect(try histogram.messages(3).map { $0.numbers(1) } == [[1], [2], [2]])
    // Schema 2, offsets and differences are zigzag: bucket -79 of 2, and -70, with 8 empty ones before it, of 1.
    #expect(histogram.numbers(5) == [4] && histogram.numbers(7) == [])
    let spans = try histogram.messages(12)
    #expect(spans.map { $0.numbers(1) } == [[157], [16]] && spans.map { $0.numbers(2) } == [[1], [1]])
    #expect(histogram.bytes(13) == [4, 1])
    var second = ProtobufDecoder(bytes, (stream.position + first)..<bytes.count)
    let length = Int(try second.varint())
    let counter = try Message(bytes, second.position..<second.position + length)
    #expect(second.position + length == bytes.count)
    #expect(counter.text(1) == "swtrace_errors_total" && counter.numbers(3) == [])
    #expect(try counter.messages(4).count == 1)
  }
}

/// The fields of a message, by their numbers; numbers of fixed width are left out.
private struct Message {
  private let bytes: [UInt8]
  private var fields: [(Int, ProtobufDecoder.Value)] = []

  init(_ bytes: [UInt8], _ range: Range<Int>) throws {
    self.bytes = bytes
    var decoder = ProtobufDecoder(bytes, range)
    while let field = try decoder.next() { fields.append((field.field, field.value)) }
  }

  func numbers(_ field: Int) -> [UInt64] {
    fields.compactMap { if case .number(let number) = $1, $0 == field { number } else { nil } }
  }

  private func ranges(_ field: Int) -> [Range<Int>] {
    fields.compactMap { if case .bytes(let range) = $1, $0 == field { range } else { nil } }
  }

  func bytes(_ field: Int) -> [UInt8] { ranges(field).flatMap { bytes[$0] } }
  func text(_ field: Int) -> String { ranges(field).map { String(decoding: bytes[$0], as: UTF8.self) }.joined() }
  func messages(_ field: Int) throws -> [Message] { try ranges(field).map { try Message(bytes, $0) } }
}
