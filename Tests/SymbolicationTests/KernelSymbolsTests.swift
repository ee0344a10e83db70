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
