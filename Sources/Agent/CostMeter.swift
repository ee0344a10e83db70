internal import Glibc
internal import Linux
internal import Synchronization

/// What the agent takes from the machine: its own time and memory, and the time of its programs in the kernel.
package final class CostMeter: Sendable {
  /// Since the last look, in nanoseconds.
  package struct Spent: Equatable, Sendable {
    package var elapsed: UInt64 = 0
    package var process: UInt64 = 0
    package var programs: UInt64 = 0
    /// The same by probe.
    package var byProbe: [String: UInt64] = [:]
  }

  private struct Content {
    var programs: [String: UInt64] = [:]
    var maps: [String: UInt64] = [:]
    var last: (time: UInt64, process: UInt64, programs: [String: UInt64])
    var latest = Spent()
  }

  private let content: Mutex<Content>

  /// Whether the time of the programs is known; else it is told as 0.
  package let knowsPrograms: Bool

  package init(knowsPrograms: Bool) {
    self.knowsPrograms = knowsPrograms
    content = Mutex(Content(last: (Clock.monotonic, Clock.process, [:])))
  }

  /// Notes how long the programs of a probe have run since the agent's start, in nanoseconds, and what its maps take, in bytes.
  package func note(_ probe: String, programTime: UInt64, mapMemory: UInt64 = 0) {
    content.withLock { ($0.programs[probe], $0.maps[probe]) = (programTime, mapMemory) }
  }

  /// What the maps of a probe take, in bytes.
  func mapMemory(of probe: String) -> UInt64 { content.withLock { $0.maps[probe] ?? 0 } }

  /// How long all programs have run since the agent's start, by probe, in nanoseconds.
  package var programTime: [String: UInt64] { content.withLock(\.programs) }

  /// What has been spent since the last time that this was called.
  package func measure() -> Spent {
    content.withLock { content in
      let now = (time: Clock.monotonic, process: Clock.process, programs: content.programs)
      let last = content.last
      let byProbe = Dictionary(
        uniqueKeysWithValues: now.programs.map { ($0.key, $0.value - min(last.programs[$0.key] ?? 0, $0.value)) })
      content.latest = Spent(
        elapsed: now.time - last.time, process: now.process - last.process, programs: byProbe.values.reduce(0, +), byProbe: byProbe)
      content.last = now
      return content.latest
    }
  }

  /// What `measure` has given last.
  package var latest: Spent { content.withLock(\.latest) }
}

/// What this process takes.
enum OwnCost {
  /// In bytes; 0 where /proc does not say.
  static var residentMemory: UInt64 {
    let fields = (ProcFile.read("/proc/self/statm") ?? "").split(separator: " ")
    return fields.count > 1 ? (UInt64(fields[1]) ?? 0) * UInt64(getpagesize()) : 0
  }
}
