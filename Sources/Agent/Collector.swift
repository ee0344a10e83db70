package import AgentModel
internal import ArgumentParser
internal import Linux
internal import Profiles
internal import ServiceLifecycle
internal import Symbolication
internal import Synchronization
package import Tools

/// Measures one profile, on a thread of its own, and hands over a window every ten seconds.
package final class Collector: Service {
  /// What a collector has done since it began.
  package struct Standing: Sendable {
    package var type: ProfileType
    /// Nanoseconds between samples; 0 where events are measured.
    package var period: UInt64
    package var events: UInt64 = 0
    package var lost: UInt64 = 0
    package var quality: StackRun.Quality
  }

  private let type: ProfileType
  private let control: Control
  private let unwindMemory: Int
  private let hand: @Sendable (ProfileWindow, Standing) -> Void
  private let standing: Mutex<Standing>

  /// - Parameters:
  ///   - control: says how to measure; a change holds from the end of the window on.
  ///   - unwindMemory: of the kernel, for the rules of code, in MB.
  ///   - hand: takes a window; called on the collector's thread, which it must not hold up.
  package init(
    _ type: ProfileType, control: Control, unwindMemory: Int, hand: @escaping @Sendable (ProfileWindow, Standing) -> Void
  ) {
    self.type = type
    self.control = control
    self.unwindMemory = unwindMemory
    self.hand = hand
    standing = Mutex(Standing(type: type, period: 0, quality: .init()))
  }

  /// Measures until a graceful shutdown; the last window, which is shorter, is handed over before it returns.
  ///
  /// - Throws: when it cannot begin. What cannot be begun after a change is noted, and waits for the next change.
  package func run() async throws {
    let name = type.rawValue
    var isFirst = true
    for await _ in control.changes(of: name).cancelOnGracefulShutdown() {
      do {
        while let settings = control[name], settings.isEnabled, !Task.isShuttingDownGracefully, !Task.isCancelled {
          let request = try EndRequest()
          try await MeasuringThread.run(name, until: request) { try self.measure(settings, request) }
        }
      } catch  where !isFirst {
        control.note(name, failed: "\(error)")
      }
      isFirst = false
    }
  }

  private func measure(_ settings: ProbeSettings, _ request: EndRequest) throws {
    let arguments = Self.arguments(settings) + ["--unwind-memory", "\(unwindMemory)"]
    switch type {
    case .cpu: try measure(ProfileTool.parse(arguments), settings, request)
    case .offCPU: try measure(Offcputime.parse(arguments), settings, request)
    }
  }

  /// - Throws: when what the filter names does not exist.
  static func check(_ settings: ProbeSettings) throws {
    var filter = ProbeSettings(isEnabled: true)
    filter.filter = settings.filter
    _ = try ProfileTool.parse(arguments(filter)).session.settings(tool: ProfileTool.name)
  }

  private static func arguments(_ settings: ProbeSettings) -> [String] {
    let filter = settings.filter
    let all: [(String, String)] = [
      ("--frequency", settings.frequency.map { "\($0)" } ?? ""), ("--min-block-time", settings.threshold.map { "\($0)" } ?? ""),
      ("--comm", filter.comm), ("--cgroup", filter.cgroup), ("--uid", filter.user),
    ]
    // One word: a value that begins with a dash is no option.
    return all.filter { !$0.1.isEmpty }.map { "\($0.0)=\($0.1)" }
  }

  private func measure<Measuring: StackTool>(_ parsed: Measuring, _ settings: ProbeSettings, _ request: EndRequest) throws {
    var tool = parsed
    try tool.prepare()
    var output = try Output(path: nil)
    output.isUsed = false
    let processes = StackProcesses(of: Measuring.name, try tool.stacks.symbols(), indexLimit: Self.indexLimit)
    var run = try StackRun(
      tool, tool.session.settings(tool: Measuring.name), processes, watching: output,
      endings: { () throws(SystemError) in try EndSignals(request) })
    control.note(type.rawValue, runs: settings)
    defer { control.note(type.rawValue, runs: nil) }
    run.aggregator.newcomers = StackAggregator.Newcomers()
    let period = settings.frequency.map { 1_000_000_000 / $0 } ?? 0
    var maker = WindowMaker(type: type, period: period, host: control.configuration.host)
    let before = self.standing.withLock(\.self)
    var standing = before
    standing.period = period
    var start = Self.windowStart
    var opened = Clock.monotonic
    while let turn = run.next(output, patience: Self.patience) {
      for process in run.aggregator.takeNewcomers() { maker.learn(process, ProcessLabels(of: ProcessID(process))) }
      guard turn == .end || Self.windowStart != start else { continue }
      if turn != .end, control[type.rawValue] != settings {
        // What is attached ends first, so that the window has all of it.
        request.request()
        continue
      }
      if turn == .end { run.aggregator.finishWalks() }
      // Names may take longer than what is left of this window.
      let (now, next) = (Clock.monotonic, Self.windowStart)
      let counts = try run.takeCounts()
      standing.events += counts.delivered + counts.lost
      standing.lost += counts.lost
      let profile = run.takeWindow(unit: type.unit, since: opened) {}
      processes.settle(before: opened, keeping: run.aggregator.waitingProcesses)
      standing.quality = before.quality + run.quality
      self.standing.withLock { $0 = standing }
      control.note(type.rawValue, events: standing.events, lost: standing.lost)
      hand(maker.window(of: profile, start: start, covered: now - opened, lost: counts.lost), standing)
      (start, opened) = (next, now)
    }
  }

  /// Bytes that what is known of the functions of files takes between windows.
  private static let indexLimit = 16 << 20
  /// Nanoseconds between looks at the ring, which wakes nobody but for a process's first event.
  private static let patience: UInt64 = 100_000_000

  /// The beginning of the window that it is now.
  private static var windowStart: Int64 { Int64(Clock.realtime / 1_000_000_000) / ProfileWindow.length * ProfileWindow.length }
}
