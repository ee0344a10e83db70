import Profiles
import Testing

@testable import Formats

func svg(_ text: String, _ options: FlameGraph.Options = .init()) throws -> String {
  String(decoding: FlameGraph.svg(try profile(text), options: options), as: UTF8.self)
}
func html(_ text: String, _ options: FlameGraph.Options = .init()) throws -> String {
  String(decoding: FlameGraph.html(try profile(text), options: options), as: UTF8.self)
}
/// The page's data.
func data(_ html: String) throws -> Substring {
  let start = try #require(html.firstRange(of: "id=\"profile\">")).upperBound
  let end = try #require(html[start...].firstRange(of: "</script>")).lowerBound
  return html[start..<end]
}
/// The picture without its style sheet, which is the palette's affair.
func body(_ svg: String) throws -> String {
  let end = try #require(svg.firstRange(of: "</style>\n")).upperBound
  return String(svg[end...])
}

@Test func aWholePicture() throws {
  let picture = try svg("app;main;read_[k] 3\napp;main 1\n", .init(title: "cat <file>", details: ["10 s at 99 Hz"], width: 420))
  #expect(picture.hasPrefix(#"<svg xmlns="http://www.w3.org/2000/svg" width="420" height="170" viewBox="0 0 420 170" role="img""#))
  #expect(picture.contains(#" aria-label="cat &lt;file&gt;">"#))
  #expect(
    try body(picture) == """
      <rect class="page" width="100%" height="100%"/>
      <text class="title" x="210" y="24">cat &lt;file&gt;</text>
      <text class="detail" x="210" y="42">10 s at 99 Hz</text>
      <g><title>all
      self 0 samples (0%)
      total 4 samples (100.00%)</title><rect class="c30" x="10" y="109" width="399.5" height="16" rx="1"/><text x="13" y="121.5">all</text></g>
      <g><title>app [process]
      self 0 samples (0%)
      total 4 samples (100.00%)</title><rect class="c29" x="10" y="92" width="399.5" height="16" rx="1"/><text x="13" y="104.5">app</text></g>
      <g><title>main
      self 1 sample (25.00%)
      total 4 samples (100.00%)</title><rect class="c8" x="10" y="75" width="399.5" height="16" rx="1"/><text x="13" y="87.5">main</text></g>
      <g><title>read [kernel]
      self 3 samples (75.00%)
      total 3 samples (75.00%)</title><rect class="c19" x="10" y="58" width="299.5" height="16" rx="1"/><text x="13" y="70.5">read</text></g>
      <text class="note" x="10" y="150">4 samples in all</text>
      <text class="note" x="359.25" y="150">process</text>
      <rect class="c29" x="343.25" y="140" width="12" height="12" rx="2"/>
      <text class="note" x="285.75" y="150">kernel</text>
      <rect class="c16" x="269.75" y="140" width="12" height="12" rx="2"/>
      <text class="note" x="226.75" y="150">user</text>
      <rect class="c10" x="210.75" y="140" width="12" height="12" rx="2"/>
      </svg>

      """)
}

@Test func anIciclePutsTheRootOnTop() throws {
  func tops(_ orientation: FlameGraph.Orientation) throws -> [String] {
    try body(svg("a;b;c 1", .init(orientation: orientation))).matches(of: /y="([0-9.]+)" width="1179.5"/).map { String($0.1) }
  }
  #expect(try tops(.icicle) == ["42", "59", "76", "93"])
  #expect(try tops(.flame) == ["93", "76", "59", "42"])
}

@Test func narrowFramesAreCountedNotDrawn() throws {
  let picture = try svg("app;wide 9990\napp;edge 10\napp;thin;thinner 9\napp;hair 1\n")
  #expect(picture.contains(">wide\n") && !picture.contains(">thin\n") && !picture.contains(">hair\n"))
  #expect(picture.contains(">10,010 samples in all; 4 frames narrower than 0.1% of the width are not drawn</text>"))
  #expect(try svg("a;b 999\na;c 1\n").contains(">1,000 samples in all</text>"))
  #expect(try svg("a;b 9999\na;c 1\n").contains("; 1 frame narrower than 0.1% of the width is not drawn</text>"))
}

@Test func namesAreCutToFit() throws {
  let long = String(repeating: "long_name", count: 40)
  #expect(try svg("app;\(long) 1").contains(">" + long.prefix(160) + "…</text>"))
  // Wide characters take two columns: 161 columns hold 80 of them.
  let wide = String(repeating: "語", count: 200)
  #expect(try svg("app;\(wide) 1").contains(">" + wide.prefix(80) + "…</text>"))
  #expect(try svg("app;ab 1\napp;b 300").contains("<text x=\"13\" y=\"71.5\">b</text>") == false)
}

@Test func hostileNamesStayText() throws {
  var profile = Profile()
  let name = "</title></script><script>alert(\"1\")&'\u{0}\u{1B}\u{2028}\u{FFFE}"
  profile.add(1, stack: Stack([Frame(function: name, module: "<b>.so")]), process: Profile.Process(command: [60, 0xFF, 62]))
  let options = FlameGraph.Options(title: name, details: [name])
  let picture = String(decoding: FlameGraph.svg(profile, options: options), as: UTF8.self)
  #expect(!picture.contains("<script") && !picture.contains("<b>"))
  #expect(!picture.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
  #expect(!picture.unicodeScalars.contains("\u{FFFE}"))
  #expect(picture.contains("&lt;/title&gt;&lt;/script&gt;&lt;script&gt;alert(&quot;1&quot;)&amp;&#39;\\x00\\x1B"))
  #expect(picture.contains("<title>&lt;\\xFF&gt; [process]"))
  let page = String(decoding: FlameGraph.html(profile, options: options), as: UTF8.self)
  #expect(page.ranges(of: "<script").count == 2 && page.ranges(of: "</script").count == 2)
  let json = try data(page)
  #expect(!json.contains("<") && !json.contains("\u{2028}") && !json.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
  #expect(json.contains(#"\u003c/title\u003e\u003c/script\u003e\u003cscript\u003ealert(\"1\")\u0026'\\x00\\x1B\u2028"#))
}

@Test func thePagesData() throws {
  let json = try data(html("app;main;read_[k] 3\napp;main 1\nb;[unknown];main 2.5\n", .init(orientation: .icicle)))
  let end = try #require(json.firstRange(of: #","kinds""#)).lowerBound
  #expect(
    json[..<end] == """
      {"unit":"samples","decimals":1,"orientation":"icicle","strings":["all","app","main","read","b","[unknown]",""],\
      "functions":{"name":[0,1,2,3,4,5],"module":[6,6,6,6,6,6],"kind":[5,4,0,1,4,3],"color":[30,29,8,19,29,28]},\
      "nodes":{"depth":[0,1,2,3,1,2,3],"function":[0,1,2,3,4,5,2]},"threads":{"name":[1,4],"pid":[-1,-1],"tid":[-1,-1]},\
      "entries":{"node":[2,1,3],"thread":[0,0,1],"value":[10,30,25]}
      """)
}

@Test func thePageKeepsThreadsApart() {
  var measured = Profile()
  let stack = Stack([Frame(function: "main")])
  for tid in [7, 8] as [UInt32] { measured.add(UInt64(tid), stack: stack, process: Profile.Process(command: [0x61], pid: 7, tid: tid)) }
  let page = String(decoding: FlameGraph.html(measured), as: UTF8.self)
  #expect(page.contains(#""threads":{"name":[1,1],"pid":[7,7],"tid":[7,8]},"entries":{"node":[2,0],"thread":[0,1],"value":[7,8]}"#))
}

