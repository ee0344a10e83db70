package import Profiles

extension FlameGraph {
  /// A static picture: readable without scripts, with tooltips from `<title>`, light or dark as the reader prefers.
  ///
  /// Frames narrower than 0.1 % of the picture are left out, and the picture says how many.
  package static func svg(_ profile: Profile, options: Options = Options()) -> [UInt8] {
    Array(Picture(profile, options, since: nil).text.utf8)
  }

  /// The same for a comparison: as wide as `profile`, red where a call's share grew since `before`, blue where it shrank, the deeper the
  /// more, and gray where nothing changed.
  package static func svg(_ profile: Profile, since before: Profile, options: Options = Options()) -> [UInt8] {
    Array(Picture(profile, options, since: before).text.utf8)
  }
}

/// How much each node's share changed between two trees.
private struct Changes {
  /// For each node of the later tree its share before, from 0 to 1.
  let before: [Double]
  /// For each node the step of its color, from -8 (shrank most) to 8.
  let steps: [Int]
  /// The share of the earlier profile in stacks that the later one has not.
  let missing: Double

  init(_ tree: CallTree, since earlier: CallTree) {
    let names = Dictionary(uniqueKeysWithValues: earlier.names.enumerated().map { ($1, $0) })
    var callees: [UInt64: Int] = [:]
    for (index, node) in earlier.nodes.enumerated().dropFirst() { callees[UInt64(node.parent) << 32 | UInt64(node.name)] = index }
    let (total, earlierTotal) = (Double(max(tree.nodes[0].total, 1)), Double(max(earlier.nodes[0].total, 1)))
    /// The node of the earlier tree with the same callers.
    var match = [Int?](repeating: nil, count: tree.nodes.count)
    match[0] = 0
    var before = [Double](repeating: 0, count: tree.nodes.count)
    var found = Double(earlier.nodes[0].selfValue)
    for (index, node) in tree.nodes.enumerated() {
      if index > 0, let parent = match[node.parent], let name = names[tree.names[node.name]] {
        match[index] = callees[UInt64(parent) << 32 | UInt64(name)]
      }
      guard let same = match[index] else { continue }
      before[index] = Double(earlier.nodes[same].total) / earlierTotal
      if index > 0 { found += Double(earlier.nodes[same].selfValue) }
    }
    let changes = tree.nodes.indices.map { Double(tree.nodes[$0].total) / total - before[$0] }
    let largest = changes.dropFirst().map(abs).max() ?? 0
    // Away from zero: the smallest change is still one.
    steps = changes.map { largest > 0 ? Int(($0 / largest * Double(FlameGraph.Palette.changeSteps)).rounded(.awayFromZero)) : 0 }
    self.before = before
    missing = earlier.nodes[0].total == 0 ? 0 : max(1 - found / earlierTotal, 0)
  }
}

/// The picture's measures, in pixels.
private enum Measure {
  static let margin = 10.0
  static let row = 17.0
  static let fontSize = 12.0
  /// Of one character in the widest common monospaced font at this size.
  static let character = 7.25
  static let leastShare = 0.001
}

private struct Picture {
  private let tree: CallTree
  private let options: FlameGraph.Options
  private let quantity: Quantity
  private let labels: [FlameGraph.Label]
  private let total: UInt64
  private let changes: Changes?

  init(_ profile: Profile, _ options: FlameGraph.Options, since before: Profile?) {
    tree = CallTree(profile)
    changes = before.map { [tree] in Changes(tree, since: CallTree($0)) }
    quantity = Quantity(profile)
    labels = tree.names.map(FlameGraph.Label.init)
    total = tree.nodes[0].total
    self.options = options
  }

