import CUnwind
import DebugInfo
import Testing

/// A stack in memory, the code that runs on it, and the walk of the probes over both, compiled for user space.
private final class Scene {
  /// From address `bottom` on, one word after another.
  var words: [UInt64]
  let bottom: UInt64
  /// By the first address that a rule holds for, ascending.
  var rules: [(start: UInt64, rule: UnwindRule)]
  /// Asked for in this order.
  var lookups: [UInt64] = []

  init(bottom: UInt64 = 0x7ff0_0000, words: Int = 64, rules: [(UInt64, UnwindRule)]) {
    self.bottom = bottom
    self.words = [UInt64](repeating: 0, count: words)
    self.rules = rules
  }

  subscript(address: UInt64) -> UInt64 {
    get { words[Int((address - bottom) / 8)] }
    set { words[Int((address - bottom) / 8)] = newValue }
  }

  /// The frames, and why they end.
  func walk(ip: UInt64, sp: UInt64, bp: UInt64 = 0, r14: UInt64 = 0) -> (
    frames: [UInt64], ending: swtrace_unwind_ending, state: swtrace_unwinder
  ) {
    lookups = []
    var walk = swtrace_walk()
    (walk.state.ip, walk.state.sp, walk.state.bp, walk.state.r14, walk.state.is_leaf) = (ip, sp, bp, r14, 1)
    walk.state.async_at = UInt8(SWTRACE_NO_ASYNC)
    walk.stack_start = bottom
    walk.stack_size = UInt64(words.count * 8)
    walk.context = Unmanaged.passUnretained(self).toOpaque()
    walk.find = { context, ip, rule in
      guard let context, let rule else { return 1 }
      let scene = Unmanaged<Scene>.fromOpaque(context).takeUnretainedValue()
      scene.lookups.append(ip)
      guard let found = scene.rules.last(where: { $0.start <= ip }) else { return Int32(SWTRACE_END_NO_MAPPING.rawValue) }
      rule.pointee = found.rule
      return 0
    }
    words.withUnsafeBytes { bytes in
      walk.stack = bytes.baseAddress
      swtrace_walk_run(&walk)
    }
    let frames = withUnsafeBytes(of: walk.frames) { bytes in
      (0..<Int(walk.state.count)).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    }
    return (frames, swtrace_unwind_ending(rawValue: UInt32(walk.state.ending)), walk.state)
  }
}

private func rsp(_ offset: Int32, rbp: Int16? = nil) -> UnwindRule {
  var rule = UnwindRule(SWTRACE_CFA_RSP, offset: offset)
  if let rbp { (rule.rbp, rule.rbp_offset) = (UInt8(SWTRACE_RBP_AT_CFA.rawValue), rbp) }
  return rule
}

private func rbp(_ offset: Int32, saved: Int16 = -16) -> UnwindRule {
  var rule = UnwindRule(SWTRACE_CFA_RBP, offset: offset)
  (rule.rbp, rule.rbp_offset) = (UInt8(SWTRACE_RBP_AT_CFA.rawValue), saved)
  return rule
}

@Suite struct WalkTests {
  let base: UInt64 = 0x7ff0_0000

  @Test func framesWithoutFramePointers() {
    let scene = Scene(rules: [(0x1000, rsp(8)), (0x2000, rsp(32)), (0x3000, .stop)])
    scene[base] = 0x2010
    scene[base + 32] = 0x3020
    let walk = scene.walk(ip: 0x1004, sp: base)
    #expect(walk.frames == [0x1004, 0x2010, 0x3020])
    #expect(walk.ending == SWTRACE_END_COMPLETE)
    // The instruction itself of the innermost, the call before the others.
    #expect(scene.lookups == [0x1004, 0x200f, 0x301f])
  }

  /// The call is the function's last instruction: what it returns to is another function, with another rule.
  @Test func aCallAtTheEndOfItsFunction() {
    let scene = Scene(rules: [(0x1000, rsp(8)), (0x2000, rsp(24)), (0x2040, .unsupported), (0x3000, .stop)])
    scene[base] = 0x2040
    scene[base + 24] = 0x3001
    #expect(scene.walk(ip: 0x1000, sp: base).frames == [0x1000, 0x2040, 0x3001])
  }

  @Test func framePointersAreKeptWhereFunctionsSaveThem() {
    let scene = Scene(rules: [(0x1000, rsp(24, rbp: -24)), (0x2000, rbp(16)), (0x3000, .stop)])
    // 0x1000 has saved rbp 24 below its CFA, and uses it itself.
    scene[base] = base + 64
    scene[base + 16] = 0x2008
    scene[base + 64] = 0
    scene[base + 72] = 0x3008
    let walk = scene.walk(ip: 0x1010, sp: base, bp: 0xdead)
    #expect(walk.frames == [0x1010, 0x2008, 0x3008])
    #expect(walk.ending == SWTRACE_END_COMPLETE)
  }

