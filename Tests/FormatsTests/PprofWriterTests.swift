import Foundation
import Profiles
import TestSupport
import Testing

@testable import Formats

/// A program with an inlined call, the kernel and an unknown address; another with nothing known but text.
func sampleProfile(unit: Profile.Unit = .samples) -> Profile {
  var profile = Profile(unit: unit)
  let main = Frame(function: "main", module: "app", file: "main.swift", line: 3)
  let run = Frame(
    function: "App.Cache<A>.lookup(_:)", module: "app", file: "cache.swift", line: 41, mangled: "$s3App5CacheV6lookupyyF")
  let hash = Frame(function: "hash", module: "app", isInlined: true, file: "hash.swift", line: 7)
  let read = Frame(function: "vfs_read", module: "[kernel]", kind: .kernel)
  let delimiter = Frame(function: "-", kind: .marker)
  let unknown = Frame(function: "libx.so+0x1234", module: "libx.so")
  let app = Profile.Process(command: Array("app".utf8), pid: 1234, tid: 1235)
  profile.add(30, count: 3, stack: Stack([main, run, hash]), process: app)
  profile.add(20, count: 2, stack: Stack([main, run, delimiter, read]), process: app)
  profile.add(5, count: 1, stack: Stack([unknown]), process: Profile.Process(command: [0xff, 0x3b, 0x41]))
  return profile
}

/// What a decoder that knows nothing of ours reads in a file: one line for each element.
func decodedPprof(_ bytes: [UInt8]) throws -> [String] {
  let folder = try TemporaryFolder()
  try Data(bytes).write(to: URL(fileURLWithPath: "\(folder.path)/profile"))
  let finished = try run(["python3", try folder.file("decode.py", decoder), "\(folder.path)/profile"])
  #expect(finished.status == 0, "\(finished.errorText)")
  return finished.lines
}

