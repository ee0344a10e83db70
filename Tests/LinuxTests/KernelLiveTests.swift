import Glibc
import TestSupport
import Testing

/// What every kernel under test has to offer before anything else can work.
@Suite(.requiresBPF) struct KernelLiveTests {
  @Test func kernelDescribesItsTypes() throws {
    let descriptor = open("/sys/kernel/btf/vmlinux", O_RDONLY)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var magic: UInt16 = 0
    #expect(read(descriptor, &magic, 2) == 2)
    #expect(magic == 0xeb9f)
  }
}
