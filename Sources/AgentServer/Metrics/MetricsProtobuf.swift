internal import AgentModel
internal import Formats

/// Prometheus' protobuf messages (github.com/prometheus/client_model, metrics.proto, package io.prometheus.client).
extension MetricsWriter {
  /// The message with its length before it.
  static func delimited(_ family: MetricFamily) -> [UInt8] {
    var message = ProtobufEncoder()
    message.append(1, Array((family.kind == .counter ? family.name + "_total" : family.name).utf8))
    message.append(2, Array(family.help.utf8))
    message.append(3, type(of: family.kind))
    for sample in family.samples { message.append(4) { append(sample, family.kind, to: &$0) } }
    var result = ProtobufEncoder()
    result.append(varint: UInt64(message.bytes.count))
    return result.bytes + message.bytes
  }

  /// `MetricType`.
  private static func type(of kind: MetricFamily.Kind) -> UInt64 {
    switch kind {
    case .counter: 0
    case .gauge: 1
    case .histogram: 4
    }
  }

  /// `Metric`.
  private static func append(_ sample: MetricFamily.Sample, _ kind: MetricFamily.Kind, to metric: inout ProtobufEncoder) {
    for label in sample.labels {
      metric.append(1) {
        $0.append(1, Array(label.name.utf8))
        $0.append(2, Array(label.value.utf8))
      }
    }
    switch sample.value {
    // `Gauge` and `Counter` are alike.
    case .number(let value): metric.append(kind == .gauge ? 2 : 3) { $0.append(1, double: value) }
    case .histogram(let histogram): metric.append(7) { append(histogram, to: &$0) }
    }
  }

  /// `Histogram`: the classic buckets, and the native ones.
  private static func append(_ histogram: ExposedHistogram, to message: inout ProtobufEncoder) {
    message.append(1, histogram.count)
    message.append(2, double: histogram.sum)
    for bucket in histogram.buckets {
      message.append(3) {
        $0.append(1, bucket.count)
        $0.append(2, double: bucket.bound)
      }
    }
    message.append(5, signed: ExposedHistogram.Native.schema)
    message.append(6, double: ExposedHistogram.Native.zeroThreshold)
    message.append(7, histogram.native.zeroCount)
    for span in spans(histogram.native) {
      message.append(12) {
        $0.append(1, signed: span.offset)
        $0.append(2, span.length)
      }
    }
    var last: Int64 = 0
    message.append(
      13,
      packed: histogram.native.buckets.map { bucket in
        let count = Int64(clamping: bucket.count)
        defer { last = count }
        return ProtobufEncoder.zigzag(count - last)
      })
  }

  /// Runs of buckets: how far each begins behind the end of the one before, the first behind 0, and how many it has.
  private static func spans(_ native: ExposedHistogram.Native) -> [(offset: Int64, length: UInt64)] {
    var spans: [(offset: Int64, length: UInt64)] = []
    var next: Int64 = 0
    for bucket in native.buckets {
      if !spans.isEmpty, bucket.index == next {
        spans[spans.count - 1].length += 1
      } else {
        spans.append((bucket.index - next, 1))
      }
      next = bucket.index + 1
    }
    return spans
  }
}
