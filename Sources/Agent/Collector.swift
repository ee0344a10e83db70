package import AgentModel
internal import ArgumentParser
internal import Foundation
internal import Linux
internal import Profiles
internal import ServiceLifecycle
internal import Symbolication
internal import Synchronization
package import Tools

/// Measures one profile, on a thread of its own, and hands over a window every ten seconds.
package final class Collector: Service {
  /// What is measured, and how.
  package enum Profiling: Sendable {
    /// So many samples a second on each processor.
    case cpu(frequency: UInt64)
    /// Waits of at least so many microseconds.
    case offCPU(threshold: UInt64)

    var type: ProfileType {
      switch self {
      case .cpu: .cpu
      case .offCPU: .offCPU
      }
    }
  }

  /// What a collector has done since it began.
  package struct Standing: Sendable {
    package var type: ProfileType
    /// Nanoseconds between samples; 0 where events are measured.
    package var period: UInt64
    package var events: UInt64 = 0
    package var lost: UInt64 = 0
    package var quality: StackRun.Quality
  }

  private let profiling: Profiling
  private let host: String
  private let unwindMemory: Int
  private let request: EndRequest
  private let hand: @Sendable (ProfileWindow, Standing) -> Void

  /// - Parameters:
  ///   - host: the label of all series.
  ///   - unwindMemory: of the kernel, for the rules of code, in MB.
  ///   - hand: takes a window; called on the collector's thread, which it must not hold up.
  package init(_ profiling: Profiling, host: String, unwindMemory: Int, hand: @escaping @Sendable (ProfileWindow, Standing) -> Void) throws
  {
    self.profiling = profiling
    self.host = host
    self.unwindMemory = unwindMemory
    self.hand = hand
    request = try EndRequest()
  }

  /// Measures until a graceful shutdown; the last window, which is shorter, is handed over before it returns.
  package func run() async throws {
    try await MeasuringThread.run(profiling.type.rawValue, until: request) { try self.measure() }
  }

  private func measure() throws {
    switch profiling {
    case .cpu(let frequency):
      try measure(
        ProfileTool.parse(["--frequency", "\(frequency)", "--unwind-memory", "\(unwindMemory)"]), period: 1_000_000_000 / frequency)
    case .offCPU(let threshold):
      try measure(Offcputime.parse(["--min-block-time", "\(threshold)", "--unwind-memory", "\(unwindMemory)"]), period: 0)
    }
  }

  private func measure<Measuring: StackTool>(_ parsed: Measuring, period: UInt64) throws {
    var tool = parsed
    try tool.prepare()
    var output = try Output(path: nil)
    output.isUsed = false
    let processes = StackProcesses(of: Measuring.name, try tool.stacks.symbols(), indexLimit: Self.indexLimit)
    var run = try StackRun(
      tool, tool.session.settings(tool: Measuring.name), processes, watching: output,
      endings: { () throws(SystemError) in try EndSignals(request) })
    run.aggregator.newcomers = StackAggregator.Newcomers()
    var maker = WindowMaker(type: profiling.type, period: period, host: host)
    var standing = Standing(type: profiling.type, period: period, quality: run.quality)
    var start = Self.windowStart
    var opened = Clock.monotonic
    while let turn = run.next(output, patience: Self.patience) {
      for process in run.aggregator.takeNewcomers() { maker.learn(process, ProcessLabels(of: ProcessID(process))) }
      guard turn == .end || Self.windowStart != start else { continue }
      if turn == .end { run.aggregator.finishWalks() }
      // Names may take longer than what is left of this window.
      let (now, next) = (Clock.monotonic, Self.windowStart)
      let counts = try run.takeCounts()
      standing.events += counts.delivered + counts.lost
      standing.lost += counts.lost
      let profile = run.takeWindow(unit: profiling.type.unit, since: opened) {}
      processes.settle(before: opened, keeping: run.aggregator.waitingProcesses)
      standing.quality = run.quality
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
