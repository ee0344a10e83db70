import Formats
import Profiles
import Testing

private func text(_ profile: Profile, limit: Int = 40) -> String {
  var out: [UInt8] = []
  FunctionTable.write(profile, limit: limit, into: &out)
  return String(decoding: out, as: UTF8.self)
}

@Test func functionTableHasSharesWithTheirError() {
  var profile = Profile()
  let process = Profile.Process(command: Array("app".utf8), pid: 1)
  let main = Frame(function: "main", module: "app")
  profile.add(9, stack: Stack([main, Frame(function: "work", module: "libwork.so")]), process: process)
  profile.add(91, stack: Stack([main]), process: process)
  // 1.96 * sqrt(0.91 * 0.09 / 100) = 5.6 %.
  #expect(
    text(profile) == """
      SELF   SHARE     ±    TOTAL  FUNCTION [MODULE]  (100 samples)
        91  91.0 %   5.6  100.0 %  main [app]
         9   9.0 %   5.6    9.0 %  work [libwork.so]

      """)
  #expect(text(profile, limit: 1).split(separator: "\n").count == 2)
  #expect(text(Profile()) == "(no samples)\n")
}

@Test func measuredTimesHaveNoSamplingError() {
  var profile = Profile(unit: .microseconds)
  profile.add(12_345, count: 3, stack: Stack([Frame(function: "nap;\n")]), process: Profile.Process(command: Array("app".utf8), pid: 1))
  #expect(
    text(profile) == """
       SELF   SHARE   TOTAL  FUNCTION [MODULE]  (12345 us)
      12345 100.0 % 100.0 %  nap;\\n

      """)
}
