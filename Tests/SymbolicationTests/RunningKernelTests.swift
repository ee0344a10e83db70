import Linux
import Testing

@testable import Symbolication

/// When the kernel's symbols are read again.
@Suite struct RunningKernelTests {
  /// A kernel whose list changes, and a clock.
  private final class Machine {
    var symbols = "ffffffff81000000 T first\nffffffff82000000 T _etext\nffffffffc0000000 t inside\t[ext4]\n"
    var modules = "ext4 8192 1 - Live 0xffffffffc0000000\n"
    var now: UInt64 = 1
    var readings = 0

    func kernel(isEndless: Bool = true) -> RunningKernel {
      RunningKernel(
        isEndless: isEndless,
        read: {
          self.readings += 1
          return KernelSymbols(parsing: Array(self.symbols.utf8), modules: self.modules)
        }, now: { self.now })
    }
  }

  private func name(_ address: UInt64, _ kernel: inout RunningKernel) -> String {
    switch kernel.match(KernelAddress(address)) {
    case .success(let match): match.name
    case .failure(let reason): "? \(reason)"
    }
  }

  private static let loaded: UInt64 = 0xffff_ffff_c010_0010

  @Test func aModuleThatWasLoadedSinceIsFoundInTheNextWindow() {
    let machine = Machine()
    var kernel = machine.kernel()
    #expect(name(0xffff_ffff_c000_0010, &kernel) == "inside" && machine.readings == 1)
    // Not in the window in which the list was read, and never as the symbol before.
    #expect(name(Self.loaded, &kernel) == "? outsideSymbols" && machine.readings == 1)
    kernel.endWindow()
    #expect([kernel.takeChange()] == [false])
    machine.symbols += "ffffffffc0100000 t fresh\t[xfs]\n"
    machine.modules += "xfs 8192 1 - Live 0xffffffffc0100000\n"
    #expect(name(Self.loaded, &kernel) == "fresh" && machine.readings == 2)
    #expect([kernel.takeChange(), kernel.takeChange()] == [true, false])
    #expect(name(0xffff_ffff_c020_0000, &kernel) == "? outsideSymbols" && machine.readings == 2)
  }

  /// What nobody has a name for does not have all symbols read in each window.
  @Test func aNamelessAddressIsLookedForOnce() {
    let machine = Machine()
    var kernel = machine.kernel()
    #expect(name(0xffff_ffff_8100_0010, &kernel) == "first")
    for window in 0..<5 {
      kernel.endWindow()
      #expect(name(Self.loaded, &kernel) == "? outsideSymbols" && machine.readings == 2, "\(window)")
    }
    #expect([kernel.takeChange()] == [false])
    // In ten minutes all is read again.
    machine.now += 600_000_000_001
    kernel.endWindow()
    #expect(name(Self.loaded, &kernel) == "? outsideSymbols" && machine.readings == 3)
  }

  /// A program of BPF may be another one than that before it, after a minute.
  @Test func programsOfBPFAreReadAgain() {
    let machine = Machine()
    machine.symbols += "ffffffffc0200000 t bpf_prog_0123456789abcdef_old\t[bpf]\n"
    var kernel = machine.kernel()
    #expect(name(0xffff_ffff_c020_0100, &kernel) == "bpf:old")
    kernel.endWindow()
    machine.symbols += "ffffffffc0200080 t bpf_prog_0123456789abcdef_new\t[bpf]\n"
    #expect(name(0xffff_ffff_c020_0100, &kernel) == "bpf:old" && machine.readings == 1)
    machine.now += 60_000_000_001
    kernel.endWindow()
    #expect(name(0xffff_ffff_c020_0100, &kernel) == "bpf:new" && machine.readings == 2)
    #expect(name(0xffff_ffff_c020_0010, &kernel) == "bpf:old" && machine.readings == 2)
  }

  @Test func aRunWithAnEndReadsOnce() {
    let machine = Machine()
    var kernel = machine.kernel(isEndless: false)
    #expect(name(Self.loaded, &kernel) == "? outsideSymbols")
    kernel.endWindow()
    #expect(name(Self.loaded, &kernel) == "? outsideSymbols" && machine.readings == 1)
    kernel.release()
    #expect(name(0xffff_ffff_8100_0010, &kernel) == "first" && machine.readings == 2)
  }
}