  @Test func stubsOfTheLinker() {
    var rule = UnwindRule(SWTRACE_CFA_PLT, offset: 11)
    let scene = Scene(rules: [(0x1000, rule), (0x3000, .stop)])
    scene[base] = 0x3333
    scene[base + 8] = 0x3008
    #expect(scene.walk(ip: 0x100a, sp: base).frames == [0x100a, 0x3333])
    // The stub has pushed a number.
    #expect(scene.walk(ip: 0x100b, sp: base).frames == [0x100b, 0x3008])
    rule.cfa_offset = 10
    scene.rules[0].rule = rule
    #expect(scene.walk(ip: 0x100a, sp: base).frames == [0x100a, 0x3008])
  }

  @Test func realignedStacks() {
    var rule = UnwindRule(SWTRACE_CFA_RBP_DEREF, offset: -8)
    (rule.rbp, rule.rbp_offset) = (UInt8(SWTRACE_RBP_AT_RBP.rawValue), 0)
    let scene = Scene(rules: [(0x1000, rule), (0x2000, rbp(16)), (0x3000, .stop)])
    scene[base + 64] = base + 128
    scene[base + 56] = base + 96
    scene[base + 88] = 0x2008
    scene[base + 136] = 0x3008
    #expect(scene.walk(ip: 0x1004, sp: base, bp: base + 64).frames == [0x1004, 0x2008, 0x3008])

    var assembly = UnwindRule(SWTRACE_CFA_RSP_DEREF, offset: 40)
    assembly.add = 8
    let other = Scene(rules: [(0x1000, assembly), (0x3000, .stop)])
    other[base + 40] = base + 80
    other[base + 80] = 0x3008
    #expect(other.walk(ip: 0x1004, sp: base).frames == [0x1004, 0x3008])
  }

  /// What a signal interrupted is an instruction, not a call; its frame is marked by one more, as that of a return address is.
  @Test func signalHandlers() {
    let scene = Scene(rules: [(0x1000, rsp(8)), (0x2000, UnwindRule(SWTRACE_CFA_SIGNAL)), (0x3000, rbp(16)), (0x4000, .stop)])
    scene[base] = 0x2001
    let context = base + 8
    scene[context + 40 + 8 * 6] = 0x1414
    scene[context + 40 + 8 * 10] = base + 400
    scene[context + 40 + 8 * 15] = base + 320
    scene[context + 40 + 8 * 16] = 0x3000
    scene[base + 408] = 0x4008
    let walk = scene.walk(ip: 0x1000, sp: base)
    #expect(walk.frames == [0x1000, 0x2001, 0x3001, 0x4008])
    #expect(scene.lookups == [0x1000, 0x2000, 0x3000, 0x4007])
    #expect(walk.state.r14 == 0x1414)
  }

  @Test func codeWithoutRulesIsFollowedByFramePointersThatLookLikeSome() {
    let scene = Scene(rules: [(0x1000, .gap), (0x3000, .stop)])
    scene[base] = base + 200
    scene[base + 8] = 0x3008
    // Equal to the stack pointer: the function has just made its frame.
    let walk = scene.walk(ip: 0x1004, sp: base, bp: base)
    #expect(walk.frames == [0x1004, 0x3008])
    #expect(walk.state.guessed == 1)
    #expect(scene.walk(ip: 0x1004, sp: base + 8, bp: base).ending == SWTRACE_END_GAP)
    #expect(scene.walk(ip: 0x1004, sp: base, bp: base + 16).ending == SWTRACE_END_GAP)
    #expect(scene.walk(ip: 0x1004, sp: base - (1 << 21), bp: base).ending == SWTRACE_END_GAP)
  }

  @Test func walksEndWithTheirReason() {
    let scene = Scene(rules: [(0x1000, rsp(8))])
    #expect(scene.walk(ip: 0x1000, sp: base - 16).ending == SWTRACE_END_UNREADABLE)
    #expect(scene.walk(ip: 0x1000, sp: base).ending == SWTRACE_END_COMPLETE)
    scene[base] = 0xfff
    #expect(scene.walk(ip: 0x1000, sp: base).ending == SWTRACE_END_UNREADABLE)
    scene[base] = 0x800
    #expect(scene.walk(ip: 0x1000, sp: base).ending == SWTRACE_END_UNREADABLE)
    let unmapped = scene.walk(ip: 0x10, sp: base)
    #expect(unmapped.ending == SWTRACE_END_NO_MAPPING && unmapped.frames == [0x10])
    // A frame below the one before.
    scene.rules = [(0x1000, rbp(16))]
    #expect(scene.walk(ip: 0x1000, sp: base + 64, bp: base).ending == SWTRACE_END_UNREADABLE)
  }

