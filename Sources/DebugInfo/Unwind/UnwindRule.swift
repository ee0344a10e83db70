package import CUnwind

/// How to get from a function's frame to its caller's: 16 bytes, as the probes read them.
package typealias UnwindRule = swtrace_unwind_rule

extension swtrace_unwind_rule {
  /// Where nothing is known.
  package static let gap = UnwindRule(SWTRACE_CFA_GAP)
  /// In the outermost function.
  package static let stop = UnwindRule(SWTRACE_CFA_STOP)
  package static let unsupported = UnwindRule(SWTRACE_CFA_UNSUPPORTED)

  /// A rule that leaves rbp and r14 as they are.
  package init(_ cfa: swtrace_unwind_cfa, offset: Int32 = 0) {
    self.init()
    self.cfa = UInt8(cfa.rawValue)
    cfa_offset = offset
  }

  package var kind: swtrace_unwind_cfa { .init(rawValue: UInt32(cfa)) }

  /// Both halves as numbers; equal for equal rules.
  @inline(__always) package var bits: SIMD2<UInt64> {
    // Put together by hand: the compiler would shuffle the members one by one through vectors.
    let low = UInt64(cfa) | UInt64(rbp) << 8 | UInt64(UInt16(bitPattern: rbp_offset)) << 16 | UInt64(UInt32(bitPattern: cfa_offset)) << 32
    let high = UInt64(UInt16(bitPattern: r14_offset)) | UInt64(reg) << 16 | UInt64(flags) << 24 | UInt64(UInt32(bitPattern: add)) << 32
    return SIMD2(low, high)
  }

  /// As people who debug unwinders write it: `rsp+16 rbp=c-16`.
  package var text: String {
    var text = cfaText
    switch swtrace_unwind_rbp(rawValue: UInt32(rbp)) {
    case SWTRACE_RBP_AT_CFA: text += " rbp=c\(signed(rbp_offset))"
    case SWTRACE_RBP_AT_RBP: text += " rbp=[rbp\(signed(rbp_offset))]"
    case SWTRACE_RBP_LOST: text += " rbp=lost"
    default: break
    }
    let isAsync = flags & UInt8(SWTRACE_RULE_ASYNC.rawValue) != 0
    if isAsync, r14_offset == SWTRACE_CONTEXT_LOST {
      text += " context=lost"
    } else if r14_offset != 0 {
      text += isAsync && add != 0 ? " r14=[c\(signed(r14_offset))]\(signed(add))" : " r14=c\(signed(r14_offset))"
    }
    if isAsync { text += " async" }
    if flags & UInt8(SWTRACE_RULE_GUESSED.rawValue) != 0 { text += " guessed" }
    return text
  }

  private var cfaText: String {
    switch kind {
    case SWTRACE_CFA_GAP: "gap"
    case SWTRACE_CFA_RSP: "rsp\(signed(cfa_offset))"
    case SWTRACE_CFA_RBP: "rbp\(signed(cfa_offset))"
    case SWTRACE_CFA_PLT: "plt+\(cfa_offset)"
    case SWTRACE_CFA_RBP_DEREF: "[rbp\(signed(cfa_offset))]\(add == 0 ? "" : signed(add))"
    case SWTRACE_CFA_RSP_DEREF: "[rsp\(signed(cfa_offset))]\(add == 0 ? "" : signed(add))"
    case SWTRACE_CFA_SIGNAL: "signal"
    case SWTRACE_CFA_STOP: "stop"
    case SWTRACE_CFA_REGISTER: "\(Self.registers[Int(reg) % Self.registers.count])\(signed(cfa_offset))"
    case SWTRACE_CFA_RSP_INDEXED: "[rsp\(signed(cfa_offset))+8*\(Self.registers[Int(reg) % Self.registers.count])]\(signed(add))"
    default: "unsupported"
    }
  }

  /// By their DWARF numbers (System V ABI x86-64, 3.36).
  private static let registers = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
  ]

  private func signed(_ number: some BinaryInteger) -> String { number < 0 ? "\(number)" : "+\(number)" }
}
