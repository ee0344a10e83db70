import Testing

@testable import DebugInfo

/// Where the runtime keeps the task of a thread, read from code as compilers write it.
@Suite struct SwiftTasksTests {
  private func tasks(_ code: [UInt8], size: UInt64? = nil) -> SwiftTasks? {
    unsafe code.withUnsafeBytes { unsafe SwiftTasks(Bytes($0), at: 0x71f10, size: size) }
  }

  /// In a library: `lea descriptor(%rip), %rdi; call __tls_get_addr; mov 8(%rax), %rax`.
  private let ofLibrary: [UInt8] = [
    0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x3d, 0x65, 0x60, 0x02, 0x00, 0xe8, 0xe0, 0x7e, 0xfb, 0xff, 0x48, 0x8b, 0x80, 0x08, 0x00, 0x00,
    0x00, 0x5d,
    0xc3,
  ]

  @Test func inTheBlockOfALibrary() {
    #expect(tasks(ofLibrary, size: 224) == SwiftTasks(place: .block(descriptor: ELFAddress(0x97f80), offset: 8), size: 224))
  }

  /// In a program: `mov %fs:0, %rax; mov -0x78(%rax), %rax`, with and without what the linker fills up with; or in one instruction.
  @Test(
    arguments: [
      [
        0x55, 0x48, 0x89, 0xe5, 0x66, 0x66, 0x66, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8b, 0x80, 0x88, 0xff, 0xff, 0xff, 0x5d,
        0xc3,
      ],
      [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8b, 0x40, 0x88, 0xc3],
      [0x64, 0x48, 0x8b, 0x04, 0x25, 0x88, 0xff, 0xff, 0xff, 0xc3],
    ] as [[UInt8]])
  func behindTheThreadPointer(_ code: [UInt8]) {
    #expect(tasks(code) == SwiftTasks(place: .threadPointer(-0x78), size: SwiftTasks.usualSize))
  }

  @Test func otherCodeIsNotGuessed() {
    #expect(tasks([]) == nil)
    #expect(tasks([0xc3]) == nil)
    // Cut short, or a function that reads something else first.
    #expect(tasks(Array(ofLibrary.prefix(18))) == nil)
    #expect(tasks([0x48, 0x8b, 0x00, 0x48, 0x8b, 0x80, 0x08, 0, 0, 0, 0xc3]) == nil)
    #expect(tasks([UInt8](repeating: 0x90, count: 1 << 16) + ofLibrary) == nil)
  }

  /// What nobody would allocate is not believed.
  @Test(arguments: [0, 8, 100, 209, 4096, .max] as [UInt64]) func absurdSizes(_ size: UInt64) {
    #expect(tasks(ofLibrary, size: size)?.size == SwiftTasks.usualSize)
  }
}
