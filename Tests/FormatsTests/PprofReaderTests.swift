import Profiles
import Testing

@testable import Formats

/// A message from its fields, for files that no writer would write.
private func message(_ build: (inout ProtobufEncoder) -> Void) -> [UInt8] {
  var encoder = ProtobufEncoder()
  build(&encoder)
  return encoder.bytes
}

/// `["", "samples", "count", "time", "nanoseconds", …]` and one sample type, `samples`.
private func file(_ strings: [String] = [], _ build: (inout ProtobufEncoder) -> Void) -> [UInt8] {
  message { file in
    file.append(1) {
      $0.append(1, 1)
      $0.append(2, 2)
    }
    build(&file)
    for string in ["", "samples", "count", "time", "nanoseconds"] + strings { file.append(6, string.utf8) }
  }
}

private func refusal(_ bytes: [UInt8], type: String? = nil) -> String {
  do { _ = try PprofReader.read(bytes, type: type) } catch { return error.description }
  return "accepted"
}

@Test(arguments: [Profile.Unit.samples, .nanoseconds, .microseconds, .milliseconds, .bytes, .other("misses")])
func pprofReadsAsItWasWritten(_ unit: Profile.Unit) throws {
  let written = sampleProfile(unit: unit)
  var recording = Recording()
  recording.startedAt = 5
  recording.duration = 6
  recording.comments = ["a", "b"]
  recording.modules["app"] = Recording.Module(path: "/usr/bin/app", buildID: "00ff12", start: 1, limit: 2, fileOffset: 3)
  let bytes = PprofWriter.write(written, recording)
  let result = try PprofReader.read(bytes)
  #expect(result.profile.unit == unit)
  #expect(result.profile.processes == [written.processes[0], Profile.Process(command: Array(#"\xFF;A"#.utf8))])
  #expect(result.profile.samples.map(\.value) == [30, 20, 5])
  #expect(result.profile.samples.map(\.count) == (unit == .samples ? [30, 20, 5] : [3, 2, 1]))
  for (mine, theirs) in zip(written.samples, result.profile.samples) {
    // The delimiter is left out: mappings say which frames are the kernel's.
    #expect(result.profile.stacks[theirs.stack].frames == written.stacks[mine.stack].frames.filter { !$0.isDelimiter })
  }
  #expect((result.recording.startedAt, result.recording.duration) == (5, 6))
  #expect(result.recording.comments == ["a", "b"] && result.recording.modules == recording.modules)
  #expect(try PprofReader.read(PprofWriter.encode(written, recording)).profile.samples == result.profile.samples)
  // Once more gives the same bytes.
  #expect(PprofWriter.write(result.profile, result.recording) == bytes || unit == .samples)
}

@Test func theTypeOfTheValuesIsChosen() throws {
  var recording = Recording()
  recording.period = 100
  let bytes = PprofWriter.write(sampleProfile(), recording)
  let byDefault = try PprofReader.read(bytes)
  #expect(byDefault.profile.unit == .nanoseconds && byDefault.profile.total == 5_500)
  #expect(byDefault.profile.samples.map(\.count) == [30, 20, 5])
  let samples = try PprofReader.read(bytes, type: "samples")
  #expect(samples.profile.unit == .samples && samples.profile.total == 55)
  #expect(refusal(bytes, type: "alloc") == "it has no values called 'alloc'; it has samples, cpu")
}

/// What other writers do: unpacked numbers, ids in any order, tables before and after, no labels, unknown fields.
@Test func otherWritersFilesAreRead() throws {
  let bytes = file(["/usr/bin/server", "work", "inner", "[xfs]", "[kernel.kallsyms]_text"]) { file in
    file.append(2) { sample in
      for id in [9, 2, 1] as [UInt64] { sample.append(1, id) }
      sample.append(2, 4)
      sample.append(77, 1)
    }
    file.append(99, "skipped".utf8)
    file.append(4) {
      $0.append(1, 2)
      $0.append(2, 8)
    }
    file.append(4) {
      $0.append(1, 9)
      $0.append(2, 4)
      $0.append(3, 0x1234)
    }
    file.append(4) { location in
      location.append(1, 1)
      location.append(2, 3)
      for function in [6, 5] as [UInt64] {
        location.append(4) {
          $0.append(1, function)
          $0.append(2, function + 10)
        }
      }
    }
    for (id, name) in [(5, 6), (6, 7)] as [(UInt64, UInt64)] {
      file.append(5) {
        $0.append(1, id)
        $0.append(2, name)
      }
    }
    for (id, name) in [(3, 5), (4, 8), (8, 9)] as [(UInt64, UInt64)] {
      file.append(3) {
        $0.append(1, id)
        $0.append(5, name)
      }
    }
  }
  let profile = try PprofReader.read(bytes).profile
  #expect(profile.processes == [Profile.Process(command: Array("server".utf8))])
  #expect(
    profile.stacks[profile.samples[0].stack].frames == [
      Frame(function: "work", module: "server", line: 15), Frame(function: "inner", module: "server", isInlined: true, line: 16),
      Frame(function: "[kernel]+0x0", module: "[kernel]", kind: .kernel), Frame(function: "xfs+0x1234", module: "xfs", kind: .kernel),
    ])
}

