package import AgentModel
internal import Linux
package import Profiles

/// Makes the finished value of a window of what was counted in it, with the labels of its processes.
package struct WindowMaker {
  private let type: ProfileType
  /// Nanoseconds between samples; 0 where events are measured.
  package var period: UInt64
  private let host: String
  /// Of processes that were seen since the window began.
  private var processes: [UInt32: ProcessLabels] = [:]
  /// By what they are made of: few differ.
  private var labels: [Key: Labels] = [:]
  /// Different labels of a window at most; what is beyond has the label `service="other"`.
  private static let limit = 4096

  private struct Key: Hashable {
    var process: ProcessLabels
    var thread: [UInt8]
  }

  /// - Parameter period: nanoseconds between samples; 0 where events are measured.
  package init(type: ProfileType, period: UInt64, host: String) {
    self.type = type
    self.period = period
    self.host = host
  }

  /// Notes to which service a process belongs; call it while it runs.
  package mutating func learn(_ process: UInt32, _ labels: ProcessLabels) { processes[process] = labels }

  /// The window of a profile, after which processes are not known any more.
  ///
  /// - Parameters:
  ///   - start: in seconds since 1970, a multiple of a window's length.
  ///   - covered: for how long there was measuring, in nanoseconds.
  package mutating func window(of profile: Profile, start: Int64, covered: UInt64, lost: UInt64) -> ProfileWindow {
    var window = ProfileWindow(type: type, start: start, covered: covered, period: period, lost: lost)
    var stacks: [Stack.ID: Int] = [:]
    var frames: [Frame.ID: UInt32] = [:]
    func frame(_ id: Frame.ID) -> UInt32 {
      if let known = frames[id] { return known }
      frames[id] = UInt32(window.frames.count)
      window.frames.append(profile.stacks[id])
      return UInt32(window.frames.count - 1)
    }
    var values: [Labels: [Int: UInt64]] = [:]
    for sample in profile.samples {
      let stack = stacks[sample.stack] ?? window.stacks.count
      if stack == window.stacks.count {
        stacks[sample.stack] = stack
        window.stacks.append(profile.stacks.frameIDs(of: sample.stack).map(frame))
      }
      values[labels(of: profile.processes[sample.process]), default: [:]][stack, default: 0] += sample.value
    }
    window.series = values.sorted { $0.key < $1.key }.map { labels, values in
      .init(labels: labels, samples: values.sorted { $0.key < $1.key }.map { .init(stack: $0.key, value: $0.value) })
    }
    processes.removeAll(keepingCapacity: true)
    if labels.count >= Self.limit { labels = [:] }
    return window
  }

  private mutating func labels(of process: Profile.Process) -> Labels {
    let known = process.pid.flatMap { processes[$0] } ?? ProcessLabels(cgroups: "")
    let key = Key(process: known, thread: known.name == nil ? process.command : [])
    if let known = labels[key] { return known }
    guard labels.count < Self.limit else { return Labels([("host", host), ("service", "other")]) }
    let made = Labels(key.process.pairs(thread: process.command) + [("host", host)])
    labels[key] = made
    return made
  }
}
