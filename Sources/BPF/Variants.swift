internal import Linux
package import SystemPackage

/// A fact that a tool observes, and the programs that can deliver it, best first.
package struct Hook: Sendable {
  /// One way to observe the fact.
  package struct Variant: Sendable, ExpressibleByStringLiteral {
    /// The program's name in the object.
    package var program: String
    /// What is missing with this variant, as a user sees it ("column MODE"); nil when it is as good as the first.
    package var lacking: String?
    /// Programs that are loaded with it, and without which it is of no use: the return to an entry.
    package var companions: [String]

    package init(_ program: String, lacking: String? = nil, with companions: [String] = []) {
      self.program = program
      self.lacking = lacking
      self.companions = companions
    }
    package init(stringLiteral program: String) { self.init(program) }
  }

  /// In words: "the end of system calls".
  package var fact: String
  package var variants: [Variant]
  /// What the tool lacks when no variant works; nil when the tool cannot run without the fact.
  package var without: String?
  /// Whether the tool attaches the program itself, to targets it knows.
  package var isAttachedByTool: Bool

  package init(_ fact: String, _ variants: [Variant], without: String? = nil, attachedByTool: Bool = false) {
    self.fact = fact
    self.variants = variants
    self.without = without
    self.isAttachedByTool = attachedByTool
  }
}

/// A probe that runs: what was chosen, what it lacks, and what holds it.
package struct Attachment: ~Copyable {
  package let probe: LoadedProbe
  package var links: Links
  /// For each hook the program that runs, or nil when the fact is not observed; in the order of the hooks.
  package let chosen: [String?]
  /// One line for each thing that is missing, with the reason.
  package let remarks: [String]
  /// Each variant that was tried in vain, with the reason.
  package let rejected: [(program: String, reason: String)]

  /// Loads and attaches the best variant of each hook that this kernel takes, found by trying.
  ///
  /// - Parameters:
  ///   - configure: sets constants and sizes; called before each attempt to load.
  ///   - prepare: fills maps; called when the programs are loaded, before any runs.
  ///   - attach: attaches the programs of hooks that are attached by the tool; what it returns is added to the remarks. An error
  ///     whose subject is `program NAME` makes the hook of that program go on to its next variant.
  /// - Throws: the first variant's failure, when a fact that the tool needs cannot be observed.
  package static func attempt(
    _ image: ProbeImage, hooks: [Hook], typeInformation: FilePath? = nil,
    configure: (inout Probe, _ programs: [String?]) throws(BPFError) -> Void = { _, _ throws(BPFError) in },
    prepare: (borrowing LoadedProbe) throws(BPFError) -> Void = { _ throws(BPFError) in },
    attach: (borrowing LoadedProbe, _ programs: [String?], inout Links) throws(BPFError) -> [String] = { _, _, _ throws(BPFError) in [] }
  ) throws(BPFError) -> Attachment {
    var selection = Selection(hooks: hooks)
    while true {
      do {
        return try selection.attach(image, typeInformation, configure, prepare, attach)
      } catch {
        // Each round gives up one variant, so this ends.
        try selection.giveUp(error)
      }
    }
  }
}

/// Which variant of each hook is tried next.
private struct Selection {
  let hooks: [Hook]
  private var position: [Int]
  private var failures: [[BPFError]]

  init(hooks: [Hook]) {
    self.hooks = hooks
    position = hooks.map { _ in 0 }
    failures = hooks.map { _ in [] }
  }

  private func variant(_ hook: Int) -> Hook.Variant? {
    position[hook] < hooks[hook].variants.count ? hooks[hook].variants[position[hook]] : nil
  }

  func attach(
    _ image: ProbeImage, _ typeInformation: FilePath?, _ configure: (inout Probe, [String?]) throws(BPFError) -> Void,
    _ prepare: (borrowing LoadedProbe) throws(BPFError) -> Void,
    _ attachTargets: (borrowing LoadedProbe, [String?], inout Links) throws(BPFError) -> [String]
  ) throws(BPFError) -> Attachment {
    let chosen = hooks.indices.map { variant($0)?.program }
    var probe = try Probe(image, typeInformation: typeInformation)
    for hook in hooks.indices {
      guard let variant = variant(hook) else { continue }
      for program in [variant.program] + variant.companions {
        try probe.select(program)
        // A file describes the kernel's structures, but not which tracepoint has which number.
        if typeInformation != nil, !KernelFeatures.hasTypeInformation, probe.needsKernelTypes(program) {
          throw BPFError(
            "load", "program \(program)", errno: .noSuchFileOrDirectory, reason: "this kernel has no type information of its own")
        }
      }
    }
    try configure(&probe, chosen)
    let loaded = try probe.load()
    try prepare(loaded)
    var links = Links()
    for (hook, program) in zip(hooks, chosen) where !hook.isAttachedByTool {
      if let program { links.add(try loaded.attach(program)) }
    }
    let more = try attachTargets(loaded, chosen, &links)
    return Attachment(
      probe: loaded, links: links, chosen: chosen, remarks: remarks + more,
      rejected: zip(hooks, failures).flatMap { hook, errors in
        zip(hook.variants, errors).map { ($0.program, $1.reason ?? "\($1.errno)") }
      })
  }

  /// Moves the hook whose program failed to its next variant.
  mutating func giveUp(_ error: BPFError) throws(BPFError) {
    let isToBlame = { (variant: Hook.Variant) in ([variant.program] + variant.companions).contains { "program \($0)" == error.subject } }
    guard let hook = hooks.indices.first(where: { variant($0).map(isToBlame) == true }) else { throw error }
    failures[hook].append(error)
    position[hook] += 1
    if variant(hook) == nil, hooks[hook].without == nil {
      // The last variant is the most widely available one: why even that failed is what a user wants to know.
      let last = failures[hook][failures[hook].count - 1]
      throw BPFError(
        "observe", hooks[hook].fact, errno: last.errno, log: failures[hook].flatMap(\.log),
        reason: last.reason ?? failures[hook].compactMap(\.reason).first)
    }
  }

  private var remarks: [String] {
    hooks.indices.compactMap { hook in
      guard let first = failures[hook].first else { return nil }
      let reason = first.reason ?? "\(first.errno)"
      if let variant = variant(hook) { return variant.lacking.map { "without \($0): \(reason)" } }
      return hooks[hook].without.map { "without \($0): \(failures[hook].last?.reason ?? reason)" }
    }
  }
}
