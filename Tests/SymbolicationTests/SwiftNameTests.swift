import Linux
import Symbolication
import TestSupport
import Testing

@Suite struct SwiftNameTests {
  /// Names that compilers gave; the longest part of a line is what the linker sees.
  @Test(arguments: [
    ("$s3app4MainV4mainyyYaKFZ", "static app.Main.main()"),
    ("$s3app4MainV4mainyyYaKFZTQ0_", "static app.Main.main()"),
    ("$s3app4MainV4mainyyYaKFZTf4d_nTY12_", "static app.Main.main()"),
    ("$s3app4MainV5$mainyyYaKFZTY1_", "static app.Main.$main()"),
    ("$s3app4MainV4mainyyYaKFZSiScGySiGzYaXEfU0_SiyYacfU_TY1_", "closure #1 in closure #2 in static app.Main.main()"),
    ("$s3app4MainV4mainyyYaKFZSiyYaYbcfu0_TQ0_", "implicit closure #2 in static app.Main.main()"),
    ("$s3app4MainV4mainyyYaKFZSiyYaKcfU3_TA", "closure #5 in static app.Main.main()"),
    ("$s3app7computeyS2iYaFTY1_", "app.compute(_:)"),
    ("$s3app3ActC4slowSiyYaFTY1_", "app.Act.slow()"),
    ("$s3app3ActC3inc2byS2i_tF", "app.Act.inc(by:)"),
    ("$s3app3ActC15unownedExecutorScevg", "app.Act.unownedExecutor.getter"),
    ("$s3app3ActCScAAAScA15unownedExecutorScevgTW", "app.Act.unownedExecutor.getter"),
    ("$s3app3ActCfD", "app.Act.deinit"),
    ("$s3app1GC6insertyyxSHRzrlF", "app.G.insert(_:)"),
    ("$s3app1GC6insertyyxSHRzrlFSbx_xtXEfU_TA", "closure #1 in app.G.insert(_:)"),
    ("$s3app1GC4IterV1uqd__vM.resume.0", "app.G.Iter.u.modify"),
    ("$s3app1GC4IterVMa", "type metadata accessor for app.G.Iter"),
    ("$s3app7generic_4with4bodySix_q_Six_q_tKXEtKSHRzr0_lF", "app.generic(_:with:body:)"),
    ("$s3app5packsySixxQpRvzlF", "app.packs(_:)"),
    ("$sSa3appSiRszlE5total5scaleS2i_tF", "Swift.Array.total(scale:)"),
    ("$sST3appE10everyOtherSay7ElementQzGyF", "Swift.Sequence.everyOther()"),
    ("$sSS3appE5shoutSSvg", "Swift.String.shout.getter"),
    ("$s04TestA3Kit5OuterV2ggoiySbAC_xtlFZ", "static TestTestKit.Outer.>>(_:_:)"),
    ("$s3app1PPAAE9defaultedyS2iF", "app.P.defaulted(_:)"),
    ("$s3app1PPAAE9defaultedyS2iFfA_", "default argument 0 of app.P.defaulted(_:)"),
    ("$s3app1TVAA1PA2aDP1fyyFTW", "app.T.f()"),
    ("$s3app1TVAA1PA2aDP1vSivMTW.resume.0", "app.T.v.modify"),
    ("$s3app1TVAA1PA2aDP4make1AQzyYaKFTWTQ0_", "app.T.make()"),
    ("$s3app1TVSQAASQ2eeoiySbx_xtFZTW", "static app.T.==(_:_:)"),
    ("$s3app4GlobCs11GlobalActorAAsADP21sharedUnownedExecutorScevgZTW", "static app.Glob.sharedUnownedExecutor.getter"),
    ("$s04TestA3Kit5OuterV4ImplVAC5InnerAacFP2goyyFTW", "TestTestKit.Outer.Impl.go()"),
    ("$sSayxG04TestA3Kit5ShapeA2bCRzlAbCP4areaSiyFTW", "Swift.Array.area()"),
    ("$sSiSg04TestA3Kit5ShapeA2bCP4areaSiyFTW", "Swift.Optional.area()"),
    ("$s3app1TV1vSivg", "app.T.v.getter"),
    ("$s3app1TV1vSivs", "app.T.v.setter"),
    ("$s3app1TV1vSivM", "app.T.v.modify"),
    ("$s3app1TV1vSivW", "app.T.v.didSet"),
    ("$s04TestA3Kit4BaseC1wSivw", "TestTestKit.Base.w.willSet"),
    ("$s3app1TV1vSivpfi", "initial value of app.T.v"),
    ("$s3app1TV1vSivpACTK", "key path getter for app.T.v"),
    ("$s3app1TV6sharedACvau", "app.T.shared"),
    ("$s3app1TV6shared_WZ", "initial value of app.T.shared"),
    ("$s3app6global_WZ", "initial value of app.global"),
    ("$s3app4WrapV5levelSivpfP", "property wrapper backing initializer of app.Wrap.level"),
    ("$s3app1TVyS2icig", "app.T.subscript.getter"),
    ("$s3app1TV4nameSiSS_tcigTf4nd_n", "app.T.subscript.getter"),
    ("$s3app1TV1poiyA2C_ACtFZ", "static app.T.+(_:_:)"),
    ("$s3app1TV1sopyA2CFZ", "static app.T.- prefix(_:)"),
    ("$s04TestA3Kit5OuterV1loiySbAC_ACtFZ", "static TestTestKit.Outer.<(_:_:)"),
    ("$s3app1TV6secret33_939D57ED1283BB3405BD0A8BBC07CDA0LLyyF", "app.T.secret()"),
    ("$s3app4MainV3hid33_939D57ED1283BB3405BD0A8BBC07CDA0LLyyFZ", "static app.Main.hid()"),
    ("$s3app1CC4work_5timesS2i_SitF5innerL_yS2iF", "inner(_:) in app.C.work(_:times:)"),
    ("$s04TestA3Kit5outeryS2iF3dupL0_SiyF", "dup #2() in TestTestKit.outer(_:)"),
    ("$s04TestA3Kit5outeryS2iF3LocL_V4propSivgS2iXEfU_TA", "closure #1 in Loc.prop.getter in TestTestKit.outer(_:)"),
    ("$s04TestA3Kit5outeryS2iF3LocL_V2stSiyFZ", "static Loc.st() in TestTestKit.outer(_:)"),
    ("$s04TestA3Kit5outeryS2iF3LocL_VAA5ShapeA2aEP4areaSiyFTW", "Loc.area() in TestTestKit.outer(_:)"),
    ("$s04TestA3Kit5outeryS2iF2lzL_Sivg", "getter of lz in TestTestKit.outer(_:)"),
    ("$s3app1CC1xACSi_tcfC", "app.C.init(x:)"),
    ("$s3app1CC1xACSi_tcfc", "app.C.init(x:)"),
    ("$s3app1CCfD", "app.C.deinit"),
    ("$s3app1CCfd", "app.C.deinit"),
    ("$s04TestA3Kit7DerivedCfE", "TestTestKit.Derived.deinit"),
    ("$s04TestA3Kit7DerivedC4overyAA5Shape_pSiFAA4BaseCADyAaE_pSgSiFTV", "TestTestKit.Derived.over(_:)"),
    ("$s3app3BoxVfD", "app.Box.deinit"),
    ("$s04TestA3Kit5OuterV0033weirdnamexiny_HmaebcHHCEAhuaAAitayyF", "TestTestKit.Outer.`weird name (x) in y`()"),
    ("$s04TestA3Kit5OuterV7default2in3forySi_SitF", "TestTestKit.Outer.default(in:for:)"),
    ("$s04TestA3KitS2iXEfU1_", "closure #3 in TestTestKit"),
    ("$s04TestA3Kit5ModelC4nameSSvM6$deferL_yyF", "$defer() in TestTestKit.Model.name.modify"),
    ("$s04TestA3Kit5ModelC12withMutation7keyPath_q_s03KeyG0CyACxG_q_yKXEtKr0_lF", "TestTestKit.Model.withMutation(keyPath:_:)"),
    ("$sSo8timespecV04TestB3KitE5nanosSiyF", "timespec.nanos()"),
    ("$sSo8timespecV04TestB3Kit5ShapeA2cDP4areaSiyFTW", "timespec.area()"),
    ("$sIetH_yts5Error_pIegHrzo_TRTA", "reabstraction thunk"),
    ("$sxIeAgHr_xs5Error_pIegHrzo_s8SendableRzlTRSi_TG5TATQ0_", "reabstraction thunk"),
    ("$s3app1TVwca", "assignWithCopy for app.T"),
    ("$s3app1TVMa", "type metadata accessor for app.T"),
    ("$s3app1TVWOh", "outlined destroy of app.T"),
    ("$sSaySiGWOh", "outlined destroy of [Int]"),
    ("$s3app1TVACSHAAWl", "protocol witness table accessor for app.T"),
    ("$sScPSgWOc", "outlined init with copy of Swift.TaskPriority?"),
    ("$sSa6appendyyxnF", "Swift.Array.append(_:)"),
    ("$sSDyq_Sgxcig", "Swift.Dictionary.subscript.getter"),
    ("$ss5print_9separator10terminatoryypd_S2StFfA0_", "default argument 1 of Swift.print(_:separator:terminator:)"),
    ("$sSmxycfCTj", "Swift.RangeReplaceableCollection.init()"),
    ("$sScT5valuexvgTY0_", "Swift.Task.value.getter"),
    ("$sSNMrTm", "type metadata completion function for Swift.ClosedRange"),
    ("$sytIeghHr_IeghH_TRTATQ0_", "reabstraction thunk"),
    ("$sScTss5NeverORszABRs_rlE5sleepyys6UInt64VYaFZTQ1_", "static Swift.Task.sleep(_:)"),
    ("$sSayxGSmsSm6appendyy7ElementQznFTW", "Swift.Array.append(_:)"),
    ("$s8NIOPosix22ThreadSpecificVariableC3setyyxSgFSvxXEfU_TA", "closure #1 in NIOPosix.ThreadSpecificVariable.set(_:)"),
    ("$s8Dispatch0A5GroupC7wrappedSo17dispatch_object_tayF", "Dispatch.DispatchGroup.wrapped()"),
    ("$sSSSKsWI", "instantiation function for generic protocol witness table for Swift.String"),
    ("$ss13_runAsyncMainyyyyYaKcFyyYacfU_", "closure #1 in Swift._runAsyncMain(_:)"),
    (
      "$s7NIOCore15EventLoopFutureC4fold_4withACyxGSayACyqd__GG_AFx_qd__tctlF5fold0L_AFyYbs8SendableRzsAJRd__r__lF",
      "fold0() in NIOCore.EventLoopFuture.fold(_:with:)"
    ),
    (
      "$s11Hummingbird15RouterResponderVyxGAA13HTTPResponderA2aEP7respond2to7context0A4Core8ResponseVAJ7RequestV_7ContextQztYaYbKFTW",
      "Hummingbird.RouterResponder.respond(to:context:)"
    ),
    ("$s3app3lpgoiyS2i_SitF", "app.<+>(_:_:)"),
    ("$s3app1CC4work_5timesS2i_SitF5innerL_yS2iF6deeperL_SiyF", "deeper() in inner(_:) in app.C.work(_:times:)"),
    (
      "$s11Hummingbird17_SpreadMiddlewareV6handle_7context4next6OutputQz5InputQz_7ContextQzAhJ_ALtYaKXEtYaKFADL_11middlewares5inputAefHqd___AjlhJ_ALtYaKXEtYaKAA0C8ProtocolRz7ElementQyd__RszSlRd__r__lF",
      "handle(middlewares:input:context:next:) in Hummingbird._SpreadMiddleware.handle(_:context:next:)"
    ),
    ("$s10Foundation8NSNumberCIeghr_ACIegho_ACXMTTyTA.38", "reabstraction thunk"),
  ])
  func namesAreThoseOfTheSource(_ mangled: String, _ expected: String) { #expect(Demangler.demangle(mangled) == expected) }

  @Test func fullNamesHaveTypesAndWhatTheCompilerMade() {
    #expect(
      Demangler.demangle("$s3app7computeyS2iYaFTY1_", isFull: true)
        == "(2) suspend resume partial function for app.compute(Swift.Int) async -> Swift.Int")
    #expect(Demangler.demangle("$sSa6appendyyxnF", isFull: true) == "Swift.Array.append(__owned A) -> ()")
  }

