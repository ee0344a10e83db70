internal import Glibc

/// Decides what the agent gives up, so that it costs no more than it may.
///
/// It acts a little below the limits. For processor time it halves the rates of profiles, which keeps everything in view; when that is as
/// far as it goes, or cannot be enough because the probes of events alone are too much, it pauses the one whose programs take most. For
/// memory it gives up names first. What was given up comes back one by one when there is room for what it is expected to cost.
package struct CostGovernor: Sendable {
  /// What one window has cost.
  package struct Window: Sendable {
    /// Its length, in nanoseconds, as are all times here.
    package var elapsed: UInt64
    /// Processor time of the agent's process.
    package var process: UInt64 = 0
    /// Of the programs that take samples.
    package var samples: UInt64 = 0
    /// Of each probe that measures and has its programs run at each event, whatever the rates are, by its name: those of metrics, and of
    /// waits.
    package var events: [String: UInt64] = [:]
    /// Memory of the agent's process, in bytes.
    package var memory: UInt64 = 0
    /// Memory of the kernel for each of these probes, in bytes.
    package var maps: [String: UInt64] = [:]

    package init(elapsed: UInt64) { self.elapsed = elapsed }

    var ofEvents: UInt64 { events.values.reduce(0, +) }
    var total: UInt64 { process + samples + ofEvents }
    /// In processors' worth of time.
    var share: Double { Double(total) / Double(max(elapsed, 1)) }
  }

  /// What it may cost.
  package struct Limits: Sendable {
    /// Processors' worth of time: 0.01 is one hundredth of one.
    package var processor: Double
    /// In bytes.
    package var memory: UInt64

    package init(processor: Double, memory: UInt64) {
      self.processor = processor
      self.memory = memory
    }
  }

  package enum Change: Equatable, Sendable {
    /// Whether less is kept in memory.
    case lean(Bool)
    /// How often the rates are halved from now on.
    case level(Int)
    /// A probe is to rest; its programs took so many processors' worth of time.
    case pause(String, share: Double)
    case resume(String)
    /// There is nothing more to give up.
    case exhausted
  }

  package enum Cause: Sendable { case processor, memory }

  /// What is to change, and what the agent took, in processors' worth of time and in bytes.
  package struct Decision: Equatable, Sendable {
    package var change: Change
    package var cause: Cause
    package var share: Double
    package var memory: UInt64
  }

  /// A probe that has been paused.
  private struct Paused {
    /// What its programs took then, in processors' worth of time.
    var share: Double
    var windows = 0
    /// After so many windows it is believed to take half of what was known.
    var halfLife: Double

    var expected: Double { share * exp2(-Double(windows) / halfLife) }
  }

  /// How often the rates have been halved.
  package private(set) var level = 0
  /// Whether less is kept in memory.
  package private(set) var isLean = false
  private var paused: [String: Paused] = [:]
  /// How often each probe was paused, and the windows since it measures again.
  private var history: [String: (pauses: Int, since: Int)] = [:]
  private var isExhausted = false
  /// Of the windows since the last change, without the one in which it came into force.
  private var windows: [Window] = []
  private var isSettling = false
  /// Windows in a row in which memory was short in spite of `isLean`.
  private var tightWindows = 0
  private var seen = 0

  /// Rates are halved that often at most; 1/64 of 19 Hz is a sample in three seconds.
  package static let maximumLevel = 6
  /// Windows that are looked at before something is given up.
  private static let windowsBeforeLowering = 3
  /// Windows with room before something comes back, or without memory before more is given up.
  private static let windowsBeforeRaising = 6
  /// The share of the limit that is kept to.
  private static let target = 0.9
  /// The first windows of a run cost more than those that follow.
  private static let windowsOfWarmth = 3
  /// A probe that takes less of the limit for processor time than this is not worth a pause.
  private static let leastShare = 0.05
  /// In windows, doubled each time that a probe has to be paused again, up to so many times; after an hour of measuring it begins anew.
  private static let halfLife = 60.0
  private static let mostDoublings = 6
  private static let windowsOfPeace = 360

  package init() {}

  /// Takes in what a window has cost.
  ///
  /// - Parameter pausedStill: the names of the probes that rest; others that it has paused measure again because somebody said so.
  package mutating func judge(_ window: Window, _ limits: Limits, pausedStill: Set<String>) -> Decision? {
    guard window.elapsed > 0 else { return nil }
    seen += 1
    for name in paused.keys { paused[name]?.windows += 1 }
    for name in history.keys where paused[name] == nil { history[name]?.since += 1 }
    paused = paused.filter { pausedStill.contains($0.key) }
    if let change = judgeMemory(window.memory, limits.memory) { return decision(change, .memory, window) }
    if isSettling {
      isSettling = false
      return nil
    }
    windows.append(window)
    if windows.count > Self.windowsBeforeRaising { windows.removeFirst() }
    guard let (change, cause) = judgeProcessor(limits.processor) else { return nil }
    defer { (windows, tightWindows, isSettling) = ([], 0, true) }
    return decision(change, cause, window)
  }

  private func decision(_ change: Change, _ cause: Cause, _ window: Window) -> Decision {
    let share = windows.isEmpty ? window.share : Self.mean(recent, \.total)
    return Decision(change: change, cause: cause, share: share, memory: window.memory)
  }

  private mutating func judgeMemory(_ memory: UInt64, _ limit: UInt64) -> Change? {
    let isTight = memory > limit / 10 * 9
    tightWindows = isLean && isTight ? tightWindows + 1 : 0
    guard isLean ? memory < limit / 10 * 6 : isTight else { return nil }
    isLean.toggle()
    return .lean(isLean)
  }

  private mutating func judgeProcessor(_ limit: Double) -> (Change, Cause)? {
    if isTooMuch(limit) { return giveUp(limit).map { ($0, .processor) } }
    if tightWindows >= Self.windowsBeforeRaising { return giveUpForMemory().map { ($0, .memory) } }
    guard windows.count >= Self.windowsBeforeRaising, !isLean else { return nil }
    isExhausted = false
    return giveBack(Self.target * limit).map { ($0, .processor) }
  }

  /// Whether the mean of three windows is above the target, or will be, whatever the next ones cost.
  private func isTooMuch(_ limit: Double) -> Bool {
    guard seen > Self.windowsOfWarmth || windows.count >= Self.windowsBeforeLowering else { return false }
    return Self.mean(recent, \.total) * Double(recent.count) > Self.target * limit * Double(Self.windowsBeforeLowering)
  }

  /// The windows by which it is decided whether something is given up.
  private var recent: ArraySlice<Window> { windows.suffix(Self.windowsBeforeLowering) }

  private mutating func giveUp(_ limit: Double) -> Change? {
    let ofEvents = Self.mean(recent, \.ofEvents)
    if level < Self.maximumLevel, ofEvents <= Self.target * limit { return lower() }
    let shares = sharesOfEvents
    if let dearest = shares.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), dearest.value >= Self.leastShare * limit {
      return pause(dearest.key, share: dearest.value)
    }
    return level < Self.maximumLevel ? lower() : exhaust()
  }

  private mutating func giveUpForMemory() -> Change? {
    if level < Self.maximumLevel { return lower() }
    guard let largest = windows.last?.maps.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }) else { return exhaust() }
    return pause(largest.key, share: sharesOfEvents[largest.key] ?? 0)
  }

  private mutating func lower() -> Change {
    level += 1
    return .level(level)
  }

  private mutating func pause(_ name: String, share: Double) -> Change {
    let last = history[name] ?? (0, 0)
    let pauses = last.since >= Self.windowsOfPeace ? 0 : last.pauses
    history[name] = (min(pauses + 1, Self.mostDoublings), 0)
    paused[name] = Paused(share: share, halfLife: Self.halfLife * exp2(Double(min(pauses, Self.mostDoublings))))
    return .pause(name, share: share)
  }

  private mutating func exhaust() -> Change? {
    guard !isExhausted else { return nil }
    isExhausted = true
    return .exhausted
  }

  /// A probe comes before rates: what it measures is missing, while lower rates only make profiles coarser.
  private mutating func giveBack(_ target: Double) -> Change? {
    let (share, ofEvents) = (Self.mean(windows[...], \.total), Self.mean(windows[...], \.ofEvents))
    if let cheapest = paused.min(by: { ($0.value.expected, $0.key) < ($1.value.expected, $1.key) }),
      share + cheapest.value.expected <= target
    {
      paused[cheapest.key] = nil
      return .resume(cheapest.key)
    }
    // Everything but the events doubles at most.
    guard level > 0, 2 * share - ofEvents <= target else { return nil }
    level -= 1
    return .level(level)
  }

  /// In processors' worth of time.
  private static func mean(_ windows: ArraySlice<Window>, _ time: (Window) -> UInt64) -> Double {
    Double(windows.reduce(0) { $0 + time($1) }) / Double(max(windows.reduce(0) { $0 + $1.elapsed }, 1))
  }

  /// What the probes of events that measure now have taken lately.
  private var sharesOfEvents: [String: Double] {
    guard let last = windows.last else { return [:] }
    return Dictionary(uniqueKeysWithValues: last.events.keys.map { name in (name, Self.mean(recent) { $0.events[name] ?? 0 }) })
  }

  /// A rate at this level; it stays at least one.
  package func lowered(_ rate: UInt64) -> UInt64 { rate == 0 ? 0 : max(1, rate >> UInt64(level)) }
}
