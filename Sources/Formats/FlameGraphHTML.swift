package import Profiles

extension FlameGraph {
  /// A page to explore the profile with: search, zoom, a table of functions, callers and callees, filters; one file that works offline.
  ///
  /// The page's content security policy forbids it every connection. The profile is inside as JSON: a string table and arrays by node.
  package static func html(_ profile: Profile, options: Options = Options()) -> [UInt8] {
    page(PageData(profile, options), options)
  }

  /// The same for a comparison: each call with its share before, red where it grew and blue where it shrank by more than noise.
  ///
  /// - Parameter hasCounts: whether the profiles' counts are of events. Samples always are.
  package static func html(_ profile: Profile, since before: Profile, hasCounts: Bool = true, options: Options = Options()) -> [UInt8] {
    page(PageData(profile, since: before, hasCounts: hasCounts, options), options)
  }

  /// The profile as the page's script reads it, for pages that fetch it.
  package static func json(_ profile: Profile, options: Options = Options()) -> [UInt8] { PageData(profile, options).json }

  /// The same for a comparison.
  package static func json(_ profile: Profile, since before: Profile, hasCounts: Bool = true, options: Options = Options()) -> [UInt8] {
    PageData(profile, since: before, hasCounts: hasCounts, options).json
  }

  private static func page(_ data: PageData, _ options: Options) -> [UInt8] {
    let title = escaped(options.title)
    let details = options.details.map { "<span>\(escaped($0))</span>" }.joined(separator: "\n")
    let text = """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(title)</title>
      <style>
      \(Page.style)
      </style>
      </head>
      <body>
      <header>
      <div class="about"><h1>\(title)</h1>
      <p class="details">\(details)</p></div>
      \(Page.toolbar)
      </header>
      \(Page.body)
      <script type="application/json" id="profile">
      """
    return Array(text.utf8) + data.json + data.times + Array("</script>\n<script>\n\(script)\n</script>\n</body>\n</html>\n".utf8)
  }

  private static let script = """
    "use strict";
    (() => {
    \(Page.heatmapFunction)
    \(Page.function)
    flameGraph(JSON.parse(document.getElementById("profile").textContent));
    })();
    """

  /// The parts of the page that do not depend on the profile. A page that fetches profiles uses the same.
  package enum Page {
    /// `flameGraph(profile, signal, before)` shows a profile in the elements of `toolbar` and `body`, which must be new. It keeps what it shows in
    /// the address' fragment. The signal ends it: then the elements can be replaced and another profile shown.
    ///
    /// `heatmapFunction` has to stand before it. It returns `place()`, where one looks; given as `before`, another profile is shown there as far as there is something.
    package static let function = """
      const flameGraph = (profile, signal, before) => {
      \([model, quantities, colors, drawing, navigation, table, heatmap, filters, sandwich, controls, address].joined(separator: "\n"))
      };
      """
  }
}

/// The profile as the page's script reads it:
/// ```
/// {"unit", "decimals", "orientation",
///  "strings":   ["main", …],
///  "functions": {"name": [string], "module": [string], "kind": [FlameGraph.Kind], "color": [color]},
///  "nodes":     {"depth": [number], "function": [function]},                      callers before callees, depth first
///  "threads":   {"name": [string], "pid": [number], "tid": [number]},             -1 where not known
///  "entries":   {"node": [difference], "thread": [thread], "value": [value]},     nodes as differences to the entry before
///  "before":    the same of the earlier profile; both then have "count": [events] where times or sizes were measured
///  "kinds": [label], "legend": [color], "colors": {"light": [color], "dark": [color]},
///  "moduleColors": [first, count], "changeColor": the middle one}
/// ```
/// and where single measurements are known, in an element of their own, which is read after the first picture:
/// ```
/// {"step": nanoseconds, "time": [steps], "entry": [entry], "value": [value]}     times as differences; no values: all are 1
/// ```
private struct PageData {
  let json: [UInt8]
  /// The end of the first element and the whole second one, but for its end; empty when no times are known.
  let times: [UInt8]