private func sample(_ location: UInt64, _ value: UInt64 = 1) -> [UInt8] {
  message {
    $0.append(1, packed: [location])
    $0.append(2, packed: [value])
  }
}
private func location(_ id: UInt64, function: UInt64, mapping: UInt64 = 0) -> [UInt8] {
  message { location in
    location.append(1, id)
    location.append(2, mapping)
    location.append(4) { $0.append(1, function) }
  }
}
private func function(_ id: UInt64, name: UInt64) -> [UInt8] {
  message {
    $0.append(1, id)
    $0.append(2, name)
  }
}

@Test func whatIsMissingOrContradictoryIsNamed() {
  let f = ["f"]
  let good = file(f) {
    $0.append(2, sample(1))
    $0.append(4, location(1, function: 1))
    $0.append(5, function(1, name: 5))
  }
  #expect(refusal(good) == "accepted")
  #expect(refusal(file { $0.append(2, sample(1)) }) == "sample 1 refers to location 1, which is missing")
  #expect(
    refusal(
      file {
        $0.append(2, sample(1))
        $0.append(4, location(1, function: 7))
      })
      == "a location refers to function 7, which is missing")
  #expect(
    refusal(
      file {
        $0.append(2, sample(1))
        $0.append(4, location(1, function: 1, mapping: 3))
      })
      == "a location refers to mapping 3, which is missing")
  #expect(
    refusal(
      file {
        $0.append(2, sample(1))
        $0.append(4, location(1, function: 1))
        $0.append(5, function(1, name: 5))
      })
      == "it refers to string 5 of 5")
  #expect(refusal(file { $0.append(5, function(0, name: 1)) }) == "one of its functions has no id")
  #expect(
    refusal(
      file {
        $0.append(5, function(2, name: 1))
        $0.append(5, function(2, name: 1))
      }) == "two of its functions have the id 2")
  #expect(
    refusal(
      file {
        $0.append(4, location(2, function: 1))
        $0.append(4, location(2, function: 1))
      }) == "two of its locations have the id 2")
  #expect(refusal(file { $0.append(2, message { _ in }) }) == "sample 1 has fewer values than there are types, 1")
  #expect(refusal(file { $0.append(2, message { $0.append(2, packed: [1, 2]) }) }) == "sample 1 has more values than there are types, 1")
  #expect(
    refusal(file { $0.append(2, message { $0.append(2, packed: [UInt64(bitPattern: -5)]) }) })
      == "sample 1 has the value -5: it is a difference of two profiles; take these themselves")
  #expect(refusal(file { _ in }) == "it has no samples")
  #expect(refusal(file { $0.append(2, message { $0.append(2, packed: [0]) }) }) == "all its samples have the value 0")
  #expect(refusal([]) == "it has no table of strings; it is no pprof file")
  #expect(refusal(message { $0.append(6, "".utf8) }) == "it does not say what its values are; it is no pprof file")
}