  @Test func olderPrefixesAreKnown() {
    #expect(Demangler.demangle("_$s3app1TV1fyyF") == "app.T.f()")
    #expect(Demangler.demangle("$S3app1TV1fyyF") == "app.T.f()")
    #expect(Demangler.demangle("_T03app1TV1fyyF") == "app.T.f()")
    #expect(Demangler.demangle("$s3app1TV1fyyF.llvm.123") == "app.T.f()")
  }

  /// Every name in the standard library is readable, and not longer for it.
  @Test func standardLibrary() throws {
    let library = try #require(ProcessMaps(ofOwnProcess: ())?.mappings.first { $0.path.hasSuffix("/libswiftCore.so") }?.path)
    let names = try mustRun(["nm", "-D", "--defined-only", library]).split(separator: "\n").compactMap { line -> String? in
      let fields = line.split(separator: " ")
      return fields.count == 3 && ["t", "T", "w", "W"].contains(fields[1]) && fields[2].hasPrefix("$s") ? String(fields[2]) : nil
    }
    #expect(names.count > 5000)
    for name in names {
      let short = try #require(Demangler.demangle(name), "\(name)")
      let full = try #require(Demangler.demangle(name, isFull: true), "\(name)")
      #expect(!short.isEmpty && !short.contains("$s") && !short.contains("  ") && short.last != ".", "\(name): \(short)")
      #expect(short.utf8.count <= full.utf8.count + "Swift.".utf8.count, "\(name): \(short), \(full)")
    }
  }