  init(_ profile: Profile, since before: Profile? = nil, hasCounts: Bool = false, _ options: FlameGraph.Options) {
    let tree = CallTree(profile, since: before)
    let labels = tree.names.map(FlameGraph.Label.init)
    var strings = StringIndex()
    let names = labels.map { strings.index(of: $0.text) }
    let modules = labels.map { strings.index(of: $0.module) }
    var threads = ThreadIndex()
    let decimals = max(profile.decimals, before?.decimals ?? 0)
    let withCounts = hasCounts && profile.unit != .samples
    let entries = FlameGraphEntries(profile, tree.nodeOfSample, decimals, &threads, hasCounts: withCounts)
    let earlier = before.map { FlameGraphEntries($0, tree.nodeOfEarlierSample, decimals, &threads, hasCounts: withCounts) }
    let threadNames = threads.all.map { strings.index(of: readableName($0.command)) }

    var json = ScriptJSON()
    json.bytes += #"{"unit":"#.utf8
    json.string(profile.unit.name)
    json.bytes += #","decimals":\#(decimals),"orientation":"\#(options.orientation.rawValue)","strings":"#.utf8
    json.strings(strings.all)
    json.object(
      "functions",
      [
        ("name", names), ("module", modules), ("kind", labels.map(\.kind.rawValue)), ("color", labels.map(FlameGraph.Palette.index(of:))),
      ])
    json.object("nodes", [("depth", tree.nodes.map(\.depth)), ("function", tree.nodes.map(\.name))])
    json.object(
      "threads",
      [
        ("name", threadNames), ("pid", threads.all.map { $0.pid.map(Int.init) ?? -1 }),
        ("tid", threads.all.map { $0.tid.map(Int.init) ?? -1 }),
      ])
    entries.write("entries", into: &json)
    earlier?.write("before", into: &json)
    json.bytes += #","kinds":"#.utf8
    json.strings(FlameGraph.Kind.allCases.map(\.label))
    json.bytes += #","legend":"#.utf8
    json.numbers(FlameGraph.Kind.allCases.map(FlameGraph.Palette.index(of:)))
    let palette = FlameGraph.Palette.self
    let colors = palette.colors + palette.modules + palette.changes
    json.bytes += #","colors":{"light":"#.utf8
    json.strings(colors.map(\.light))
    json.bytes += #","dark":"#.utf8
    json.strings(colors.map(\.dark))
    json.bytes += #"},"moduleColors":[\#(palette.colors.count),\#(palette.modules.count)]"#.utf8
    json.bytes += #","changeColor":\#(palette.colors.count + palette.modules.count + palette.changeSteps)}"#.utf8
    self.json = json.bytes
    times = before == nil ? entries.times(of: profile.moments) : []
  }
}

/// Each string once.
private struct StringIndex {
  private(set) var all: [String] = []
  private var indices: [String: Int] = [:]

  mutating func index(of text: String) -> Int {
    if let known = indices[text] { return known }
    indices[text] = all.count
    all.append(text)
    return all.count - 1
  }
}

/// JSON that may stand inside a `<script>` element: no `<` can end it, and no character in it ends a line of script.
package struct ScriptJSON {
  package var bytes: [UInt8] = []

  package init() {}

  /// A string with its quotes.
  package mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\":
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(UInt8(scalar.value))
      case "\0"..."\u{1F}", "<", ">", "&", "\u{7F}", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        bytes += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8
      default: bytes += Character(scalar).utf8
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  mutating func strings(_ texts: [String]) {
    list(texts) { $0.string($1) }
  }

  mutating func numbers(_ numbers: [Int]) {
    bytes.reserveCapacity(bytes.count + 6 * numbers.count)
    list(numbers) { $0.number($1) }
  }

  /// Most of a profile is small numbers: they are written without a string each.
  private mutating func number(_ number: Int) {
    if number < 0 { bytes.append(UInt8(ascii: "-")) }
    var rest = number.magnitude
    let start = bytes.count
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    } while rest > 0
    bytes[start...].reverse()
  }

  /// The next member of an object.
  mutating func numbers(_ name: String, _ numbers: [Int]) {
    bytes += ",\"\(name)\":".utf8
    self.numbers(numbers)
  }

  /// The next member of an object: columns of numbers.
  mutating func object(_ name: String, _ columns: [(name: String, numbers: [Int])]) {
    bytes += ",\"\(name)\":{".utf8
    for (index, column) in columns.enumerated() {
      bytes += "\(index > 0 ? "," : "")\"\(column.name)\":".utf8
      numbers(column.numbers)
    }
    bytes.append(UInt8(ascii: "}"))
  }

  private mutating func list<Element>(_ elements: some Sequence<Element>, _ write: (inout Self, Element) -> Void) {
    bytes.append(UInt8(ascii: "["))
    var isFirst = true
    for element in elements {
      if !isFirst { bytes.append(UInt8(ascii: ",")) }
      isFirst = false
      write(&self, element)
    }
    bytes.append(UInt8(ascii: "]"))
  }
}
