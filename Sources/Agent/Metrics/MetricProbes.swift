internal import AgentModel
internal import ArgumentParser
internal import Formats
internal import Linux
internal import Tools

/// A probe that the configuration asks for: what it measures, and how it is attached.
struct MetricProbePlan {
  /// The tool that it belongs to.
  var name: String
  var metrics: [Metric]
  var attach: (ProbeSurroundings) throws -> any MetricProbe

  /// Those that are asked for.
  ///
  /// Their maps are smaller than the tools': together about 4 MB on two processors.
  static func all(_ settings: MetricSettings) -> [MetricProbePlan] {
    [
      settings.runQueue ? runQueue : nil, settings.blockIO ? blockIO : nil, settings.connects ? connects : nil,
      settings.roundTrips ? roundTrips : nil, settings.retransmits ? retransmits : nil, faults(settings.faults),
      syscalls(settings.syscalls), settings.oomKills ? oomKills : nil,
    ].compactMap(\.self)
  }

  private static var runQueue: MetricProbePlan {
    MetricProbePlan(name: Runqlat.name, metrics: [MetricCatalog.runQueueLatency]) { surroundings in
      var cgroups = CgroupLabels()
      let room = HistogramRun.rows.merging(["histogram_cells": 4096]) { $1 }
      return try HistogramProbe(Runqlat.parse(["--cgroups"]), surroundings, room: room) { entry, sink in
        sink(MetricCatalog.runQueueLatency, cgroups.pairs(of: entry.key), .histogram(entry.histogram))
      }
    }
  }

  private static var blockIO: MetricProbePlan {
    MetricProbePlan(name: Biolatency.name, metrics: [MetricCatalog.blockLatency]) { surroundings in
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
    MetricProbePlan(name: Tcpconnlat.name, metrics: [MetricCatalog.connectLatency]) { surroundings in
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
    MetricProbePlan(name: Tcprtt.name, metrics: [MetricCatalog.roundTrip]) { surroundings in
      var cgroups = CgroupLabels()
      return try HistogramProbe(Tcprtt.parse(["--cgroups"]), surroundings, room: ["histogram_cells": 4096]) { entry, sink in
        sink(MetricCatalog.roundTrip, cgroups.pairs(of: entry.key), .histogram(entry.histogram))
      }
    }
  }

  private static var retransmits: MetricProbePlan {
    MetricProbePlan(name: Tcpretrans.name, metrics: [MetricCatalog.retransmits]) { surroundings in
      var cgroups = CgroupLabels()
      return try EventProbe(Tcpretrans.parse([]), surroundings, MetricCatalog.retransmits, room: ["events": 1 << 18]) { row in
        row.wasSent ? cgroups.pairs(of: row.cgroupID) + [("reason", row.kind)] : nil
      }
    }
  }

  private static func faults(_ kind: MetricSettings.Faults) -> MetricProbePlan? {
    guard kind != .off else { return nil }
    return MetricProbePlan(name: Faults.name, metrics: [MetricCatalog.pageFaults]) { surroundings in
      var cgroups = CgroupLabels()
      return try CountProbe(
        Faults.parse(["--cgroups", "--max-keys", "1024"] + (kind == .major ? ["--major"] : [])), surroundings
      ) { row, sink in
        let pairs = cgroups.pairs(of: row.id)
        sink(MetricCatalog.pageFaults, pairs + [("kind", "major")], .count(row.major))
        sink(MetricCatalog.pageFaults, pairs + [("kind", "minor")], .count(row.minor))
      }
    }
  }

  private static func syscalls(_ kind: MetricSettings.Syscalls) -> MetricProbePlan? {
    guard kind != .off else { return nil }
    let metrics = [MetricCatalog.syscallErrors] + (kind == .latency ? [MetricCatalog.syscallLatency] : [])
    return MetricProbePlan(name: Syscount.name, metrics: metrics) { surroundings in
      let tool = try Syscount.parse([kind == .latency ? "--latency" : "--failures"])
      return try CountProbe(tool, surroundings, room: kind == .latency ? ["slots": 6144] : [:]) { row, sink in
        sink(MetricCatalog.syscallErrors, [("syscall", row.name)], .count(row.errors))
        if kind == .latency { sink(MetricCatalog.syscallLatency, [("syscall", row.name)], .histogram(row.latencies)) }
      }
    }
  }

  private static var oomKills: MetricProbePlan {
    MetricProbePlan(name: Oomkill.name, metrics: [MetricCatalog.oomKills]) { surroundings in
      try EventProbe(Oomkill.parse([]), surroundings, MetricCatalog.oomKills, room: ["events": 1 << 16]) { row in
        row.path.map { CgroupLabels.pairs(path: readablePath($0)) } ?? [("service", "unknown")]
      }
    }
  }
}

private func readablePath(_ text: Text) -> String { String(decoding: text.bytes, as: UTF8.self) }
