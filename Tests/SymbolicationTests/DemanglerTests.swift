import Symbolication
import Testing

@Suite struct DemanglerTests {
  @Test(arguments: [
    ("_Z3foov", "foo()"),
    ("_ZN3foo3barEi", "foo::bar(int)"),
    ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
    (
      "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE",
      "<alloc::string::String as core::fmt::Write>::write_str"
    ),
    ("$s4main5levelySiSi_SitYaKFTY0_", "main.level(_:_:)"),
    ("$s1a4MainV4mainyyYaKFZTQ0_", "static a.Main.main()"),
    ("_ZN3foo3barEi.isra.0", "foo::bar(int)"),
    ("__swift_allocate_boxed_opaque_existential_1Tm", "__swift_allocate_boxed_opaque_existential_1"),
    ("async_MainTQ0_", "async_Main"),
    // Of C, and of C++ and Rust in more than one copy.
    ("tcp_write_xmit.constprop.0", "tcp_write_xmit"),
    ("_ZN3foo3barEi.part.1.cold", "foo::bar(int)"),
    (
      "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE.llvm.42",
      "<alloc::string::String as core::fmt::Write>::write_str"
    ),
    (
      "_ZN9hashbrown3raw21RawTable$LT$T$C$A$GT$4find28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
      "hashbrown::raw::RawTable<T,A>::find::{{closure}}"
    ),
    ("_ZN3app8$u4e$$x$17h0123456789abcdefE", "app::N$x$"),
    ("_RNvCs1234_7mycrate3foo.llvm.42", "mycrate::foo"),
    // Of Go.
    ("gopkg.in/yaml%2ev3.(*Decoder).Decode", "gopkg.in/yaml.v3.(*Decoder).Decode"),
    ("example.com/%c3%a4.Run", "example.com/ä.Run"),
    ("runtime.goexit.abi0", "runtime.goexit"),
  ])
  func namesAreReadable(_ mangled: String, _ expected: String) { #expect(Demangler.demangle(mangled) == expected) }

  @Test(arguments: [
    "main.(*Server).handle", "main.Map[go.shape.int]", "main.main.func1", "main.part", "main.partition", "main.llvm", "runtime·goexit",
    "main.init.0",
    "100%", "a%0ab", "a%zz", "a%+1", "a%2", "a%c3", "main", "", "_Zgarbage", "$sgarbage", "_R", "$s", "_Z", "_ZN",
  ])
  func otherNamesAreNone(_ name: String) { #expect(Demangler.demangle(name) == nil) }

  @Test func hostileNamesEnd() {
    #expect(Demangler.demangle("_Z" + String(repeating: "N", count: 100_000)) == nil)
    _ = Demangler.demangle("_Z" + String(repeating: "PPPP", count: 1000))
    _ = Demangler.demangle("$s" + String(repeating: "4main", count: 800))
  }

  @Test func suffixesOfCopiesAreCut() {
    #expect(Demangler.withoutCloneSuffix("work.constprop.0.isra.1") == "work")
    #expect(Demangler.withoutCloneSuffix("finish_task_switch.isra.0") == "finish_task_switch")
    #expect(Demangler.withoutCloneSuffix(".hidden") == ".hidden")
    #expect(Demangler.withoutCloneSuffix("a.b") == "a.b")
    #expect(Demangler.withoutCloneSuffix(".cold") == ".cold")
    #expect(Demangler.withoutCloneSuffix("a.0") == "a.0")
    #expect(Demangler.withoutCloneSuffix("a.b.cold.1.isra.12") == "a.b")
    #expect(Demangler.withoutCloneSuffix("0.0.isra.0") == "0.0")
    #expect(Demangler.withoutCloneSuffix("a.") == "a.")
    #expect(Demangler.withoutCloneSuffix("") == "")
  }
}