  /// The nodes wide enough to draw with their left edges in values, and how many are not.
  private func layout() -> (drawn: [(node: Int, start: UInt64)], dropped: Int) {
    guard total > 0 else { return ([], 0) }
    let least = Double(total) * Measure.leastShare
    var drawn: [(node: Int, start: UInt64)] = []
    var dropped = 0
    /// Where the next callee of each node starts.
    var next = [UInt64](repeating: 0, count: tree.nodes.count)
    var index = 0
    while index < tree.nodes.count {
      let node = tree.nodes[index]
      let start = next[node.parent]
      if index > 0 { next[node.parent] &+= node.total }
      next[index] = start
      guard Double(node.total) >= least else {
        dropped += node.end - index
        index = node.end
        continue
      }
      drawn.append((index, start))
      index += 1
    }
    return (drawn, dropped)
  }

  var text: String {
    let (drawn, dropped) = layout()
    let depth = drawn.map { tree.nodes[$0.node].depth }.max() ?? 0
    let top = Measure.margin + 22 + Double(options.details.count) * 16 + 10
    let bottom = top + Double(depth + 1) * Measure.row
    let height = bottom + 44
    let width = Double(options.width)
    var svg = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(options.width)" height="\(short(height))" \
      viewBox="0 0 \(options.width) \(short(height))" role="img" aria-label="\(escaped(options.title))">
      <style>
      \(style)
      </style>
      <rect class="page" width="100%" height="100%"/>
      <text class="title" x="\(short(width / 2))" y="\(short(Measure.margin + 14))">\(escaped(options.title))</text>

      """
    for (line, detail) in options.details.enumerated() {
      let y = Measure.margin + 32 + Double(line) * 16
      svg += #"<text class="detail" x="\#(short(width / 2))" y="\#(short(y))">\#(escaped(detail))</text>"# + "\n"
    }
    for (index, start) in drawn {
      let row = Double(options.orientation == .icicle ? tree.nodes[index].depth : depth - tree.nodes[index].depth)
      box(index, start: start, y: top + row * Measure.row, to: &svg)
    }
    if total == 0 {
      svg += #"<text class="detail" x="\#(short(width / 2))" y="\#(short(top + 12))">Nothing was measured.</text>"# + "\n"
    }
    footer(y: bottom + 24, dropped: dropped, to: &svg)
    return svg + "</svg>\n"
  }

  private func box(_ index: Int, start: UInt64, y: Double, to svg: inout String) {
    let node = tree.nodes[index]
    let label = labels[node.name]
    let scale = (Double(options.width) - 2 * Measure.margin) / Double(total)
    let x = Measure.margin + Double(start) * scale
    let width = Double(node.total) * scale
    svg += "<g><title>\(escaped(label.text + label.origin))\n"
    svg += "self \(escaped(amount(node.selfValue)))\ntotal \(escaped(amount(node.total)))\(change(index))</title>"
    let color = changes.map { "d\($0.steps[index] + FlameGraph.Palette.changeSteps)" } ?? "c\(FlameGraph.Palette.index(of: label))"
    svg += #"<rect class="\#(color)" x="\#(short(x))" y="\#(short(y))" "#
    // A gap of half a pixel keeps neighbors apart, as long as there is a box left.
    svg += #"width="\#(short(max(width - 0.5, 0.5)))" height="\#(short(Measure.row - 1))" rx="1"/>"#
    let cut = cut(label.text, to: Int((width - 6) / Measure.character))
    if !cut.isEmpty { svg += #"<text x="\#(short(x + 3))" y="\#(short(y + 12.5))">\#(escaped(cut))</text>"# }
    svg += "</g>\n"
  }

  /// The line that a comparison adds to a tooltip.
  private func change(_ index: Int) -> String {
    guard let changes, total > 0 else { return "" }
    let before = changes.before[index] * 100
    let change = fixed(Double(tree.nodes[index].total) / Double(total) * 100 - before, digits: 2)
    return "\nbefore \(fixed(before, digits: 2))%, change \(change.hasPrefix("-") ? "" : "+")\(change)%"
  }

  private func amount(_ value: UInt64) -> String { "\(quantity.text(value)) (\(percentText(value, of: total)))" }

  /// What the picture is of, what it leaves out, and what the colors mean.
  private func footer(y: Double, dropped: Int, to svg: inout String) {
    var note = "\(quantity.text(total)) in all"
    if dropped > 0 {
      let count = grouped(String(dropped))
      note += "; \(count) \(dropped == 1 ? "frame" : "frames") narrower than 0.1% of the width \(dropped == 1 ? "is" : "are") not drawn"
    }
    if let changes {
      note += "; red grew, blue shrank"
      if changes.missing > 0 { note += "; \(fixed(changes.missing * 100, digits: 2))% of before is in stacks that are gone" }
    }
    svg += #"<text class="note" x="\#(short(Measure.margin))" y="\#(short(y))">\#(escaped(note))</text>"# + "\n"
    if changes != nil { return }
    let present = Set(labels.map(\.kind))
    var x = Double(options.width) - Measure.margin
    for kind in FlameGraph.Kind.allCases.reversed() where kind != .all && present.contains(kind) {
      x -= Double(kind.label.count) * Measure.character
      svg += #"<text class="note" x="\#(short(x))" y="\#(short(y))">\#(kind.label)</text>"# + "\n"
      x -= 16
      let color = FlameGraph.Palette.index(of: kind)
      svg += #"<rect class="c\#(color)" x="\#(short(x))" y="\#(short(y - 10))" width="12" height="12" rx="2"/>"# + "\n"
      x -= 14
    }
  }

  private var style: String {
    let (colors, letter) = changes != nil ? (FlameGraph.Palette.changes, "d") : (FlameGraph.Palette.colors, "c")
    let light = colors.indices.map { ".\(letter)\($0){fill:\(colors[$0].light)}" }.joined()
    let dark = colors.indices.map { ".\(letter)\($0){fill:\(colors[$0].dark)}" }.joined()
    return """
      text{font:\(short(Measure.fontSize))px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#16181d;pointer-events:none}
      .page{fill:#fff}.title{font:600 17px system-ui,sans-serif;text-anchor:middle}.detail{font:13px system-ui,sans-serif;text-anchor:middle}
      g:hover rect{stroke:#16181d}
      \(light)
      @media (prefers-color-scheme:dark){text{fill:#eceff4}.page{fill:#16181d}g:hover rect{stroke:#eceff4}
      \(dark)}
      """
  }

  /// The name, or as much of it as fits with an ellipsis; nothing when that would be less than three characters.
  private func cut(_ name: String, to columns: Int) -> String {
    guard columns >= 3 else { return "" }
    var used = 0
    var kept = ""
    var isWhole = true
    for character in name {
      // East Asian characters and pictures take two columns of a monospaced font.
      let columnsOfThis = character.unicodeScalars.first.map { $0.value >= 0x1100 ? 2 : 1 } ?? 0
      if used + columnsOfThis > columns {
        isWhole = false
        break
      }
      used += columnsOfThis
      kept.append(character)
    }
    if isWhole { return kept }
    while used > columns - 1, let last = kept.popLast() {
      used -= last.unicodeScalars.first.map { $0.value >= 0x1100 ? 2 : 1 } ?? 0
    }
    return kept + "…"
  }

  /// At most two decimals, without trailing zeros.
  private func short(_ number: Double) -> String {
    let text = fixed(number, digits: 2)
    return text.hasSuffix(".00") ? String(text.dropLast(3)) : text.hasSuffix("0") ? String(text.dropLast()) : text
  }
}

/// Text for XML and HTML, in elements and in quoted attributes. Characters that XML cannot hold become U+FFFD.
func escaped(_ text: String) -> String {
  var output = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": output += "&amp;"
    case "<": output += "&lt;"
    case ">": output += "&gt;"
    case "\"": output += "&quot;"
    case "'": output += "&#39;"
    case "\n", "\t": output.unicodeScalars.append(scalar)
    case "\0"..."\u{1F}", "\u{FFFE}", "\u{FFFF}": output += "\u{FFFD}"
    default: output.unicodeScalars.append(scalar)
    }
  }
  return output
}