  @Test func endlessStacksAreCut() {
    let scene = Scene(words: 600, rules: [(0x1000, rsp(8))])
    for index in scene.words.indices { scene.words[index] = 0x1234 }
    let walk = scene.walk(ip: 0x1000, sp: base)
    #expect(walk.ending == SWTRACE_END_TOO_DEEP)
    #expect(walk.frames.count == 255)
  }

  /// r14 holds the context, or a function that was called has saved it.
  @Test func asyncContextsAreFoundWhereTheyAre() {
    var marked = rsp(16)
    marked.flags = UInt8(SWTRACE_RULE_ASYNC.rawValue)
    var saving = rsp(24)
    saving.r14_offset = -16
    let scene = Scene(rules: [(0x1000, saving), (0x2000, marked), (0x3000, .stop)])
    scene[base + 8] = 0xc0ffee
    scene[base + 16] = 0x2008
    scene[base + 32] = 0x3008
    let walk = scene.walk(ip: 0x1004, sp: base, r14: 0xbad)
    #expect(walk.frames == [0x1004, 0x2008, 0x3008])
    #expect(walk.state.context == 0xc0ffee && walk.state.async_at == 1)
    // In the innermost frame itself it is still in the register.
    #expect(scene.walk(ip: 0x2004, sp: base + 24, r14: 0xbeef).state.context == 0xbeef)
    // On the stack, where the rule says so.
    marked.r14_offset = -16
    scene.rules[1].rule = marked
    scene[base + 24] = 0xfeed
    #expect(scene.walk(ip: 0x1004, sp: base).state.context == 0xfeed)
  }

  /// Whatever lies on the stack and whatever the rules say, a walk ends, with at most 255 frames.
  @Test func noiseDoesNoHarm() {
    var random = Noise(seed: 7)
    for _ in 0..<20_000 {
      let scene = Scene(words: 96, rules: [])
      for start in stride(from: UInt64(0x1000), to: 0x5000, by: 0x800) {
        var rule = UnwindRule(swtrace_unwind_cfa(rawValue: UInt32(random.next() % 12)), offset: Int32(random.next() % 96) &- 16)
        rule.rbp = UInt8(random.next() % 5)
        rule.rbp_offset = Int16(truncatingIfNeeded: random.next() % 64) - 48
        rule.r14_offset = Int16(truncatingIfNeeded: random.next() % 64) - 48
        rule.flags = UInt8(random.next() % 4)
        scene.rules.append((start, rule))
      }
      for index in scene.words.indices {
        let number = random.next()
        scene.words[index] = number % 3 == 0 ? base + number % 768 : number % 3 == 1 ? 0x1000 + number % 0x4000 : number
      }
      let walk = scene.walk(ip: 0x1000 + random.next() % 0x4000, sp: base + random.next() % 768, bp: base + random.next() % 768)
      #expect((1...255).contains(walk.frames.count))
      #expect(walk.ending != SWTRACE_END_UNKNOWN && walk.ending.rawValue < SWTRACE_ENDINGS.rawValue)
    }
  }
}

/// Deterministic numbers (xorshift).
struct Noise {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

@Suite struct SearchTests {
  @Test func mappingsAreFoundByTheirStarts() {
    for count in [1, 2, 3, 127, 128, 200, 255, 256] {
      var page = (0..<count).map { swtrace_mapping(start: UInt64($0 + 1) << 12, pages: 16, base: UInt32($0)) }
      page += repeatElement(swtrace_mapping(start: SWTRACE_MAPPING_UNUSED, pages: 0, base: 0), count: 256 - count)
      for wanted in 0..<count {
        #expect(swtrace_search_mappings(page, UInt64(wanted + 1) << 12) == UInt32(wanted))
        #expect(swtrace_search_mappings(page, UInt64(wanted + 1) << 12 | 0xfff) == UInt32(wanted))
      }
      #expect(swtrace_search_mappings(page, 0x10) == 0)
      #expect(swtrace_search_mappings(page, 0x7fff_ffff_f000) == UInt32(count - 1))
    }
  }

  @Test func rowsAreFoundByTheirBytes() {
    var random = Noise(seed: 11)
    var page = [UInt32](repeating: 0, count: 1024)
    for count in [0, 1, 2, 5, 64, 255, 256] {
      var bytes = Set<UInt32>()
      while bytes.count < count { bytes.insert(UInt32(random.next() & 0xff)) }
      let rows = bytes.sorted()
      let slot = 1024 - count
      for (index, byte) in rows.enumerated() { page[slot + index] = byte << 16 | UInt32(1000 + index) }
      for low in 0...255 {
        let wanted = rows.lastIndex { $0 <= UInt32(low) }.map { UInt32(1000 + $0) } ?? 7
        #expect(swtrace_search_rows(page, UInt32(slot), UInt32(count), 7, UInt8(low)) == wanted)
      }
    }
  }
}
