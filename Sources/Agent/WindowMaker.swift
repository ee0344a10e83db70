package import AgentModel
internal import Linux
package import Profiles

/// Makes the finished values of windows of what was counted in them, with the labels of their processes.
package struct WindowMaker {
  private let host: String
  /// By what they are made of: few differ.
  private var labels: [Key: Labels] = [:]
  /// Different labels of a window at most; what is beyond has the label `service="other"`.
  private static let limit = 4096

  private struct Key: Hashable {
    var process: ProcessLabels
    var thread: [UInt8]
  }

  /// - Parameter host: the label of all series.
  package init(host: String) { self.host = host }

  /// Fills a window.
  ///
  /// - Parameters:
  ///   - empty: the window without series.
  ///   - processes: to which service those belong that were seen in the window.
  package mutating func window(_ empty: ProfileWindow, of profile: Profile, _ processes: [UInt32: ProcessLabels]) -> ProfileWindow {
    var window = empty
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
      let process = profile.processes[sample.process]
      let labels = labels(of: process, process.pid.flatMap { processes[$0] })
      // Processes choose the values: the size of an allocation is one.
      values[labels, default: [:]][stack, default: 0].addSaturating(sample.value)
    }
    window.series = values.sorted { $0.key < $1.key }.map { labels, values in
      .init(labels: labels, samples: values.sorted { $0.key < $1.key }.map { .init(stack: $0.key, value: $0.value) })
    }
    if labels.count >= Self.limit { labels = [:] }
    return window
  }

  private mutating func labels(of process: Profile.Process, _ known: ProcessLabels?) -> Labels {
    let known = known ?? ProcessLabels(cgroups: "")
    let key = Key(process: known, thread: known.name == nil ? process.command : [])
    if let known = labels[key] { return known }
    guard labels.count < Self.limit else { return Labels([("host", host), ("service", "other")]) }
    let made = Labels(key.process.pairs(thread: process.command) + [("host", host)])
    labels[key] = made
    return made
  }
}