  @Test func namesAreBounded() {
    let long = String(repeating: "a", count: 2000)
    #expect(Demangler.demangle("$s3app2000\(long)yyF")?.utf8.count == 800 + "…".utf8.count)
    // A character that the limit would cut in two.
    let greek = String(repeating: "ab", count: 20)
    #expect(Demangler.demangle("$s3app40\(greek)yyF") == "app.\(greek)()")
    #expect(Demangler.demangle("$s200\(String(repeating: "m", count: 200))1fyyF") == "f()")
    #expect(Demangler.demangle("$s0\(String(repeating: "9", count: 40))1fyyF") == nil)
  }

  /// A type whose every level is two of the one inside it.
  private func tower(_ levels: Int) -> String {
    let references = (0..<levels).map { level in
      switch level {
      case 0..<23: "A\(Character(UnicodeScalar(UInt8(ascii: "D") + UInt8(level))))G"
      case 23: "A_G"
      default: "A\(level - 24)_G"
      }
    }
    return "$s1m1QV" + String(repeating: "yAC", count: levels) + "yS2iG" + references.joined()
  }

  @Test func fullNamesAreBounded() {
    #expect(Demangler.demangle(tower(12) + "WOb", isFull: true)?.utf8.count == 8192 + "…".utf8.count)
  }

