internal import BPF
internal import CProbes

/// Events that the kernel hid from a probe, and that the probe has had no occasion to notice: it does so when the task's next one is shown.
struct HiddenEvents {
  private var tasks: [swtrace_hidden] = []

  /// What finds them.
  static let hook = Hook("hidden switches", ["report_hidden"], without: "what is hidden at the very end", attachedByTool: true)

  /// Asks for those of all tasks, where that program was chosen; call it while everything is attached.
  ///
  /// After that, switches that happen would look hidden.
  mutating func read(_ probe: borrowing LoadedProbe, _ programs: [String?]) throws(BPFError) {
    guard programs.contains("report_hidden") else { return }
    let written = try probe.iterate("report_hidden")
    let size = MemoryLayout<swtrace_hidden>.size
    tasks = stride(from: 0, to: written.count - size + 1, by: size).map {
      written.span.bytes.extracting(droppingFirst: $0).header(swtrace_hidden.self)
    }
  }

  /// How many there are; asked when everything is detached. What the probe has noticed since is among its counts.
  func count(_ probe: borrowing LoadedProbe) throws(BPFError) -> UInt64 {
    guard !tasks.isEmpty else { return 0 }
    let starts = try Starts(probe)
    // One that has ended since was counted then.
    return tasks.reduce(0) { sum, task in starts[task.tid].map { $0.note >> 1 == task.next } == true ? sum + task.count : sum }
  }
}
