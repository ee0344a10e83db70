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
    ("$s4main5levelySiSi_SitYaKFTY0_", "level(_:_:)"),
    ("$s1a4MainV4mainyyYaKFZTQ0_", "static Main.main()"),
    ("_ZN3foo3barEi.isra.0", "foo::bar(int)"),
  ])
  func namesAreReadable(_ mangled: String, _ expected: String) { #expect(Demangler.demangle(mangled) == expected) }

  @Test(arguments: ["main", "", "_Zgarbage", "$sgarbage", "_R", "$s", "_Z", "_ZN"])
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
  }
}