  /// 36 levels are a terabyte in 250 bytes.
  @Test(arguments: ["WOb", "D", "vg", "Wl", "1f1pyAA_tF"]) func hostileSwiftTypesStayMangled(_ kind: String) {
    #expect(Demangler.demangle(tower(1) + "WOb") == "outlined init with take of m.Q<Q<Int, Int>, Q<Int, Int>>")
    #expect(Demangler.demangle(tower(8) + "WOb")?.utf8.count == "outlined init with take of ".utf8.count + 100 + "…".utf8.count)
    for levels in [27, 36] {
      #expect(Demangler.demangle(tower(levels) + kind) == nil)
      #expect(Demangler.demangle(tower(levels) + kind, isFull: true) == nil)
    }
  }

  @Test func hostileItaniumTypesStayMangled() {
    func name(_ levels: Int) -> String {
      "_Z1fSt4pairI" + String(repeating: "S_I", count: levels) + "iiE"
        + (0..<levels).map { "S\(String($0, radix: 36).uppercased())_E" }.joined()
    }
    #expect(Demangler.demangle(name(1)) == "f(std::pair<std::pair<int, int>, std::pair<int, int> >)")
    #expect(Demangler.demangle(name(12))?.utf8.count == 8192 + "…".utf8.count)
    #expect(Demangler.demangle(name(30)) == nil)
  }

  @Test func cutNamesAndNoiseEnd() {
    var generator = SeededGenerator(seed: 7)
    let names = [
      "$s3app4MainV4mainyyYaKFZSiyYaKcfU3_TQ1_", "$s04TestA3Kit5outeryS2iF3LocL_V4propSivgS2iXEfU_TA", "$s3app1TVAA1PA2aDP1fyyFTW",
    ]
    for name in names {
      for length in 0...name.utf8.count { _ = Demangler.demangle(String(name.prefix(length))) }
      for _ in 0..<1000 {
        let damaged = mutated(Array(name.utf8), using: &generator)
        _ = Demangler.demangle("$s" + String(decoding: damaged.dropFirst(2), as: UTF8.self))
      }
    }
  }
}
