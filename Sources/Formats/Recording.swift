/// What is known of a profile besides its stacks.
package struct Recording: Sendable {
  /// The command line, or the name of the file that it comes from.
  package var title = "swtrace"
  /// When measuring began, in nanoseconds since 1970; 0 means not known.
  package var startedAt: UInt64 = 0
  /// Nanoseconds.
  package var duration: UInt64 = 0
  /// Nanoseconds of processor time that a sample stands for; 0 when samples are not taken by the clock.
  package var period: UInt64 = 0
  /// What was measured, such as `cpu` or `offcpu`. Nil stands for `time`, `space`, or the unit's name.
  package var measure: String?
  /// What events are called where their number stands beside what was measured.
  package var events = "samples"
  /// Whether the profile's counts are of events; text that gives only a sum for each stack does not say how many there were.
  package var hasCounts = true
  package var comments: [String] = []
  /// The files behind the frames' modules, by the module's name.
  package var modules: [String: Module] = [:]

  package init() {}

  /// The file that a module's frames are in.
  package struct Module: Hashable, Sendable {
    package var path: String
    /// Hexadecimal.
    package var buildID: String
    /// Where it is mapped, and from which offset on; 0 when not known.
    package var start: UInt64
    package var limit: UInt64
    package var fileOffset: UInt64

    package init(path: String, buildID: String = "", start: UInt64 = 0, limit: UInt64 = 0, fileOffset: UInt64 = 0) {
      (self.path, self.buildID, self.start, self.limit, self.fileOffset) = (path, buildID, start, limit, fileOffset)
    }
  }
}
