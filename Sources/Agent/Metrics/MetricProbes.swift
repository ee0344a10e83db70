internal import AgentModel
internal import ArgumentParser
internal import Formats
internal import Linux
internal import Tools

/// How a probe measures: which metrics, and how it is attached.
struct MetricProbePlan {
  var metrics: [Metric]
  var attach: (ProbeSurroundings) throws -> any MetricProbe
}

extension MetricKey {
  /// The tool that measures it, which metrics of the agent call the probe.
  var tool: String {
    switch self {
    case .runQueue: Runqlat.name
    case .blockIO: Biolatency.name
    case .connects: Tcpconnlat.name
    case .roundTrips: Tcprtt.name
    case .retransmits: Tcpretrans.name
    case .faults: Faults.name
    case .systemCalls: Syscount.name
    case .oomKills: Oomkill.name
    }
  }

  /// Whether it is attached to each processor, and misses those that come later.
  var isPerProcessor: Bool { self == .faults }
}

/// Maps are smaller than the tools': together about 4 MB on two processors.
extension MetricProbePlan {
  /// - Parameter mode: one of the key's, where it has any.
  init(_ key: MetricKey, mode: String?) {
    switch key {
    case .runQueue: self = Self.runQueue
    case .blockIO: self = Self.blockIO
    case .connects: self = Self.connects
    case .roundTrips: self = Self.roundTrips
    case .retransmits: self = Self.retransmits
    case .faults: self = Self.faults(majorOnly: mode == "major")
    case .systemCalls: self = Self.systemCalls(withLatency: mode == "latency")
    case .oomKills: self = Self.oomKills
    }
  }

  private static var runQueue: MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.runQueueLatency]) { surroundings in
      var cgroups = CgroupLabels()
      let room = HistogramRun.rows.merging(["histogram_cells": 4096]) { $1 }
      return try HistogramProbe(Runqlat.parse(["--cgroups"]), surroundings, room: room) { entry, sink in
        sink(MetricCatalog.runQueueLatency, cgroups.pairs(of: entry.key), .histogram(entry.histogram))
      }
    }
  }

  private static var blockIO: MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.blockLatency]) { surroundings in
      let tool = try Biolatency.parse(["--disks"])
      return try HistogramProbe(tool, surroundings, room: ["histogram_cells": 2048, "requests": 4096]) { entry, sink in
        guard case .text(let disk) = tool.labels(entry).first?.1 ?? .none else {
          return sink(MetricCatalog.blockLatency, [("disk", "none")], .histogram(entry.histogram))
        }
        sink(MetricCatalog.blockLatency, [("disk", String(decoding: disk.bytes, as: UTF8.self))], .histogram(entry.histogram))
      }
    }
  }

  private static var connects: MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.connectLatency]) { surroundings in
      var tool = try Tcpconnlat.parse([])
      tool.addsUp = true
      var cgroups = CgroupLabels()
      let room = ["histogram_cells": 2048, "connects": 2048, "events": 1 << 12]
      return try HistogramProbe(tool, surroundings, room: room) { entry, sink in
        let (cgroup, result) = Tcpconnlat.owner(of: entry.key)
        sink(MetricCatalog.connectLatency, cgroups.pairs(of: cgroup) + [("result", result)], .histogram(entry.histogram))
      }
    }
  }

  private static var roundTrips: MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.roundTrip]) { surroundings in
      var cgroups = CgroupLabels()
      return try HistogramProbe(Tcprtt.parse(["--cgroups"]), surroundings, room: ["histogram_cells": 4096]) { entry, sink in
        sink(MetricCatalog.roundTrip, cgroups.pairs(of: entry.key), .histogram(entry.histogram))
      }
    }
  }

  private static var retransmits: MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.retransmits]) { surroundings in
      var cgroups = CgroupLabels()
      return try EventProbe(Tcpretrans.parse([]), surroundings, MetricCatalog.retransmits, room: ["events": 1 << 18]) { row in
        row.wasSent ? (row.segments, cgroups.pairs(of: row.cgroupID) + [("reason", row.kind)]) : nil
      }
    }
  }

  private static func faults(majorOnly: Bool) -> MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.pageFaults]) { surroundings in
      var cgroups = CgroupLabels()
      return try CountProbe(
        Faults.parse(["--cgroups", "--max-keys", "1024"] + (majorOnly ? ["--major"] : [])), surroundings
      ) { row, sink in
        let pairs = cgroups.pairs(of: row.id)
        sink(MetricCatalog.pageFaults, pairs + [("kind", "major")], .count(row.major))
        sink(MetricCatalog.pageFaults, pairs + [("kind", "minor")], .count(row.minor))
      }
    }
  }

  private static func systemCalls(withLatency: Bool) -> MetricProbePlan {
    let metrics = [MetricCatalog.syscallErrors] + (withLatency ? [MetricCatalog.syscallLatency] : [])
    return MetricProbePlan(metrics: metrics) { surroundings in
      let tool = try Syscount.parse([withLatency ? "--latency" : "--failures"])
      return try CountProbe(tool, surroundings, room: withLatency ? ["slots": 6144] : [:]) { row, sink in
        sink(MetricCatalog.syscallErrors, [("syscall", row.name)], .count(row.errors))
        if withLatency { sink(MetricCatalog.syscallLatency, [("syscall", row.name)], .histogram(row.latencies)) }
      }
    }
  }

  private static var oomKills: MetricProbePlan {
    MetricProbePlan(metrics: [MetricCatalog.oomKills]) { surroundings in
      try EventProbe(Oomkill.parse([]), surroundings, MetricCatalog.oomKills, room: ["events": 1 << 16]) { row in
        (1, row.path.map { CgroupLabels.pairs(path: readablePath($0)) } ?? [("service", "unknown")])
      }
    }
  }
}

private func readablePath(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }
