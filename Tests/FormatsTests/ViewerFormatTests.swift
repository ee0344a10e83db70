import Foundation
import Profiles
import TestSupport
import Testing

@testable import Formats

private func object(_ bytes: [UInt8]) throws -> [String: Any] {
  try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
}

/// What Python's strict parser makes of a program's expression over the file, as text.
private func python(_ expression: String, _ bytes: [UInt8]) throws -> String {
  let folder = try TemporaryFolder()
  try Data(bytes).write(to: URL(fileURLWithPath: "\(folder.path)/in.json"))
  let finished = try run([
    "python3", "-c", "import json,sys\np = json.load(open(sys.argv[1], encoding='utf-8'))\n\(expression)", "\(folder.path)/in.json",
  ])
  #expect(finished.status == 0, "\(finished.errorText)")
  return finished.outputText
}

@Test func speedscopeWholeFile() throws {
  var profile = Profile()
  let app = Profile.Process(command: Array("app".utf8), pid: 7, tid: 8)
  profile.add(2, stack: Stack([Frame(function: "main", file: "main.swift", line: 3), Frame(function: "f\"", line: 9)]), process: app)
  profile.add(1, stack: Stack([Frame(function: "main", file: "main.swift", line: 4)]), process: app)
  var recording = Recording()
  recording.title = "swtrace profile"
  #expect(
    String(decoding: SpeedscopeWriter.write(profile, recording), as: UTF8.self) == #"""
      {"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"swtrace","name":"swtrace profile",\#
      "activeProfileIndex":0,"shared":{"frames":[{"name":"main","file":"main.swift"},{"name":"f\""}]},"profiles":[\#
      {"type":"sampled","name":"app 7/8 (samples)","unit":"none","startValue":0,"endValue":3,"samples":[[0,1],[0]],"weights":[2,1]}]}

      """#)
}

@Test func speedscopeHasAllProcessesAndEach() throws {
  let bytes = SpeedscopeWriter.write(sampleProfile(unit: .nanoseconds))
  #expect(
    try python(
      """
      frames = [f["name"] for f in p["shared"]["frames"]]
      for q in p["profiles"]:
        assert len(q["samples"]) == len(q["weights"]) and q["endValue"] == sum(q["weights"])
        print(q["name"], q["unit"], q["endValue"])
        for s, w in zip(q["samples"], q["weights"]): print(" ", ";".join(frames[i] for i in s), w)
      """, bytes) == #"""
        all processes nanoseconds 55
          app;main;App.Cache<A>.lookup(_:);hash 30
          app;main;App.Cache<A>.lookup(_:);vfs_read 20
          \xFF;A;libx.so+0x1234 5
        app 1234/1235 nanoseconds 50
          main;App.Cache<A>.lookup(_:);hash 30
          main;App.Cache<A>.lookup(_:);vfs_read 20
        \xFF;A nanoseconds 5
          libx.so+0x1234 5

        """#)
}

@Test func speedscopeWeightsKeepFractions() throws {
  let text = String(decoding: SpeedscopeWriter.write(try profile("a;f 1.5\na;g 0.25", unit: .other("widgets"))), as: UTF8.self)
  #expect(text.contains(#""name":"a (widgets)","unit":"none","startValue":0,"endValue":1.75"#))
  #expect(text.contains(#""weights":[1.5,0.25]"#))
  let empty = try object(SpeedscopeWriter.write(Profile()))
  #expect((empty["profiles"] as? [Any])?.isEmpty == true)
}

/// Follows every index of the file, as a viewer does.
private let walkFirefox = #"""
  shared = p["shared"]; text = shared["stringArray"]
  def check(t):
    for key, column in t.items():
      if isinstance(column, list): assert len(column) == t["length"], key
  for key, t in shared.items():
    if key != "stringArray": check(t)
  stacks, frames, funcs, resources = (shared[k] for k in ("stackTable", "frameTable", "funcTable", "resourceTable"))
  categories = [c["name"] for c in p["meta"]["categories"]]
  def frame(i):
    f = frames["func"][i]; r = funcs["resource"][f]; s = funcs["source"][f]
    return "%s[%s %s:%s %s %d]" % (text[funcs["name"][f]], text[resources["name"][r]] if r >= 0 else "-",
      text[shared["sources"]["filename"][s]] if s is not None else "-", frames["line"][i], categories[frames["category"][i]],
      frames["inlineDepth"][i])
  def stack(i):
    out = []
    while True:
      out.insert(0, frame(stacks["frame"][i])); offset = stacks["prefixOffset"][i]
      assert 0 <= offset <= i
      if offset == 0: return out
      i -= offset
  print(p["meta"]["startTime"], p["meta"]["interval"], [l["name"] + " " + l["path"] for l in p["libs"]])
  for t in p["threads"]:
    assert isinstance(t["pid"], str) and isinstance(t["tid"], int)
    samples = t["samples"]; check(samples)
    print(t["name"], t["pid"], t["tid"], t["isMainThread"], samples["weightType"])
    for i, d, w in zip(samples["stack"], samples["timeDeltas"], samples["weight"]): print(" ", d, w, *(stack(i) if i is not None else ["-"]))
  """#

@Test func firefoxIsFollowedByItsIndices() throws {
  var recording = Recording()
  recording.startedAt = 1_700_000_000_123_000_000
  recording.period = 10_000_000
  recording.modules["app"] = Recording.Module(path: "/usr/bin/app", buildID: "00ff")
  let bytes = FirefoxWriter.write(sampleProfile(), recording)
  #expect(
    try python(walkFirefox, bytes) == #"""
      1700000000123 10 ['app /usr/bin/app', '[kernel] [kernel]', 'libx.so libx.so']
      app 1234 1235 False samples
        0 30 main[app main.swift:3 User 0] App.Cache<A>.lookup(_:)[app cache.swift:41 User 0] hash[app hash.swift:7 User 1]
        300 20 main[app main.swift:3 User 0] App.Cache<A>.lookup(_:)[app cache.swift:41 User 0] vfs_read[[kernel] -:None Kernel 0]
      \xFF;A 1 1 True samples
        0 5 libx.so+0x1234[libx.so -:None User 0]

      """#)
  let file = try object(bytes)
  #expect((file["meta"] as? [String: Any])?["preprocessedProfileVersion"] as? Int == 66)
  #expect(((file["libs"] as? [[String: Any]])?.first)?["codeId"] as? String == "00ff")
}

@Test func firefoxTimesAreMilliseconds() throws {
  var profile = Profile(unit: .nanoseconds)
  for value in [1_500_000, 250] as [UInt64] {
    profile.add(value, stack: Stack([Frame(function: "f\(value)")]), process: Profile.Process(command: Array("a".utf8)))
  }
  profile.add(2_000_000, stack: Stack(), process: Profile.Process(command: Array("a".utf8)))
  #expect(
    try python(walkFirefox, FirefoxWriter.write(profile)) == """
      0 1 []
      a 0 0 True tracing-ms
        0 1.5 f1500000[- -:None User 0]
        1.5 0.00025 f250[- -:None User 0]
        0.00025 2 -

      """)
}

/// Any names and shapes at all: every file is valid JSON, and its weights add up.
@Test func anyProfileIsValidJSON() throws {
  var state: UInt64 = 7
  func below(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(bound))
  }
  func text() -> String { String(decoding: (0..<below(8)).map { _ in UInt8(below(256)) }, as: UTF8.self) }
  for _ in 0..<300 {
    var profile = Profile(unit: [.samples, .nanoseconds, .bytes, .other(text())][below(4)])
    for _ in 0...below(6) {
      let frames = (0..<below(6)).map { _ in
        Frame(
          function: below(9) == 0 ? "-" : text(), module: text(), kind: [.user, .kernel, .marker][below(3)], isInlined: below(2) == 0,
          file: below(2) == 0 ? text() : nil, line: UInt32(below(3)), mangled: below(2) == 0 ? text() : nil)
      }
      let command = (0..<below(5)).map { _ in UInt8(below(256)) }
      profile.add(UInt64(below(50)), stack: Stack(frames), process: Profile.Process(command: command, pid: UInt32(below(3))))
    }
    let speedscope = try object(SpeedscopeWriter.write(profile))
    let profiles = try #require(speedscope["profiles"] as? [[String: Any]])
    let whole = profiles.first?["endValue"] as? Int
    #expect(whole == (profile.samples.isEmpty ? nil : Int(profile.total)))
    let firefox = try object(FirefoxWriter.write(profile))
    #expect(firefox["threads"] is [Any])
  }
}
