package import Profiles

extension FlameGraph {
  /// A page to explore the profile with: search, zoom, tooltips, keyboard, light and dark; one file that works offline.
  ///
  /// The page's content security policy forbids it every connection. The profile is inside as JSON: a string table and arrays by node.
  package static func html(_ profile: Profile, options: Options = Options()) -> [UInt8] {
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
    return Array(text.utf8) + PageData(profile, options).json
      + Array(
        """
        </script>
        <script>
        "use strict";
        (() => {
        \(Page.model)
        \(Page.drawing)
        \(Page.controls)
        })();
        </script>
        </body>
        </html>

        """.utf8)
  }

  /// The parts of the page that do not depend on the profile.
  enum Page {}
}

/// The profile as the page's script reads it:
/// ```
/// {"unit", "decimals", "orientation",
///  "strings":   ["main", …],
///  "functions": {"name": [string], "module": [string], "kind": [FlameGraph.Kind], "color": [color]},
///  "nodes":     {"depth": [number], "function": [function], "self": [value]},      callers before callees, depth first
///  "kinds": [label], "legend": [color], "colors": {"light": [color], "dark": [color]}}
/// ```
private struct PageData {
  let json: [UInt8]

  init(_ profile: Profile, _ options: FlameGraph.Options) {
    let tree = CallTree(profile)
    let labels = tree.names.map(FlameGraph.Label.init)
    var strings = StringIndex()
    let names = labels.map { strings.index(of: $0.text) }
    let modules = labels.map { strings.index(of: $0.module) }
    let colors = FlameGraph.Palette.colors

    var json = ScriptJSON()
    json.bytes += #"{"unit":"#.utf8
    json.string(profile.unit.name)
    json.bytes += #","decimals":\#(profile.decimals),"orientation":"\#(options.orientation.rawValue)","strings":"#.utf8
    json.strings(strings.all)
    json.bytes += #","functions":{"name":"#.utf8
    json.numbers(names)
    json.bytes += #","module":"#.utf8
    json.numbers(modules)
    json.bytes += #","kind":"#.utf8
    json.numbers(labels.map(\.kind.rawValue))
    json.bytes += #","color":"#.utf8
    json.numbers(labels.map(FlameGraph.Palette.index(of:)))
    json.bytes += #"},"nodes":{"depth":"#.utf8
    json.numbers(tree.nodes.lazy.map(\.depth))
    json.bytes += #","function":"#.utf8
    json.numbers(tree.nodes.lazy.map(\.name))
    json.bytes += #","self":"#.utf8
    json.numbers(tree.nodes.lazy.map(\.selfValue))
    json.bytes += #"},"kinds":"#.utf8
    json.strings(FlameGraph.Kind.allCases.map(\.label))
    json.bytes += #","legend":"#.utf8
    json.numbers(FlameGraph.Kind.allCases.map(FlameGraph.Palette.index(of:)))
    json.bytes += #","colors":{"light":"#.utf8
    json.strings(colors.map(\.light))
    json.bytes += #","dark":"#.utf8
    json.strings(colors.map(\.dark))
    json.bytes += "}}".utf8
    self.json = json.bytes
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
struct ScriptJSON {
  var bytes: [UInt8] = []

  mutating func string(_ text: String) {
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

  mutating func numbers(_ numbers: some Sequence<some BinaryInteger>) {
    list(numbers) { $0.bytes += String($1).utf8 }
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
