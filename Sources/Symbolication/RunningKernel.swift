internal import Linux

/// The kernel's symbols, read when the first address needs a name.
///
/// Modules and programs of BPF come and go. In a run without an end they are read again every ten minutes, and sooner where an address may
/// be in a newer one: at most once in a window, because it takes the kernel some 60 ms.
struct RunningKernel {
  private let isEndless: Bool
  private let read: () -> KernelSymbols?
  private let now: () -> UInt64
  private var symbols: KernelSymbols??
  private var readAt: UInt64 = 0
  private var wasReadInWindow = false
  private var hasChanged = false
  /// Addresses without a name though they were looked for again.
  private var nameless: Set<UInt64> = []

  /// In nanoseconds.
  private static let lifetime: UInt64 = 600_000_000_000
  /// Programs of BPF have no end that is known: an address in one may be in another one that was loaded behind it.
  private static let lifetimeOfPrograms: UInt64 = 60_000_000_000
  private static let namelessLimit = 4096

  /// - Parameters:
  ///   - isEndless: whether it names windows without an end, and `endWindow` is called after each.
  ///   - read: nil where there are no symbols.
  ///   - now: in nanoseconds.
  init(
    isEndless: Bool, read: @escaping () -> KernelSymbols? = KernelSymbols.ofRunningKernel, now: @escaping () -> UInt64 = { Clock.monotonic }
  ) {
    self.isEndless = isEndless
    self.read = read
    self.now = now
  }

  /// The symbol that covers an address, or why there is none.
  mutating func match(_ address: KernelAddress) -> Result<KernelSymbols.Match, Symbolized.Reason> {
    if symbols == nil { readAgain() }
    guard let known = symbols.flatMap(\.self), !known.areHidden else { return .failure(.kernelHidden) }
    let match = known.match(address)
    if let match, !isDoubtful(match) { return .success(match) }
    guard isEndless, !wasReadInWindow, !nameless.contains(address.rawValue) else { return answer(match) }
    readAgain()
    let better = symbols.flatMap(\.self)?.match(address)
    if better == nil, nameless.count < Self.namelessLimit { nameless.insert(address.rawValue) }
    return answer(better)
  }

  private func answer(_ match: KernelSymbols.Match?) -> Result<KernelSymbols.Match, Symbolized.Reason> {
    match.map { .success($0) } ?? .failure(.outsideSymbols)
  }

  private func isDoubtful(_ match: KernelSymbols.Match) -> Bool {
    match.module == KernelSymbols.moduleOfPrograms && now() - readAt > Self.lifetimeOfPrograms
  }

  private mutating func readAgain() {
    let before = symbols.flatMap(\.self)
    let found = read()
    if let before, before != found { hasChanged = true }
    (symbols, readAt, wasReadInWindow) = (.some(found), now(), true)
  }

  /// Takes in that a window is over.
  mutating func endWindow() {
    wasReadInWindow = false
    guard symbols != nil, now() - readAt > Self.lifetime else { return }
    (symbols, hasChanged, nameless) = (nil, true, [])
  }

  /// Gives up the symbols until an address is asked for.
  mutating func release() { symbols = nil }

  /// Whether the symbols are others than when this was asked last.
  mutating func takeChange() -> Bool {
    defer { hasChanged = false }
    return hasChanged
  }
}
