import Linux
import Testing

@Suite struct KernelSymbolsTests {
  @Test func addressesFindTheSymbolBefore() throws {
    let symbols = KernelSymbols(
      parsing: Array(
        """
        ffffffff81000200 T second
        ffffffff81000100 t first
        ffffffff81000180 D data
        ffffffff81000200 t alias
        ffffffffc0000010 t inside\t[ext4]
        ffffffffc0000100 t bpf_prog_0123456789abcdef_handler\t[bpf]
        nonsense
        ffffffffc0000200

        """.utf8))
    func name(_ address: UInt64) -> String? {
      symbols.match(KernelAddress(address)).map { "\($0.name)+\($0.offset) \($0.module ?? "-")" }
    }
    #expect(symbols.count == 5)
    #expect(name(0xffff_ffff_8100_00ff) == nil)
    #expect(name(0xffff_ffff_8100_0100) == "first+0 -")
    #expect(name(0xffff_ffff_8100_01ff) == "first+255 -")
    #expect(name(0xffff_ffff_8100_0201) == "second+1 -")
    #expect(name(0xffff_ffff_c000_0020) == "inside+16 ext4")
    #expect(name(0xffff_ffff_c000_0100) == "bpf:handler+0 bpf")
  }

  /// There are no sizes, but nothing of the kernel is behind its end, and nothing of a module behind that.
  @Test func symbolsEndWithWhatTheyAreIn() {
    let symbols = KernelSymbols(
      parsing: Array(
        """
        ffffffff81000000 T _stext
        ffffffff81000100 T last
        ffffffff82000000 T _etext
        ffffffff83000000 T _sinittext
        ffffffff83000010 t start_kernel
        ffffffff83001000 T _einittext
        ffffffffc0000010 t inside\t[ext4]
        ffffffffc0009000 t first\t[nf_tables]
        ffffffffc0100000 t bpf_prog_0123456789abcdef_handler\t[bpf]

        """.utf8),
      modules: """
        ext4 8192 1 - Live 0xffffffffc0000000
        nf_tables 4096 2 a,b, Live 0x0000000000000000 (OE)
        damaged 4096
        wide 18446744073709551615 1 - Live 0xffffffffc0200000

        """)
    func name(_ address: UInt64) -> String? { symbols.match(KernelAddress(address)).map { "\($0.name)+\($0.offset)" } }
    #expect(name(0xffff_ffff_81ff_ffff) == "last+16776959")
    #expect(name(0xffff_ffff_8200_0000) == nil && name(0xffff_ffff_82ff_ffff) == nil)
    #expect(name(0xffff_ffff_8300_0020) == "start_kernel+16")
    #expect(name(0xffff_ffff_8300_1000) == nil && name(0xffff_ffff_c000_000f) == nil)
    #expect(name(0xffff_ffff_c000_1fff) == "inside+8175" && name(0xffff_ffff_c000_2000) == nil)
    // Where a module lies may be hidden, and programs of BPF are in no list.
    #expect(name(0xffff_ffff_c000_9000) == "first+0" && name(0xffff_ffff_c00f_ffff) == "first+1011711")
    #expect(name(0xffff_ffff_c010_0100) == "bpf:handler+256")
  }

  @Test func hiddenAddressesAreSaid() {
    let symbols = KernelSymbols(parsing: Array("0000000000000000 T first\n0000000000000000 T second\n".utf8))
    #expect(symbols.areHidden)
    #expect(symbols.match(KernelAddress(0x1000)) == nil)
  }

  @Test func mappingsAreRead() throws {
    let maps = ProcessMaps(
      parsing: Array(
        """
        55d0c0000000-55d0c0002000 r-xp 00001000 fe:00 1234 /usr/bin/a program
        7f0000000000-7f0000001000 rw-p 00000000 00:00 0
        7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0                  [vdso]
        broken line
        2000-1000 r-xp 00000000 fe:00 5 /backwards

        """.utf8))
    #expect(maps.mappings.count == 3)
    let program = try #require(maps[VirtualAddress(0x55d0_c000_1fff)])
    #expect(program.path == "/usr/bin/a program")
    #expect(program.isExecutable)
    #expect(program.offset == FileOffset(0x1000))
    #expect(program.inode == 1234)
    #expect(maps[VirtualAddress(0x55d0_c000_2000)] == nil)
    #expect(maps[VirtualAddress(0)] == nil)
    #expect(maps[VirtualAddress(0x7ffe_0000_0000)]?.path == "[vdso]")
  }
}
