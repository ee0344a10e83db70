internal import AgentModel
internal import Profiles

/// What a metric was in some time: how it was measured, and the values by series.
struct MetricPart: Equatable {
  /// Nanoseconds of measuring.
  var covered: UInt64 = 0
  /// Events that are missing.
  var lost: UInt64 = 0
  /// By the number of the series.
  var values: [Int64: MetricValue] = [:]

  mutating func add(_ other: MetricPart) {
    covered.addSaturating(other.covered)
    lost.addSaturating(other.lost)
    values.merge(other.values) { one, two in
      var sum = one
      sum.add(two)
      return sum
    }
  }
}

/// Parts as bytes: covered, lost, and for each series its number, as the difference to the one before, and its value.
///
/// A value is the number of slots plus one, the sum, the maximum and the slots as pairs of a difference and a count; or 0 and the count.
enum MetricCoding {
  static func encode(_ part: MetricPart) -> [UInt8] {
    var writer = ByteWriter()
    writer.write(varint: part.covered)
    writer.write(varint: part.lost)
    var last: Int64 = 0
    for (series, value) in part.values.sorted(by: { $0.key < $1.key }) {
      writer.write(varint: UInt64(series - last))
      last = series
      switch value {
      case .count(let count):
        writer.write(varint: 0)
        writer.write(varint: count)
      case .histogram(let histogram): write(histogram, to: &writer)
      }
    }
    return writer.bytes
  }

  private static func write(_ histogram: Histogram, to writer: inout ByteWriter) {
    writer.write(varint: UInt64(histogram.buckets.count) + 1)
    writer.write(varint: histogram.sum)
    writer.write(varint: histogram.maximum)
    var last = 0
    for bucket in histogram.buckets {
      let slot = Histogram.slot(of: bucket.low)
      writer.write(varint: UInt64(slot - last))
      writer.write(varint: bucket.count)
      last = slot
    }
  }

  static func decode(_ bytes: ArraySlice<UInt8>) throws(StoreError) -> MetricPart {
    var reader = ByteReader(bytes, what: "a block of a metric")
    var part = MetricPart(covered: try reader.varint(), lost: try reader.varint())
    var series: UInt64 = 0
    while !reader.isAtEnd {
      series &+= try reader.varint()
      guard series <= UInt64(NameTable.ids.upperBound) else { throw reader.damage }
      let slots = try reader.varint()
      guard slots <= UInt64(Histogram.slots) + 1 else { throw reader.damage }
      let value = try slots == 0 ? MetricValue.count(reader.varint()) : .histogram(histogram(slots: slots - 1, &reader))
      guard part.values.updateValue(value, forKey: Int64(series)) == nil else { throw reader.damage }
    }
    return part
  }

  private static func histogram(slots: UInt64, _ reader: inout ByteReader) throws(StoreError) -> Histogram {
    var histogram = Histogram(sum: try reader.varint(), maximum: try reader.varint())
    var slot: UInt64 = 0
    for index in 0..<slots {
      let difference = try reader.varint()
      slot &+= difference
      guard difference < UInt64(Histogram.slots), slot < UInt64(Histogram.slots), difference > 0 || index == 0 else { throw reader.damage }
      histogram.buckets.append(Histogram.bucket(slot: Int(slot), count: try reader.varint()))
    }
    return histogram
  }
}

/// The parts of a block, by their number within it: one of a window or an hour, five of a minute each in five minutes.
enum MetricBlock {
  /// How long a part of a block is, in seconds.
  static func partLength(_ resolution: Resolution) -> Int64 {
    switch resolution {
    case .window: 10
    case .span: 60
    case .hour: 3600
    }
  }

  /// The length of the unfolded rest, and the rest: parts with their number and length.
  static func encode(_ parts: [Int64: MetricPart]) -> [UInt8] {
    var body = ByteWriter()
    for (index, part) in parts.sorted(by: { $0.key < $1.key }) {
      let bytes = MetricCoding.encode(part)
      body.write(varint: UInt64(index))
      body.write(varint: UInt64(bytes.count))
      body.write(bytes)
    }
    var writer = ByteWriter()
    writer.write(varint: UInt64(body.bytes.count))
    writer.write(Deflated.compress(body.bytes))
    return writer.bytes
  }

  static func decode(_ bytes: [UInt8], _ resolution: Resolution) throws(StoreError) -> [Int64: MetricPart] {
    var outer = ByteReader(bytes, what: "a block of a metric")
    let count = try outer.varint()
    guard count <= UInt64(Deflated.largest) else { throw outer.damage }
    let body = try Deflated.decompress(Array(outer.remainder), count: Int(count))
    var reader = ByteReader(body, what: "a block of a metric")
    var parts: [Int64: MetricPart] = [:]
    while !reader.isAtEnd {
      let index = try reader.varint()
      guard index < UInt64(resolution.rawValue / partLength(resolution)), parts[Int64(index)] == nil else { throw reader.damage }
      parts[Int64(index)] = try MetricCoding.decode(try reader.bytes(reader.varint()))
    }
    return parts
  }
}
