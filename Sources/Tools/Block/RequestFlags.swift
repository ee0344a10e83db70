internal import BPF
internal import CProbes
internal import SystemPackage

/// The names of what a request asks for, from its `cmd_flags`.
struct RequestFlags: Sendable {
  private let operations: [UInt32: String]

  /// BCC's words for the flags, in its order, and the bits of include/linux/blk_types.h.
  private static let flags: [(bit: UInt32, name: String)] = [
    (21, "NoWait"), (20, "Background"), (19, "ReadAhead"), (18, "PreFlush"), (17, "FUA"), (16, "Integrity"), (15, "Idle"), (14, "NoMerge"),
    (13, "Priority"), (12, "Metadata"), (11, "Sync"),
  ]

  /// The operations that have the same numbers on all kernels.
  private static let common: [UInt32: String] = [
    0: "Read", 1: "Write", 2: "Flush", 3: "Discard", 5: "SecureErase", 9: "WriteZeroes", 34: "DrvIn", 35: "DrvOut",
  ]

  init(operations: [UInt32: String] = [:]) { self.operations = Self.common.merging(operations) { $1 } }

  /// With the operations that this kernel knows, from `enum req_op`, which was called `req_opf` before 6.0.
  init(_ types: borrowing KernelTypes) {
    var names: [UInt32: String] = [:]
    for (name, value) in types.enumerators(of: "req_op") ?? types.enumerators(of: "req_opf") ?? [] where name.hasPrefix("REQ_OP_") {
      guard name != "REQ_OP_LAST" else { continue }
      names[value] = Self.words(name.dropFirst("REQ_OP_".count))
    }
    self.init(operations: names)
  }

  /// `WRITE_ZEROES` as `WriteZeroes`.
  static func words(_ name: some StringProtocol) -> String {
    name.split(separator: "_").map { $0.prefix(1) + $0.dropFirst().lowercased() }.joined()
  }

  /// `Sync-Write`.
  func name(_ value: UInt32) -> String {
    let operation = value & UInt32(BIOLATENCY_OPERATION)
    let words = Self.flags.filter { value & 1 << $0.bit != 0 }.map(\.name)
    return (words + [operations[operation] ?? "Operation\(operation)"]).joined(separator: "-")
  }
}