@Test(
  arguments: [
    ([0x0a], "it ends in the middle of a field, or a length in it is wrong"),
    ([0x0a, 0x80], "it ends in the middle of a field, or a length in it is wrong"),
    ([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "it ends in the middle of a field, or a length in it is wrong"),
    ([0x48] + [UInt8](repeating: 0x80, count: 10) + [1], "a number in it has more than 64 bits"),
    ([0x48, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "a number in it has more than 64 bits"),
    ([0x0b], "a field in it has the wire type 3, which pprof does not use"),
    ([0x02, 0], "a field in it has the number 0; it is no pprof file"),
    ([0x08, 1], "the field 1 of a message in it has the wrong type; it is no pprof file"),
    ([0x32, 0, 0x4a, 0], "the field 9 of a message in it has the wrong type; it is no pprof file"),
    ([0x1f, 0x8b], "its gzip data ends too early"),
    ([0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], "its gzip data is damaged"),
  ] as [([UInt8], String)])
func damagedBytesAreRefused(_ bytes: [UInt8], _ expected: String) { #expect(refusal(bytes) == expected) }

@Test func bombsAreRefused() throws {
  let bomb = Gzip.compress([UInt8](repeating: 0, count: 6 << 20))
  #expect(bomb.count < 16 << 10)
  #expect(throws: PprofError("decompressed it is larger than 4 MiB")) { try PprofReader.decompressed(bomb, limit: 4 << 20) }

  // A short reference to a long chain: 2 bytes for each 4096 frames.
  let lines = message { location in
    location.append(1, 1)
    for _ in 0..<PprofReader.depthLimit { location.append(4) { $0.append(1, 1) } }
  }
  func deep(_ references: Int) -> [UInt8] {
    file(["f"]) { file in
      file.append(
        2,
        message {
          $0.append(1, packed: .init(repeating: 1, count: references))
          $0.append(2, packed: [1])
        })
      file.append(4, lines)
      file.append(5, function(1, name: 5))
    }
  }
  #expect(try PprofReader.read(deep(1)).profile.stacks.count == PprofReader.depthLimit + 1)
  #expect(refusal(deep(2)) == "sample 1 has more than 4096 frames")
  #expect(refusal(deep(5000)) == "sample 1 has more than 4096 frames")

  // 15 samples of 4 KiB that would be 2.3 GiB of text.
  let name = String(repeating: "x", count: 40_000)
  let stack = message {
    $0.append(1, packed: .init(repeating: 1, count: 4096))
    $0.append(2, packed: [1])
  }
  #expect(
    refusal(
      file([name]) { file in
        for _ in 0..<15 { file.append(2, stack) }
        file.append(4, location(1, function: 1))
        file.append(5, function(1, name: 5))
      }) == "its stacks have more than 2048 MiB as text")
  #expect(
    refusal(file { for index in 1...UInt64(PprofReader.mappingLimit + 1) { $0.append(3, message { $0.append(1, index) }) } })
      == "it has more than 65536 mappings")
  #expect(refusal(file { for _ in 0..<65 { $0.append(1, []) } }) == "it has more than 64 types of values")
  let long = String(repeating: "x", count: PprofReader.nameLimit + 1)
  #expect(
    refusal(
      file([long]) {
        $0.append(2, sample(1))
        $0.append(4, location(1, function: 1))
        $0.append(5, function(1, name: 5))
      })
      == "string 5 is longer than 65536 bytes")
}

/// Whatever is done to a file, it is read or refused, and what is read adds up.
@Test func mutatedFilesAreReadOrRefused() throws {
  var state: UInt64 = 20_262
  func below(_ bound: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(bound))
  }
  var recording = Recording()
  recording.period = 10
  recording.comments = ["c"]
  let seed = PprofWriter.encode(sampleProfile(), recording)
  var (read, refused) = (0, 0)
  for _ in 0..<3_000 {
    var bytes = seed
    for _ in 0...below(3) {
      let position = below(bytes.count)
      switch below(8) {
      case 0: bytes.insert(UInt8(below(256)), at: position)
      case 1: bytes.remove(at: position)
      case 2: bytes.removeLast(below(min(bytes.count, 20)))
      case 3, 4: bytes[position] = UInt8(below(256))
      default: bytes[position] ^= 1 << below(8)
      }
    }
    do {
      let profile = try PprofReader.read(bytes).profile
      read += 1
      #expect(profile.total == profile.samples.reduce(0) { $0 + $1.value })
      #expect(try FoldedParser.parse(FoldedWriter.write(profile)).total == profile.total)
    } catch let error as PprofError {
      refused += 1
      #expect(!error.description.isEmpty && !error.description.utf8.contains { $0 < 0x20 })
    }
  }
  #expect(read > 200 && refused > 500, "the mutations reach both ends: \(read) read, \(refused) refused")
  for count in 0..<seed.count { _ = refusal(Array(seed.prefix(count))) }
  let packed = Gzip.compress(seed)
  for index in packed.indices {
    var bytes = packed
    bytes[index] ^= 0x10
    _ = refusal(bytes)
  }
}
