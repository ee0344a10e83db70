import Profiles

/// Draws profiles as flame graphs: each box a call, as wide as its share, above (or below) its caller.
///
/// `svg` is a picture for documents; `html` is a page to explore with. Both are one file that loads nothing from anywhere.
package enum FlameGraph {
  package enum Orientation: String, CaseIterable, Sendable {
    /// The root at the bottom, callees above.
    case flame
    /// The root at the top, callees below.
    case icicle
  }

  package struct Options: Sendable {
    package var title: String
    /// Said under the title: command line, duration, sampling rate, what was lost.
    package var details: [String]
    package var orientation: Orientation
    /// Of the picture, in pixels; the page fills its window.
    package var width: Int

    package init(title: String = "Flame graph", details: [String] = [], orientation: Orientation = .flame, width: Int = 1200) {
      self.title = title
      self.details = details
      self.orientation = orientation
      self.width = max(width, 200)
    }
  }

  /// What a frame's color says; the raw values are part of the page's data.
  enum Kind: Int, CaseIterable {
    case user, kernel, inlined, marker, process, all

    init(_ name: CallTree.Name) {
      switch name {
      case .all: self = .all
      case .process: self = .process
      case .function(let frame):
        switch frame.kind {
        case .kernel: self = .kernel
        case .marker: self = .marker
        case .user: self = frame.isInlined ? .inlined : .user
        }
      }
    }

    /// In legends and tooltips; none for the root.
    var label: String {
      switch self {
      case .user: "user"
      case .kernel: "kernel"
      case .inlined: "inlined"
      case .marker: "marker"
      case .process: "process"
      case .all: ""
      }
    }
  }

  /// A name made fit for showing, and what is said with it.
  struct Label {
    let text: String
    let module: String
    let kind: Kind

    init(_ name: CallTree.Name) {
      let text = readableName(name.text.utf8)
      self.text = text.isEmpty ? "[unknown]" : text
      kind = Kind(name)
      if case .function(let frame) = name { module = readableName(frame.module.utf8) } else { module = "" }
    }

    /// `[libc.so.6, inlined]`, or empty when there is nothing to say.
    var origin: String {
      let parts = [module, kind == .all || kind == .user ? "" : kind.label].filter { !$0.isEmpty }
      return parts.isEmpty ? "" : " [\(parts.joined(separator: ", "))]"
    }
  }
}