private let decoder = #"""
  import gzip, sys
  data = gzip.open(sys.argv[1]).read()
  def varint(b, i):
    value = shift = 0
    while True:
      value |= (b[i] & 127) << shift; shift += 7; i += 1
      if b[i - 1] < 128: return value, i
  def fields(b):
    i = 0; out = []
    while i < len(b):
      key, i = varint(b, i)
      if key & 7 == 0: value, i = varint(b, i)
      elif key & 7 == 2:
        n, i = varint(b, i); assert i + n <= len(b); value = b[i:i + n]; i += n
      else: sys.exit("wire type %d" % (key & 7))
      out.append((key >> 3, value))
    return out
  def packed(b):
    i = 0; out = []
    while i < len(b): value, i = varint(b, i); out.append(value)
    return out
  top = fields(data)
  text = [v.decode() for f, v in top if f == 6]
  assert text[0] == "" and len(set(text)) == len(text)
  def one(m, field, default=0): return next((v for f, v in m if f == field), default)
  def ids(field):
    found = [one(fields(v), 1) for f, v in top if f == field]
    assert found == list(range(1, len(found) + 1)), found
  for field in 3, 4, 5: ids(field)
  functions = {one(m, 1): m for m in (fields(v) for f, v in top if f == 5)}
  for f, v in top:
    if f == 1 or f == 11: m = fields(v); print("type" if f == 1 else "period type", text[one(m, 1)], text[one(m, 2)])
    if f == 2:
      m = fields(v)
      labels = [fields(l) for g, l in m if g == 3]
      print("sample", packed(one(m, 1, b"")), packed(one(m, 2)), *["%s=%s" % (text[one(l, 1)], text[one(l, 2)] or one(l, 3)) for l in labels])
    if f == 3:
      m = fields(v)
      flags = [n for g, n in ((7, "functions"), (8, "filenames"), (9, "lines"), (10, "inlined")) if one(m, g)]
      print("mapping", one(m, 1), text[one(m, 5)], text[one(m, 6)] or "-", "%x-%x@%x" % (one(m, 2), one(m, 3), one(m, 4)), *flags)
    if f == 4:
      m = fields(v)
      for g, l in m:
        if g == 4:
          line = fields(l); function = functions[one(line, 1)]
          print("location", one(m, 1), "in", one(m, 2), "at %x" % one(m, 3), "|".join(text[one(function, i)] for i in (2, 3, 4)), one(line, 2))
    if f in (9, 10, 12): print(f, v)
    if f == 13: print("comments", [text[i] for i in packed(v)])
  """#

@Test func pprofIsWhatAnotherDecoderReads() throws {
  var recording = Recording()
  recording.startedAt = 1_700_000_000_000_000_001
  recording.duration = 10_000_000_000
  recording.period = 10_101_010
  recording.comments = ["swtrace profile -F 99"]
  recording.modules["app"] = Recording.Module(path: "/usr/bin/app", buildID: "00ff12", start: 0x400000, limit: 0x500000, fileOffset: 4096)
  #expect(
    try decodedPprof(PprofWriter.write(sampleProfile(), recording)) == [
      "type samples count",
      "type cpu nanoseconds",
      "sample [2, 1] [30, 303030300] comm=app pid=1234 tid=1235",
      "sample [4, 3, 1] [20, 202020200] comm=app pid=1234 tid=1235",
      #"sample [5] [5, 50505050] comm=\xFF;A"#,
      "mapping 1 /usr/bin/app 00ff12 400000-500000@1000 functions filenames lines inlined",
      "mapping 2 [kernel.kallsyms] - 0-0@0 functions",
      "mapping 3 libx.so - 0-0@0",
      "location 1 in 1 at 0 main|main|main.swift 3",
      "location 2 in 1 at 0 hash|hash|hash.swift 7",
      "location 2 in 1 at 0 App.Cache<A>.lookup(_:)|$s3App5CacheV6lookupyyF|cache.swift 41",
      "location 3 in 1 at 0 App.Cache<A>.lookup(_:)|$s3App5CacheV6lookupyyF|cache.swift 41",
      "location 4 in 2 at 0 vfs_read|vfs_read| 0",
      "location 5 in 3 at 0 libx.so+0x1234|| 0",
      "9 1700000000000000001",
      "10 10000000000",
      "period type cpu nanoseconds",
      "12 10101010",
      "comments ['swtrace profile -F 99']",
    ])
}

@Test func smallestPprofByteForByte() throws {
  var profile = Profile()
  profile.add(300, stack: Stack([Frame(function: "f")]), process: Profile.Process(command: []))
  #expect(
    PprofWriter.encode(profile) == [
      0x0a, 4, 0x08, 2, 0x10, 3,  // sample_type { type: 2 unit: 3 }
      0x12, 7, 0x0a, 1, 1, 0x12, 2, 0xac, 0x02,  // sample { location_id: [1] value: [300] }
      0x22, 6, 0x08, 1, 0x22, 2, 0x08, 1,  // location { id: 1 line { function_id: 1 } }
      0x2a, 6, 0x08, 1, 0x10, 1, 0x18, 1,  // function { id: 1 name: 1 system_name: 1 }
      0x32, 0, 0x32, 1, 0x66,  // "", "f", "samples", "count"
      0x32, 7, 0x73, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x73, 0x32, 5, 0x63, 0x6f, 0x75, 0x6e, 0x74,
    ])
}

@Test(
  arguments: [
    (.nanoseconds, true, ["type samples count", "type time nanoseconds", "sample [1] [3, 30]"]),
    (.microseconds, false, ["type time microseconds", "sample [1] [30]"]),
    (.bytes, true, ["type samples count", "type space bytes", "sample [1] [3, 30]"]),
    (.other("cache-misses"), false, ["type cache_misses count", "sample [1] [30]"]),
    (.other(""), false, ["type value count", "sample [1] [30]"]),
  ] as [(Profile.Unit, Bool, [String])])
func unitsBecomeValueTypes(_ unit: Profile.Unit, _ hasCounts: Bool, _ expected: [String]) throws {
  var profile = Profile(unit: unit)
  profile.add(30, count: 3, stack: Stack([Frame(function: "f")]), process: Profile.Process(command: []))
  var recording = Recording()
  recording.hasCounts = hasCounts
  #expect(try decodedPprof(PprofWriter.write(profile, recording)).prefix(expected.count) == expected[...])
}

@Test(arguments: [
  ("a;f 1.5", Profile.Unit.milliseconds, "type time microseconds", 1500, nil),
  ("a;f 0.0015", .milliseconds, "type time nanoseconds", 1500, nil),
  ("a;f 2.5", .microseconds, "type time nanoseconds", 2500, nil),
  ("a;f 2.5", .samples, "type samples count", 3, "comments ['values were rounded to whole samples']"),
  ("a;f 1.26", .nanoseconds, "type time nanoseconds", 1, "comments ['values were rounded to whole ns']"),
  ("a;f 18446744073709551615", .samples, "type samples count", 9_223_372_036_854_775_807, nil),
])
func fractionsMoveToASmallerUnitOrAreRounded(
  _ text: String, _ unit: Profile.Unit, _ type: String, _ value: Int, _ comment: String?
) throws {
  var recording = Recording()
  recording.hasCounts = false
  let lines = try decodedPprof(PprofWriter.write(try profile(text, unit: unit), recording))
  #expect(lines[0] == type)
  #expect(lines[1] == "sample [1] [\(value)] comm=a")
  #expect(lines.first { $0.hasPrefix("comments") } == comment)
}

@Test func gzipHoldsWhatWasPutIn() throws {
  for count in [0, 1, 65_535, 65_536, 300_000] {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    let packed = Gzip.compress(bytes)
    #expect(try Gzip.decompress(packed, limit: count) == bytes)
    // Two members are one file, as `cat a.gz b.gz` makes it.
    #expect(try Gzip.decompress(packed + packed, limit: 2 * count) == bytes + bytes)
    #expect(throws: Gzip.Failure.truncated) { try Gzip.decompress(Array(packed.dropLast()), limit: count) }
    if count > 0 { #expect(throws: Gzip.Failure.tooLarge) { try Gzip.decompress(packed, limit: count - 1) } }
  }
  #expect(throws: Gzip.Failure.damaged) { try Gzip.decompress(Array("not gzip".utf8), limit: 100) }
  #expect(throws: Gzip.Failure.truncated) { try Gzip.decompress([], limit: 100) }
}