@Test func thePageHasTheTimesOfItsSamples() throws {
  var measured = Profile(unit: .nanoseconds)
  let (first, second) = (Stack([Frame(function: "f")]), Stack([Frame(function: "g")]))
  let process = Profile.Process(command: [0x61], pid: 7)
  measured.add(30, count: 2, stack: second, process: process)
  measured.add(5, stack: first, process: process)
  #expect(!String(decoding: FlameGraph.html(measured), as: UTF8.self).contains("id=\"times\""))
  let at = { (time: UInt64, value: UInt64, sample: Int, thread: UInt32) in
    Moments.Moment(time: 5_000_000_000 + time, value: value, sample: sample, thread: thread)
  }
  for moment in [at(2_000_000, 10, 0, 8), at(0, 5, 1, 7), at(1_999_999, 20, 0, 7)] { measured.moments.append(moment) }
  let page = String(decoding: FlameGraph.html(measured), as: UTF8.self)
  // f of thread 7; g of threads 8 and 7, in the order in which they came.
  #expect(
    page.contains(#""threads":{"name":[1,1],"pid":[7,7],"tid":[8,7]},"entries":{"node":[2,1,0],"thread":[1,0,1],"value":[5,10,20]}"#))
  #expect(page.contains(#"id="times">{"step":100000,"time":[0,19,1],"entry":[0,2,1],"value":[5,20,10]}</script>"#))
}

@Test func tooManyTimesAreSaidNotShown() {
  var measured = Profile()
  measured.moments = Moments(limit: 2)
  let sample = measured.add(3, stack: Stack([Frame(function: "f")]), process: process("a")) ?? 0
  for time in 0..<2 as Range<UInt64> { measured.moments.append(Moments.Moment(time: time, value: 1, sample: sample)) }
  #expect(measured.moments.all.count == 2 && !measured.moments.isOverfull)
  measured.moments.append(Moments.Moment(time: 2, value: 1, sample: sample))
  #expect(measured.moments.all.isEmpty && measured.moments.isOverfull)
  let page = String(decoding: FlameGraph.html(measured), as: UTF8.self)
  #expect(
    page.contains(#"id="times">{"step":100000,"limit":2}</script>"#) && page.contains(#""entries":{"node":[2],"thread":[0],"value":[3]}"#))
}

@Test func aComparisonsPageHasBothProfiles() throws {
  let after = try profile("a;f 3\na;new 1")
  let before = try profile("a;f 1.5\na;gone 2")
  let page = String(decoding: FlameGraph.html(after, since: before), as: UTF8.self)
  // f, gone, new in the order of their names; values in tenths, as those before have them.
  #expect(page.contains(#""entries":{"node":[2,2],"thread":[0,0],"value":[30,10]},"before":{"node":[2,1],"thread":[0,0],"value":[15,20]}"#))
  let waits = try profile("a;f 3", unit: .microseconds)
  #expect(
    String(decoding: FlameGraph.html(waits, since: waits), as: UTF8.self)
      .contains(#""value":[3],"count":[1]},"before":{"node":[2],"thread":[0],"value":[3],"count":[1]}"#))
  #expect(!String(decoding: FlameGraph.html(waits, since: waits, hasCounts: false), as: UTF8.self).contains(#""count":["#))
}

@Test func anEmptyProfileIsSaidToBeEmpty() {
  let picture = String(decoding: FlameGraph.svg(Profile()), as: UTF8.self)
  #expect(picture.contains(">Nothing was measured.</text>") && picture.contains(">0 samples in all</text>"))
  #expect(String(decoding: FlameGraph.html(Profile()), as: UTF8.self).contains(#""nodes":{"depth":[0],"function":[0]}"#))
}

@Test func thePageLoadsNothing() throws {
  let page = try html("app;main 1")
  #expect(page.contains("default-src 'none'"))
  for loader in ["http://", "https://", "src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest", "innerHTML", "eval("] {
    #expect(!page.contains(loader), "\(loader)")
  }
}

@Test func colorsFollowKindAndModule() {
  func color(_ function: String, _ module: String = "", _ kind: Frame.Kind = .user, inlined: Bool = false) -> Int {
    FlameGraph.Palette.index(of: FlameGraph.Label(.function(Frame(function: function, module: module, kind: kind, isInlined: inlined))))
  }
  #expect(FlameGraph.Palette.colors.count == 31)
  #expect(FlameGraph.Palette.colors.flatMap { [$0.light, $0.dark] }.allSatisfy { $0.wholeMatch(of: /#[0-9a-f]{6}/) != nil })
  let functions = (0..<200).map { "function\($0)" }
  // One module, one hue in two shades; kinds never share a color.
  #expect(Set(functions.map { color($0, "libc.so.6") / 2 }).count == 1)
  #expect(Set(functions.map { color($0) }) == Set(0..<16))
  #expect(Set(functions.map { color($0, "[kernel]", .kernel) }) == Set(16..<22))
  #expect(Set(functions.map { color($0, inlined: true) }) == Set(22..<28))
  #expect(color("[unknown]", "", .marker) == 28)
  #expect(color("main", "app") == color("main", "app"))
}
